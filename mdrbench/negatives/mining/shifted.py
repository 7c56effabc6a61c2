"""Top k shifted: skip the n best-ranked passages that are not positives, then take k.

The first ranks hold most of the unjudged relevant passages; sentence-transformers calls n ``range_min``. Compared as
"Top-k shifted by N" in Moreira et al., "NV-Retriever" (arXiv 2407.15831), and Huang et al. (EMNLP 2025; best n = 10).
"""

from __future__ import annotations

from pydantic import Field, model_validator

from mdrbench.core.members import Spec
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import Ranking, RankingConfig


class Config(RankingConfig):
    """``n`` counts candidates, after positives are removed."""

    n: int = Field(default=10, ge=0, description="best-ranked candidates that are skipped")

    @model_validator(mode="after")
    def _leaves_room(self) -> Config:
        if self.n + self.k > self.depth:
            raise ValueError(f"n + k = {self.n + self.k} is more than depth = {self.depth}; raise depth")
        return self


class Shifted(Ranking[Config]):
    """See :class:`mdrbench.negatives.mining.Miner`."""

    spec = Spec(Config, version=1)

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The candidates n + 1 to n + k."""
        return candidates[self.config.n : self.config.n + self.config.k]
