"""faiss scalar quantiser: a byte for each dimension, searched completely, and the best scored again exactly.

The byte of a dimension spans the range that a seeded sample of vectors has there. With ``rescore`` r, the best r *
depth are scored again from the float16 embeddings: only the choice of candidates is approximate. The structure has a
quarter of the bytes of float32 vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mdrbench.core.members import MemberConfig, Spec
from mdrbench.retrieval import vectors
from mdrbench.retrieval.indexes import _faiss

if TYPE_CHECKING:
    import numpy as np


class Config(MemberConfig):
    """The sample that ranges are taken from, and how many candidates are scored again."""

    rescore: int = Field(default=4, ge=0, description="score this many times depth again exactly; 0: scores of bytes")
    training_sample: int = Field(default=65_536, ge=1, description="vectors drawn for the ranges, at most")
    seed: int = Field(default=42, ge=0, lt=2**31)


class Int8:
    """See :class:`mdrbench.retrieval.indexes.VectorIndex`."""

    spec = Spec(Config, version=1, search_only=("rescore",))
    exact = False
    built = True

    def __init__(self, config: Config):
        self.config = config

    def conventions(self) -> dict[str, Any]:
        """Return kind, parameters and version of faiss."""
        return _faiss.conventions("int8", self.config.model_dump(mode="json"))

    def memory(self, count: int, dim: int) -> int:
        """Return the bytes of the structure."""
        return dim * count

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Take the ranges from a seeded sample, then add all vectors."""
        import faiss
        import numpy as np

        count, dim = _faiss.shape(embeddings)
        sample = min(count, self.config.training_sample)
        chosen = np.sort(np.random.default_rng(self.config.seed).choice(count, sample, replace=False))
        kind = faiss.ScalarQuantizer.QT_8bit
        index: Any = faiss.IndexScalarQuantizer(dim, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors.rows(embeddings, chosen))
        return _faiss.build(index, embeddings, out, count, sample, progress)

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare all vectors; score the best again if ``rescore`` is set."""
        index: Any = _faiss.read(structure, queries)
        if not self.config.rescore:
            return _faiss.padded(index.search(queries, min(depth, index.ntotal)), depth)
        _, rows = index.search(queries, min(depth * self.config.rescore, index.ntotal))
        return _faiss.padded(_faiss.reranked(embeddings, queries, rows), depth)
