"""A cheap judge first; a strong one decides only what the cheap one would drop or cannot tell.

As the relabelling of RLHN (Thakur et al. 2025), which asks a cheap model about all passages and an expensive one about
those that the first calls relevant. A candidate that the cheap judge finds irrelevant stays without a second opinion.
The facts tell how many pairs the strong judge was spared, what that saved, and how far the two agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from mdrbench.core.members import Member, MemberConfig, Part, Spec
from mdrbench.core.types import Judgment, Pair
from mdrbench.llm.spending import Estimate
from mdrbench.negatives.judges import Judge
from mdrbench.negatives.judges._local import Band, Tally, together

GRADES = ("0", "1", "2", "unreadable")


class Config(MemberConfig):
    """The two judges, and which pairs the strong one is asked about."""

    cheap: Annotated[Member, Part("judges")] = Field(description="the judge of all pairs")
    strong: Annotated[Member, Part("judges")] = Field(
        description="the judge of what the cheap one would drop or doubts"
    )
    from_grade: int = Field(
        default=1, ge=1, le=2, description="the cheap judge's grade from which the strong one decides"
    )
    doubts: Band | None = Field(
        default=None, description="[low, high]: scores of the cheap judge that are doubtful, whatever the grade"
    )


class Cascade:
    """See :class:`mdrbench.negatives.judges.Judge`."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        self.config = config
        self._tally = Tally()
        self._table: Counter[tuple[str, str]] = Counter()
        self._spared = 0

    @cached_property
    def cheap(self) -> Judge:
        """The judge of all pairs."""
        judge: Judge = self.config.cheap.build()
        return judge

    @cached_property
    def strong(self) -> Judge:
        """The judge of the pairs that the cheap one would drop or doubts."""
        judge: Judge = self.config.strong.build()
        return judge

    @property
    def reference(self) -> Literal["shown", "ignored", "needed"]:
        """Needed if one of the two needs it, else shown if one looks at it."""
        uses = {self.cheap.reference, self.strong.reference}
        return "needed" if "needed" in uses else "shown" if "shown" in uses else "ignored"

    @property
    def at_once(self) -> bool:
        """Whether one of the two wants all pairs of a step in one call."""
        return any(getattr(judge, "at_once", False) for judge in (self.cheap, self.strong))

    @property
    def holds(self) -> Callable[[Pair], bool] | None:
        """Whether both have a verdict on a pair, if one of them has recorded verdicts alone; else None."""
        holding = [held for judge in (self.cheap, self.strong) if (held := getattr(judge, "holds", None))]
        return (lambda pair: all(held(pair) for held in holding)) if holding else None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Prepare both judges."""
        self.cheap.prepare(say)
        self.strong.prepare(say)

    def conventions(self) -> dict[str, Any]:
        """Return those of both judges, and which pairs the strong one decides."""
        return {
            "judge": "cascade",
            "from_grade": self.config.from_grade,
            "doubts": self.config.doubts,
            "cheap": self.cheap.conventions(),
            "strong": self.strong.conventions(),
        }

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Estimate the most that both can take: the strong judge is asked about every pair."""
        return self.cheap.estimate(pairs).plus(self.strong.estimate(pairs))

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """Ask the cheap judge about all pairs, then the strong one about some of them; yield verdicts in order."""
        first = list(self.cheap.judge(pairs, lambda done: progress(done // 2)))
        doubtful = [at for at, judgment in enumerate(first) if self._is_doubtful(judgment)]
        done = len(pairs) - len(doubtful)
        self._spared += done
        asked = [pairs[at] for at in doubtful]
        second = dict(zip(doubtful, self.strong.judge(asked, lambda count: progress(done + count)), strict=True))
        for at, pair in enumerate(pairs):
            final = second.get(at, first[at])
            if at in second:
                self._table[_name(first[at]), _name(final)] += 1
            yield self._tally.verdict(pair, final.accuracy, final.completeness)
        progress(len(pairs))

    def _is_doubtful(self, judgment: Judgment) -> bool:
        if judgment.grade is None or judgment.grade >= self.config.from_grade:
            return True
        doubts = self.config.doubts
        return doubts is not None and judgment.score is not None and doubts[0] <= judgment.score <= doubts[1]

    def facts(self) -> dict[str, Any]:
        """Return pairs by grade, pairs that the strong judge was spared and what that saved, and both judges' facts.

        ``agreement`` counts pairs that both judged by the cheap and the strong judge's grade (``"1/0"``).
        ``saved_cost`` is the spared pairs at the mean cost of a pair of the strong judge; None without prices.
        """
        strong, asked = self.strong.facts(), self._table.total()
        return {
            **self._tally.facts(),
            "spared": self._spared,
            "asked_strong": asked,
            "saved_cost": _saved(strong, asked, self._spared),
            "agreement": {f"{a}/{b}": self._table[a, b] for a in GRADES for b in GRADES if self._table[a, b]},
            "cheap": self.cheap.facts(),
            "strong": strong,
        }

    def together(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        """Merge the facts of parts of a step; what was saved is computed from their sums."""
        merged = together(facts)
        return {**merged, "saved_cost": _saved(merged["strong"], merged["asked_strong"], merged["spared"])}


def _saved(strong: dict[str, Any], asked: int, spared: int) -> float | None:
    costs: list[float | None] = [strong.get("cost"), strong.get("stored_cost")]
    known = [cost for cost in costs if cost is not None]
    return sum(known) / asked * spared if asked and len(known) == len(costs) else None


def _name(judgment: Judgment) -> str:
    return "unreadable" if judgment.grade is None else str(judgment.grade)
