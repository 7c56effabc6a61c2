"""Random negatives: passages that are drawn uniformly from the corpus, as a control.

The seed is the recipe's. More are drawn than kept, since a positive may be among them.
"""

from __future__ import annotations

from pydantic import Field

from mdrbench.core.members import Member, Spec
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import Ranking, RankingConfig


class Config(RankingConfig):
    """``k`` negatives among ``depth`` passages that are drawn for each query."""

    depth: int = Field(default=40, ge=1, le=10_000, description="passages that are drawn per query")


class RandomNegatives(Ranking[Config]):
    """See :class:`mdrbench.negatives.mining.Miner`."""

    spec = Spec(Config, version=1)

    def retriever(self, own: Member) -> None:
        """No ranking: ``depth`` passages drawn at random."""

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The first k drawn."""
        return candidates[: self.config.k]
