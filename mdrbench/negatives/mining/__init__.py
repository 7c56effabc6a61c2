"""Mining strategies: which passages of a ranking become hard negatives. One file each (``docs/add-a-miner.md``)."""

from __future__ import annotations

from typing import Protocol

from mdrbench.core.members import Member
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import PositiveConfig, Ranking, RankingConfig, known

__all__ = ["Miner", "PositiveConfig", "Ranking", "RankingConfig", "known"]


class Miner(Protocol):
    """A mining strategy.

    A miner sees only candidates that may become negatives: positives and passages with the text of a positive are
    taken out before, so that no strategy can get it wrong.
    """

    depth: int
    """How many hits of the ranking are looked at."""

    keep: int | None
    """Negatives wanted for each query, for the count of what is short; None: as many as the rule passes."""

    reference: str | None
    """Which positive's score the rule needs: ``best`` or ``worst`` scored, None if it needs none."""

    def retriever(self, own: Member) -> Member | None:
        """The retriever whose ranking is mined, given the recipe's own.

        None asks for ``depth`` passages drawn at random for each query instead of a ranking.
        """

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The hits that become negatives, best first, out of a query's candidates (best first).

        Args:
            reference: the score of the positive that ``reference`` names, on the same scale as the candidates'.
        """
