"""How numbers are printed."""

from __future__ import annotations

import math


def number(value: float, digits: int = 3) -> str:
    """A score: ``0.512``; beyond what a score can be, in few digits."""
    if not -1000 < value < 1000:
        return f"{value:.3g}"
    return f"{value:.3f}" if digits == 3 else f"{value:.{digits}f}"  # a fixed format takes half the time


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, a true minus; what rounds to zero has none."""
    text = number(abs(value), digits)
    if math.isclose(float(text), 0.0):
        return text
    return f"+{text}" if value > 0 else f"\u2212{text}"
