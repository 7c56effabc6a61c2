"""Compare a judge with the qrels: precision, recall, F1, accuracy and Cohen's kappa on the pairs that both have.

A pair is relevant to the judge if its combined grade reaches a threshold, and to the qrels if its grade is 1 or more.
Pairs that the qrels do not hold, and pairs without a readable verdict, are counted and left out. Compare one language
at a time, because qids repeat across languages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mdrbench.core.errors import UsageError
from mdrbench.core.types import Judgment, Qrels


class Agreement(NamedTuple):
    """The two-by-two table of judge and qrels, with the pairs left out of it.

    A ratio whose denominator is zero is None: if no pair is judged relevant, precision is undefined and not 0.
    """

    both: int
    judge_only: int
    qrels_only: int
    neither: int
    unreadable: int
    unjudged: int

    @property
    def n(self) -> int:
        """Pairs compared."""
        return self.both + self.judge_only + self.qrels_only + self.neither

    @property
    def precision(self) -> float | None:
        """Return the share of positives among the pairs that the judge calls relevant."""
        return _ratio(self.both, self.both + self.judge_only)

    @property
    def recall(self) -> float | None:
        """Return the share of positives that the judge calls relevant."""
        return _ratio(self.both, self.both + self.qrels_only)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.both, 2 * self.both + self.judge_only + self.qrels_only)

    @property
    def accuracy(self) -> float | None:
        """Share of pairs on which both agree."""
        return _ratio(self.both + self.neither, self.n)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (1960): agreement beyond what the two rates of relevance give by chance."""
        judge, positive = self.both + self.judge_only, self.both + self.qrels_only
        by_chance = judge * positive + (self.n - judge) * (self.n - positive)
        return _ratio(self.n * (self.both + self.neither) - by_chance, self.n**2 - by_chance)

    def as_dict(self) -> dict[str, int | float | None]:
        """Counts and ratios by name, for JSON and tables."""
        ratios = ("precision", "recall", "f1", "accuracy", "kappa")
        return {"n": self.n, **self._asdict(), **{name: getattr(self, name) for name in ratios}}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def agreement(judgments: Iterable[Judgment], qrels: Qrels, threshold: int = 1) -> Agreement:
    """Compare one language's verdicts with its qrels.

    Args:
        threshold: the combined grade from which on a pair is relevant to the judge: 1, or 2 to ask for a full answer.
    """
    if threshold not in (1, 2):
        raise UsageError(f"no threshold {threshold}", mend="1 (partly relevant or better) or 2 (relevant)")
    counts = dict.fromkeys(Agreement._fields, 0)
    for judgment in judgments:
        grade = qrels.get(judgment.qid, {}).get(judgment.docid)
        if grade is None:
            counts["unjudged"] += 1
        elif judgment.grade is None:
            counts["unreadable"] += 1
        else:
            names = {(1, 1): "both", (1, 0): "judge_only", (0, 1): "qrels_only", (0, 0): "neither"}
            counts[names[judgment.grade >= threshold, grade >= 1]] += 1
    return Agreement(**counts)


def pooled(languages: Iterable[Agreement]) -> Agreement:
    """The table of all pairs of several languages together: large languages weigh more."""
    rows = list(languages)
    return Agreement(*(sum(column) for column in zip(*rows, strict=True))) if rows else Agreement(0, 0, 0, 0, 0, 0)
