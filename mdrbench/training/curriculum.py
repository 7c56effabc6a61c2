"""A curriculum over hardness: early steps draw the easier hard negatives, later steps all of them.

A group lists its negatives best first, so hardest first. At the first step only the last ``share`` of them may be
drawn; the part grows evenly and is the whole list from the middle of the training on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def allowed(negatives: Sequence[Item], step: int, steps: int, share: float) -> Sequence[Item]:
    """Return the negatives that a step (counted from 0; negative: validation) may draw."""
    if step < 0 or not steps:
        return negatives
    part = min(1.0, share + (1 - share) * 2 * step / steps)
    return negatives[len(negatives) - math.ceil(part * len(negatives) - 1e-9) :]
