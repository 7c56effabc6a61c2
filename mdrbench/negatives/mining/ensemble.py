"""Ensemble candidates: the best hits by the weighted cosines of several encoders, which a judge then grades.

Stage 1 of Huang et al., "Boosting Data Utilization for Multilingual Dense Retrieval" (EMNLP 2025): the
ensemble's top 40 without the positives are candidates; a judge then takes out the false negatives. There is no cap
here, since how many remain is the judge's business.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from mdrbench.core.members import Member, MemberConfig, RetrieverMembers, Spec
from mdrbench.core.types import Hit


class Config(MemberConfig):
    """``of``, ``weights`` and ``projection`` are those of the retriever ``ensemble``, whose ranking is mined."""

    of: RetrieverMembers = Field(min_length=1, description="label -> dense retriever, or names of recipes")
    weights: dict[str, Any] | None = None
    projection: dict[str, Any] | None = None
    depth: int = Field(default=40, ge=1, le=10_000, description="best hits of the ensemble, which become candidates")

    @model_validator(mode="after")
    def _suits_the_retriever(self) -> Config:
        self.ranking()
        return self

    def ranking(self) -> Member:
        """The retriever ``ensemble`` with these settings; pydantic's ValidationError if they do not fit it."""
        settings = {"of": self.of, "weights": self.weights, "projection": self.projection}
        return Member.of("retrievers", {"name": "ensemble", **settings})


class Ensemble:
    """See :class:`mdrbench.negatives.mining.Miner`."""

    spec = Spec(Config, version=1)
    keep: int | None = None
    reference: str | None = None

    def __init__(self, config: Config):
        self.config = config
        self.depth = config.depth

    def retriever(self, own: Member) -> Member:
        """The retriever ``ensemble`` over the encoders; the recipe's own plays no part unless it is among them."""
        return self.config.ranking()

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """All of them."""
        return list(candidates)
