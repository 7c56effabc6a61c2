"""Top k with an absolute threshold: the k best-ranked passages that score below t.

"TopK-Abs" in Moreira et al., "NV-Retriever" (arXiv 2407.15831), and Huang et al. (EMNLP 2025; best t = 0.6);
sentence-transformers' ``max_score``, except that a score of exactly t is left out here. The default is for cosine
similarities: with BM25 or unnormalised embeddings t has to be chosen anew.
"""

from __future__ import annotations

from mdrbench.core.members import Spec
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import Finite, Ranking, RankingConfig


class Config(RankingConfig):
    """``t``: negatives score below it."""

    t: Finite = 0.6


class Absolute(Ranking[Config]):
    """See :class:`mdrbench.negatives.mining.Miner`."""

    spec = Spec(Config, version=1)

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The best k with score < t."""
        return self.below(candidates, self.config.t)
