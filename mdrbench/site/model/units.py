"""How times, sizes and counts are printed."""

from __future__ import annotations

NARROW = "\u202f"
"""A narrow space that does not break, between a number and its unit."""


def duration(seconds: float) -> str:
    """``0.03 s``, ``52 s``, ``3 min 12 s``, ``2 h 05 min``."""
    if seconds < 9.95:
        digits = 1 if seconds >= 1 else 2
        return f"{seconds:.{digits}f}{NARROW}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NARROW}min {rest:02d}{NARROW}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{NARROW}h {minutes:02d}{NARROW}min"


def size(number: float) -> str:
    """Bytes in decimal units: ``1.4 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 999.5:
            return f"{number:.0f}{NARROW}{unit}" if unit == "B" or number >= 9.95 else f"{number:.1f}{NARROW}{unit}"
        number /= 1000
    return f"{number:,.1f}{NARROW}TB"


def count(number: float) -> str:
    """A whole number with its thousands apart; a fraction in four digits."""
    return f"{number:,}" if float(number).is_integer() and abs(number) < 1e15 else f"{number:.4g}"


def percent(share: float) -> str:
    """``19.5 %``."""
    return f"{100 * share:.1f}{NARROW}%"
