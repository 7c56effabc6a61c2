"""No judge: every candidate stays; for the ablation without judging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from mdrbench.core.types import Judgment, Pair
from mdrbench.negatives.judges import Estimate
from mdrbench.negatives.judges._local import FREE

VERSION = 1

PARTS: dict[str, str] = {}

RUN_ONLY: tuple[str, ...] = ()


class Config(BaseModel):
    """Takes no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(config: Config) -> NoJudge:
    """The judge that is not asked."""
    return NoJudge()


class NoJudge:
    """See :class:`mdrbench.negatives.judges.Judge`; a plan with it has no judging step."""

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
