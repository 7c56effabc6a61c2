"""Top k: the k best-ranked passages that are not positives.

The plain strategy of ANCE (Xiong et al., ICLR 2021) and most training recipes; many of its negatives are unjudged
relevant passages (Qu et al., "RocketQA", NAACL 2021, found 70% on MS MARCO).
"""

from __future__ import annotations

from mdrbench.core.members import Spec
from mdrbench.core.types import Hit
from mdrbench.negatives.mining._ranking import Ranking, RankingConfig


class Config(RankingConfig):
    """``k`` negatives among the first ``depth`` hits."""


class TopK(Ranking[Config]):
    """See :class:`mdrbench.negatives.mining.Miner`."""

    spec = Spec(Config, version=1)

    def select(self, candidates: list[Hit], reference: float | None) -> list[Hit]:
        """The first k."""
        return candidates[: self.config.k]
