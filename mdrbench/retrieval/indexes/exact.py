"""Exact search over the shards on disk. Nothing is built, and one block at a time is in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.members import NoSettings, Spec
from mdrbench.retrieval import vectors
from mdrbench.retrieval.indexes import _faiss

if TYPE_CHECKING:
    import numpy as np


class Exact:
    """See :class:`mdrbench.retrieval.indexes.VectorIndex`."""

    spec = Spec(NoSettings, version=2)
    exact = True
    built = False

    def __init__(self, config: NoSettings):
        pass

    def conventions(self) -> dict[str, Any]:
        """Return the kind."""
        return {"index": "exact"}

    def memory(self, count: int, dim: int) -> int:
        """Blocks are read from disk."""
        return 0

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Nothing is built."""
        return {}

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`mdrbench.retrieval.vectors.top`."""
        return _faiss.padded(vectors.top(embeddings, queries, depth), depth)
