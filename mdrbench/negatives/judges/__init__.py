"""Judges: is a mined negative a false one? One file each (see :mod:`mdrbench.core.registry`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

from mdrbench.core.types import Judgment, Pair
from mdrbench.llm.spending import Estimate
from mdrbench.negatives.judges._local import FREE, Tally, together

__all__ = ["FREE", "Estimate", "Judge", "Tally", "together"]


class Judge(Protocol):
    """A judge: grades pairs of query and passage.

    A judge that only repeats recorded verdicts may also have ``holds(pair) -> bool``: whether it has one on a pair. It
    is then tried on such pairs alone (:mod:`mdrbench.negatives.canaries`).

    Large steps are divided: a judge is built for each part of the queries, and the facts of all are merged by
    :func:`together`, or by the judge's own method of that name. A judge with ``at_once = True`` is called once with all
    pairs of a step.
    """

    reference: Literal["shown", "ignored", "needed"]
    """Whether a reference positive is shown if there is one, ignored, or needed."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Check before anything runs that the judge can work; raise a SetupError with a mend if it cannot."""

    def conventions(self) -> dict[str, Any]:
        """Return everything that affects a verdict (model, prompt version, thresholds), as JSON: part of the keys."""

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Estimate what judging these pairs would cost; stored verdicts and judges on this machine cost nothing."""

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """Yield one verdict a pair, in order; a pair without a readable answer has both grades None."""

    def facts(self) -> dict[str, Any]:
        """Return counts so far (requests, tokens, cost, unreadable answers), for the manifest."""
