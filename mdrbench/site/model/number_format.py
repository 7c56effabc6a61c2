"""How scores, times, sizes and counts are printed."""

from __future__ import annotations

import math

NARROW_SPACE = "\u202f"
"""A narrow space that does not break, between a number and its unit."""


def number(value: float, digits: int = 3) -> str:
    """Format a score: ``0.512``. A value far outside the range of scores gets three significant digits."""
    return f"{value:.{digits}f}" if -1000 < value < 1000 else f"{value:.3g}"


def signed(value: float, digits: int = 3) -> str:
    """Format a difference with its sign and a true minus; a difference that rounds to zero has no sign."""
    text = number(abs(value), digits)
    if math.isclose(float(text), 0.0):
        return text
    return f"+{text}" if value > 0 else f"\u2212{text}"


def interval(low: float, high: float) -> str:
    """Format the interval of a difference: ``−0.031 to +0.002``."""
    return f"{signed(low)} to {signed(high)}"


def duration(seconds: float) -> str:
    """Format a time: ``0.03 s``, ``52 s``, ``3 min 12 s``, ``2 h 05 min``."""
    if seconds < 9.95:
        digits = 1 if seconds >= 1 else 2
        return f"{seconds:.{digits}f}{NARROW_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW_SPACE}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NARROW_SPACE}min {rest:02d}{NARROW_SPACE}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{NARROW_SPACE}h {minutes:02d}{NARROW_SPACE}min"


def size(number_of_bytes: float) -> str:
    """Format bytes in decimal units: ``1.4 GB``."""
    amount = number_of_bytes
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 999.5:
            digits = 0 if unit == "B" or amount >= 9.95 else 1
            return f"{amount:.{digits}f}{NARROW_SPACE}{unit}"
        amount /= 1000
    return f"{amount:,.1f}{NARROW_SPACE}TB"


def count(value: float) -> str:
    """Format a count with thousands separators: ``1,234``; a fraction gets four significant digits."""
    return f"{value:,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def percent(share: float) -> str:
    """Format a share: ``19.5 %``."""
    return f"{100 * share:.1f}{NARROW_SPACE}%"
