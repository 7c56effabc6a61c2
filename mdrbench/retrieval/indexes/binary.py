"""faiss binary index: the sign of each dimension, compared by Hamming distance, and the best scored again exactly.

A vector takes dim / 8 bytes, a thirty-second of float32. With ``rescore`` r, the best r * depth are scored again from
the float16 embeddings: only the choice of candidates is approximate. Without, a score is the number of dimensions with
equal signs minus the number of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mdrbench.core.errors import UsageError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.retrieval.indexes import _faiss

if TYPE_CHECKING:
    import numpy as np


class Config(MemberConfig):
    """How many candidates are scored again."""

    rescore: int = Field(default=8, ge=0, description="score this many times depth again exactly; 0: scores of signs")


class Binary:
    """See :class:`mdrbench.retrieval.indexes.VectorIndex`."""

    spec = Spec(Config, version=1, search_only=("rescore",))
    exact = False
    built = True

    def __init__(self, config: Config):
        self.config = config

    def conventions(self) -> dict[str, Any]:
        """Return kind, parameters and version of faiss."""
        return _faiss.conventions("binary", self.config.model_dump(mode="json"))

    def memory(self, count: int, dim: int) -> int:
        """Return the bytes of the structure."""
        return dim * count // 8

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Add the signs of all vectors; a UsageError if the width is not a multiple of 8."""
        import faiss

        count, dim = _faiss.shape(embeddings)
        if dim % 8:
            raise UsageError(
                f"the embeddings have {dim} dimensions, and signs are packed in eights",
                mend="use the index int8, or set truncate_dim to a multiple of 8",
            )
        return _faiss.build(faiss.IndexBinaryFlat(dim), embeddings, out, count, None, progress, _signs)

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare the signs of all vectors; score the best again if ``rescore`` is set."""
        index = _faiss.read(structure, queries, binary=True)
        wanted = min(depth * max(1, self.config.rescore), index.ntotal)
        distances, rows = index.search(_signs(queries), wanted)
        if not self.config.rescore:
            return _faiss.padded((index.d - 2 * distances, rows), depth)
        return _faiss.padded(_faiss.reranked(embeddings, queries, rows), depth)


def _signs(matrix: np.ndarray) -> np.ndarray:
    """Return one bit for each dimension, 1 above 0, packed: uint8, shape (rows, dim / 8)."""
    import numpy as np

    return np.packbits(matrix > 0, axis=1)
