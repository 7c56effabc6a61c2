"""Settings and rules shared by strategies that mine the ranking of the recipe's retriever."""

from __future__ import annotations

import math
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from mdrbench.core.errors import StepError
from mdrbench.core.members import Member, MemberConfig
from mdrbench.core.types import Hit

Finite = Annotated[float, Field(allow_inf_nan=False)]


class RankingConfig(MemberConfig):
    """How far a ranking is looked at and how many negatives are kept.

    ``depth`` counts hits before positives are taken out, so it must leave room for them: at ``depth = k`` every
    positive that was retrieved costs a negative.
    """

    k: int = Field(default=30, ge=1, description="most negatives per query")
    depth: int = Field(default=100, ge=1, le=10_000, description="hits of the ranking that may become negatives")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.k > self.depth:
            raise ValueError(f"k = {self.k} is more than depth = {self.depth}; raise depth or lower k")
        return self


class PositiveConfig(RankingConfig):
    """For the rules that compare with the score of a positive.

    ``reference``: which positive, if a query has several. ``best`` (highest score) is the default; ``worst`` keeps
    fewer negatives, and is what sentence-transformers' ``mine_hard_negatives`` does.
    """

    reference: Literal["best", "worst"] = "best"


Settings = TypeVar("Settings", bound=RankingConfig)


class Ranking(Generic[Settings]):
    """See :class:`mdrbench.negatives.mining.Miner`; a strategy adds ``select``."""

    reference: str | None = None

    def __init__(self, config: Settings):
        self.config = config
        self.depth = config.depth
        self.keep: int | None = config.k

    def retriever(self, own: Member) -> Member | None:
        """The recipe's own."""
        return own

    def below(self, candidates: list[Hit], threshold: float) -> list[Hit]:
        """The best k of the candidates whose score is below the threshold, in the order of the run."""
        return [hit for hit in candidates if hit.score < threshold][: self.config.k]


def known(reference: float | None) -> float:
    """Return the reference score; a StepError if there is none."""
    if reference is None or not math.isfinite(reference):
        raise StepError(
            f"the score of the positive is {reference}, so its query's negatives cannot be chosen",
            mend="score the positives with the retriever that ranked the candidates, or use the strategy `topk`",
        )
    return reference
