"""Exact search over the shards themselves: nothing is built, memory holds one block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from mdrbench.retrieval import vectors
from mdrbench.retrieval.indexes import _faiss

if TYPE_CHECKING:
    import numpy as np

VERSION = 1

EXACT = True

BUILT = False

SEARCH_ONLY: tuple[str, ...] = ()


class Config(BaseModel):
    """There are no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(config: Config) -> Exact:
    """Return the search."""
    return Exact()


class Exact:
    """See :class:`mdrbench.retrieval.indexes.VectorIndex`."""

    def conventions(self) -> dict[str, Any]:
        """Return the kind."""
        return {"index": "exact"}

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Nothing is built."""
        return {}

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`mdrbench.retrieval.vectors.top`."""
        return _faiss.padded(vectors.top(embeddings, queries, depth), depth)
