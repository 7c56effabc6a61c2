"""faiss IndexFlatIP: exact search with the whole matrix in memory as float32.

It gives the hits of ``exact``. Most toolkits search this way; it takes twice the embeddings' bytes on disk and in
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.members import NoSettings, Spec
from mdrbench.retrieval.indexes import _faiss

if TYPE_CHECKING:
    import numpy as np


class Flat:
    """See :class:`mdrbench.retrieval.indexes.VectorIndex`."""

    spec = Spec(NoSettings, version=1)
    exact = True
    built = True

    def __init__(self, config: NoSettings):
        pass

    def conventions(self) -> dict[str, Any]:
        """Return kind and version of faiss."""
        return _faiss.conventions("flat", {})

    def memory(self, count: int, dim: int) -> int:
        """Return the bytes of the structure."""
        return 4 * dim * count

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Write the float32 matrix as a faiss file."""
        import faiss

        count, dim = _faiss.shape(embeddings)
        return _faiss.build(faiss.IndexFlatIP(dim), embeddings, out, count, 0, progress)

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute all inner products."""
        return _faiss.padded(_faiss.read(structure, queries).search(queries, depth), depth)
