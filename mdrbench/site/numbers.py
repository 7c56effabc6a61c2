"""How numbers are printed."""

from __future__ import annotations

import math


def number(value: float, digits: int = 3) -> str:
    """A score: ``0.512``; beyond what a score can be, in few digits."""
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:.3g}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, a true minus; what rounds to zero has none."""
    text = number(abs(value), digits)
    if math.isclose(float(text), 0.0):
        return text
    return f"+{text}" if value > 0 else f"\u2212{text}"
