"""No judge: every candidate stays. For the ablation without judging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mdrbench.core.members import NoSettings, Spec
from mdrbench.core.types import Judgment, Pair
from mdrbench.negatives.judges import Estimate
from mdrbench.negatives.judges._local import FREE


class NoJudge:
    """See :class:`mdrbench.negatives.judges.Judge`; a plan with it has no judging step."""

    spec = Spec(NoSettings, version=1)

    def __init__(self, config: NoSettings):
        pass

    reference = "ignored"

    def prepare(self, say: Callable[[str], None]) -> None:
        """Nothing to check."""

    def conventions(self) -> dict[str, Any]:
        """Empty: it decides nothing."""
        return {}

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Nothing is asked."""
        return FREE

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """Never called: a plan leaves the step out. No verdict means "not judged"."""
        raise RuntimeError("the judge 'none' was asked for verdicts")

    def facts(self) -> dict[str, Any]:
        """Nothing was judged."""
        return {}
