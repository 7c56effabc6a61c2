"""Search structures over a dense retriever's embeddings, one file each (see :mod:`mdrbench.core.registry`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


class VectorIndex(Protocol):
    """A search structure over the embeddings of a dense retriever.

    ``Spec.search_only`` lists the settings that the structure does not depend on: changing them searches the same
    structure.
    """

    exact: bool
    """Whether it finds the same hits as exact search. Otherwise its recall is measured against exact search."""

    built: bool
    """Whether a structure is built at all."""

    def conventions(self) -> dict[str, Any]:
        """Return ``index`` (the kind), parameters and library version, as JSON: part of the artifacts' keys."""

    def memory(self, count: int, dim: int) -> int:
        """Return the bytes that the structure of so many vectors takes in memory, for the estimate of a plan."""

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
