"""faiss HNSW: a navigable small-world graph over the embeddings, with exact scores of the visited vectors.

Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs", TPAMI 2018. Embeddings lie on disk as float16, so storing them as float16 loses nothing and halves the memory.

The same embeddings give the same graph, byte for byte: from version 1.15.1 on, faiss links vectors in an order that
does not depend on the number of threads. An older faiss runs with one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mdrbench.core.members import MemberConfig, Spec
from mdrbench.retrieval.indexes import _faiss

if TYPE_CHECKING:
    import numpy as np

DETERMINISTIC_SINCE = (1, 15, 1)
"""The first version of faiss whose graph does not depend on threads (facebookresearch/faiss#5486)."""


class Config(MemberConfig):
    """Parameters of the graph and of the search in it."""

    m: int = Field(default=32, ge=2, le=512, description="links per vector (twice as many on the lowest level)")
    ef_construction: int = Field(default=200, ge=1, description="candidates that are kept while a vector is linked")
    ef_search: int = Field(
        default=128, ge=1, description="candidates that are kept during a search; at least the depth"
    )
    storage: Literal["float16", "float32"] = "float16"
    seed: int = Field(default=42, ge=0, lt=2**31, description="seed of the random levels of vectors")


class Hnsw:
    """See :class:`mdrbench.retrieval.indexes.VectorIndex`."""

    spec = Spec(Config, version=1, search_only=("ef_search",))
    exact = False
    built = True

    def __init__(self, config: Config):
        self.config = config

    def conventions(self) -> dict[str, Any]:
        """Return kind, parameters and version of faiss."""
        return _faiss.conventions("hnsw", self.config.model_dump(mode="json"))

    def memory(self, count: int, dim: int) -> int:
        """Return the bytes of vectors and links: 2 m links on the lowest level, and m on a share 1 / (m - 1) above."""
        m = self.config.m
        vector = dim * (2 if self.config.storage == "float16" else 4)
        return round(count * (vector + 4 * (2 * m + m / (m - 1)) + 12))

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Link all vectors, in blocks of a fixed size."""
        import faiss as faiss_module

        faiss: Any = faiss_module  # its type stubs lack what is used here
        count, dim = _faiss.shape(embeddings)
        if self.config.storage == "float16":
            kind = faiss.ScalarQuantizer.QT_fp16  # needs no training
            index = faiss.IndexHNSWSQ(dim, kind, self.config.m, faiss.METRIC_INNER_PRODUCT)
        else:
            index = faiss.IndexHNSWFlat(dim, self.config.m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self.config.ef_construction
        index.hnsw.rng = faiss.RandomGenerator(self.config.seed)
        version = tuple(int(part) for part in faiss.__version__.split(".")[:3])
        with _faiss.threads(faiss.omp_get_max_threads() if version >= DETERMINISTIC_SINCE else 1):
            return _faiss.build(index, embeddings, out, count, 0, progress)

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Walk the graph with ``ef_search`` candidates, or ``depth`` if that is more."""
        index: Any = _faiss.read(structure, queries)
        index.hnsw.efSearch = max(self.config.ef_search, depth)
        return _faiss.padded(index.search(queries, depth), depth)
