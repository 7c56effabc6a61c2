"""Search structures over a dense retriever's embeddings, one file each (see :mod:`mdrbench.core.registry`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


class VectorIndex(Protocol):
    """What a member's ``build(config)`` returns.

    Beside ``build`` a member has ``EXACT`` (whether it returns the same hits as exact search, so that no recall against
    it need be measured), ``BUILT`` (whether a structure is built at all) and ``SEARCH_ONLY`` (settings that the
    structure does not depend on: changing them searches the same one).
    """

    def conventions(self) -> dict[str, Any]:
        """``index`` (the kind), parameters and library version, as JSON: part of the artifacts' keys."""

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Build the structure over the shards in ``embeddings`` into ``out``; facts."""

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores (float32, inner product, descending) and rows in corpus order (int64; -1 where there are fewer).

        Args:
            queries: float32, shape (queries, dim).

        Returns:
            Two arrays of shape (queries, depth).
        """
