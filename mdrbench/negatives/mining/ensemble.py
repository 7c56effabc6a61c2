"""Ensemble candidates: all of the top of a ranking by several encoders' weighted cosines, to be judged afterwards.

Stage 1 of Huang et al., "Boosting Data Utilization for Multilingual Dense Retrieval" (EMNLP 2025): the
ensemble's top 40 without the positives are candidates; a judge then takes out the false negatives. There is no cap
here, since how many remain is the judge's business.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mdrbench.core import registry
from mdrbench.core.types import Hit

VERSION = 1

MANY = {"of": "retrievers"}
"""Keys of the configuration that hold members of another family by label."""


class Config(BaseModel):
    """``of``, ``weights`` and ``projection`` are the retriever ensemble's, whose ranking this takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    of: dict[str, dict[str, Any]] = Field(min_length=1, description="label -> dense retriever, or names of recipes")
    weights: dict[str, Any] | None = None
    projection: dict[str, Any] | None = None
    depth: int = Field(default=40, ge=1, le=10_000, description="hits of the ensemble's ranking that become candidates")

    @model_validator(mode="after")
    def _suits_the_retriever(self) -> Config:
        try:
            registry.load("retrievers", "ensemble").Config.model_validate(self.ranking())
        except ValidationError as error:
            found = ((".".join(map(str, item["loc"])), item["msg"]) for item in error.errors())
            mistakes = (f"{place}: {text}" if place else text.removeprefix("Value error, ") for place, text in found)
            raise ValueError("; ".join(mistakes)) from None
        return self

    def ranking(self) -> dict[str, Any]:
        """The settings of the retriever."""
        return self.model_dump(mode="json", include={"of", "weights", "projection"})


def build(config: Config) -> Ensemble:
    """The strategy with these settings."""
    return Ensemble(config)


class Ensemble:
    """See :class:`mdrbench.negatives.mining.Miner`."""

    keep: int | None = None
    reference: str | None = None

    def __init__(self, config: Config):
        self.config = config
        self.depth = config.depth

    def retriever(self, own: dict[str, Any]) -> dict[str, Any]:
        """The retriever ``ensemble`` over the encoders; the recipe's own plays no part unless it is among them."""
        return {"name": "ensemble", **self.config.ranking()}

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """All of them."""
        return list(candidates)
