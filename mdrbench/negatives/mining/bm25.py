"""BM25 negatives: the k best-ranked passages of BM25 that are not positives, whatever the recipe's own retriever.

The classical choice of DPR (Karpukhin et al., EMNLP 2020). BM25 has its default settings, so that recipes share its
index and its run.
"""

from __future__ import annotations

from typing import Any

from mdrbench.core import registry
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import Ranking, RankingConfig

VERSION = 1


class Config(RankingConfig):
    """``k`` negatives out of the first ``depth`` hits of BM25."""


def build(config: Config) -> BM25Negatives:
    """The strategy with these settings."""
    return BM25Negatives(config)


class BM25Negatives(Ranking[Config]):
    """See :class:`mdrbench.negatives.mining.Miner`."""

    def retriever(self, own: dict[str, Any]) -> dict[str, Any]:
        """BM25 with its default settings."""
        defaults = registry.load("retrievers", "bm25").Config()
        return {"name": "bm25", **defaults.model_dump(mode="json")}

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The first k."""
        return candidates[: self.config.k]
