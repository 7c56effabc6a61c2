"""Top k with a percentage of the positive: the k best-ranked passages that score below p of the positive's score.

"TopK-PercPos" in Moreira et al., "NV-Retriever" (arXiv 2407.15831), and Huang et al. (EMNLP 2025; best p = 0.90). The
threshold is positive - |positive| * (1 - p). That is p * positive unless the positive's score is negative: then
p * positive would lie above the positive. sentence-transformers' ``relative_margin`` is 1 - p, with the same
definition, except that a score exactly at the threshold is left out here.
"""

from __future__ import annotations

from pydantic import Field

from mdrbench.core.members import Spec
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import PositiveConfig, Ranking, known


class Config(PositiveConfig):
    """``p``: negatives score below this share of the positive's score."""

    p: float = Field(default=0.90, gt=0, le=1)


class PercPos(Ranking[Config]):
    """See :class:`mdrbench.negatives.mining.Miner`."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        super().__init__(config)
        self.reference = config.reference

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The best k with score < positive - |positive| * (1 - p)."""
        positive = known(reference)
        return self.below(candidates, positive - abs(positive) * (1 - self.config.p))
