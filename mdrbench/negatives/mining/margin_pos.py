"""Top k with a margin to the positive: the k best-ranked passages that score below the positive's score minus m.

"TopK-MarginPos" in Moreira et al., "NV-Retriever" (arXiv 2407.15831), and Huang et al. (EMNLP 2025; best m = 0.15);
sentence-transformers' ``absolute_margin``, except that a score exactly at the threshold is left out here. The default
is for cosine similarities.
"""

from __future__ import annotations

from pydantic import Field

from mdrbench.core.members import Spec
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import PositiveConfig, Ranking, known


class Config(PositiveConfig):
    """``m``: negatives score more than ``m`` below the positive."""

    m: float = Field(default=0.15, ge=0, allow_inf_nan=False)


class MarginPos(Ranking[Config]):
    """See :class:`mdrbench.negatives.mining.Miner`."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        super().__init__(config)
        self.reference = config.reference

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The best k with score < positive - m."""
        return self.below(candidates, known(reference) - self.config.m)
