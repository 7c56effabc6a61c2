"""Cut-offs and counts, shared by the judges that run on this machine."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Any

from pydantic import AfterValidator

from mdrbench.core.types import Judgment, Pair
from mdrbench.negatives.judges import Estimate

FREE = Estimate(requests=0, stored=0, input_tokens=0, output_tokens=0, cost=0.0)
"""The cost of judging on this machine."""


def _ascending(cutoffs: tuple[float, float]) -> tuple[float, float]:
    low, high = cutoffs
    if not low <= high:  # also if one is NaN
        raise ValueError(f"the lower cut-off comes first: [{low}, {high}]")
    return cutoffs


Cutoffs = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""``[low, high]``: a score below ``low`` is grade 0, below ``high`` grade 1, any other grade 2."""


def grade(score: float, low: float, high: float) -> int | None:
    """Return the grade of a score; None if the score is not finite."""
    if not math.isfinite(score):
        return None
    return 0 if score < low else 1 if score < high else 2


class Tally:
    """Counts verdicts as they are given; one score or match serves as both grades."""

    def __init__(self) -> None:
        self.grades: Counter[str] = Counter()

    def verdict(self, pair: Pair, accuracy: int | None, completeness: int | None) -> Judgment:
        """The judgment of a pair, counted."""
        judgment = Judgment(pair.qid, pair.passage.docid, accuracy, completeness)
        self.grades["unreadable" if judgment.grade is None else str(judgment.grade)] += 1
        return judgment

    def facts(self) -> dict[str, Any]:
        """Pairs judged, how many at each combined grade, and those without one."""
        grades = {name: self.grades[name] for name in ("0", "1", "2")}
        return {"judged": self.grades.total(), "grades": grades, "unreadable": self.grades["unreadable"]}
