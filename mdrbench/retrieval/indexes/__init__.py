"""Search structures over a dense retriever's embeddings, one file each (see :mod:`mdrbench.core.registry`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


class VectorIndex(Protocol):
    """What a member's ``build(config)`` returns.

    Beside ``build`` a member has ``EXACT`` (whether it returns the hits of exact search, so that recall need not be
    measured), ``BUILT`` (whether a structure is built at all) and ``SEARCH_ONLY`` (settings that the
    structure does not depend on: a change searches the same structure).
    """

    def conventions(self) -> dict[str, Any]:
        """Return ``index`` (the kind), parameters and library version, as JSON: part of the artifacts' keys."""

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Build the structure over the shards in ``embeddings`` into ``out``; return facts."""

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (float32, inner product, descending) and rows in corpus order (int64; -1 if there are fewer).

        Args:
            queries: float32, shape (queries, dim).

        Returns:
            Two arrays of shape (queries, depth).
        """
