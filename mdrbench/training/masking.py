"""In-batch negatives that the teacher finds relevant are left out of the loss (Solatorio 2024, GISTEmbed).

A passage is no negative of a query if the teacher scores it above the query's positive less a margin. Hard negatives
are masked alike. The positive stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def masked(scores: np.ndarray, targets: list[int], margin: float) -> np.ndarray:
    """Return booleans (B, P), true for passages to leave out.

    Args:
        scores: (B, P), of the teacher.
        targets: B columns of the positives.
        margin: how far below the positive a passage must score to stay.
    """
    import numpy as np

    rows = np.arange(len(targets))
    found: np.ndarray = scores > scores[rows, targets][:, None] - margin
    found[rows, targets] = False
    return found
