"""BM25 negatives: the k best-ranked passages of BM25 that are not positives, for any retriever of the recipe.

The classical choice of DPR (Karpukhin et al., EMNLP 2020). BM25 has its default settings, so that recipes share its
index and its run.
"""

from __future__ import annotations

from mdrbench.core.members import Member, Spec
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import Ranking, RankingConfig


class Config(RankingConfig):
    """``k`` negatives among the first ``depth`` hits of BM25."""


class BM25Negatives(Ranking[Config]):
    """See :class:`mdrbench.negatives.mining.Miner`."""

    spec = Spec(Config, version=1)

    def retriever(self, own: Member) -> Member:
        """BM25 with its default settings."""
        return Member.of("retrievers", {"name": "bm25"})

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The first k."""
        return candidates[: self.config.k]
