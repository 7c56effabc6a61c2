"""faiss IVF-PQ: inverted lists of product-quantised residuals. The best hits can be re-ranked exactly from the shards.

Vectors are assigned to ``nlist`` cells by spherical k-means; a search visits ``nprobe`` cells and scores codes of m *
nbits / 8 bytes per vector (Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011).
With ``refine`` r, the best r * depth are scored again from the float16 embeddings: scores are then exact inner
products, and only the choice of candidates is approximate.

The training sample and k-means are seeded, and the number of threads changes nothing: the same embeddings give the same
file, byte for byte. Processors with other instruction sets may round differently.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from mdrbench.core.errors import UsageError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.retrieval import vectors
from mdrbench.retrieval.indexes import _faiss

if TYPE_CHECKING:
    import numpy as np

POINTS_PER_CENTROID = 39
"""With fewer training vectors per centroid, faiss warns of poor clusters."""

USEFUL_POINTS_PER_CENTROID = 256
"""More training vectors per centroid are ignored by faiss."""


class Config(MemberConfig):
    """``nlist`` is by default 4 times the square root of the number of vectors, as faiss' guidelines say.

    A small training sample lowers it. The facts of the step have the number.
    """

    nlist: int | None = Field(
        default=None, ge=1, description="number of cells; None: 4 times the square root of the number of vectors"
    )
    m: int = Field(default=64, ge=1, description="sub-vectors per code; must divide the width of the embeddings")
    nbits: int = Field(default=8, ge=4, le=8, description="bits per sub-vector")
    nprobe: int = Field(default=32, ge=1, description="cells that a query visits")
    refine: int = Field(
        default=4, ge=0, description="re-rank this many times `depth` exactly; 0: keep the scores of the codes"
    )
    training_sample: int = Field(default=262_144, ge=1, description="most vectors to train on")
    seed: int = Field(default=42, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _probes(self) -> Config:
        if self.nlist is not None and self.nprobe > self.nlist:
            raise ValueError(f"nprobe = {self.nprobe} is more than nlist = {self.nlist}; lower nprobe")
        return self


class IvfPq:
    """See :class:`mdrbench.retrieval.indexes.VectorIndex`."""

    spec = Spec(Config, version=1, search_only=("nprobe", "refine"))
    exact = False
    built = True

    def __init__(self, config: Config):
        self.config = config

    def conventions(self) -> dict[str, Any]:
        """Return kind, parameters and version of faiss."""
        return _faiss.conventions("ivf-pq", self.config.model_dump(mode="json"))

    def memory(self, count: int, dim: int) -> int:
        """Return the bytes of codes and ids."""
        return (self.config.m * self.config.nbits // 8 + 8) * count

    def build(self, embeddings: Path, out: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        """Train on a seeded sample, then add all vectors.

        Raises:
            UsageError: the parameters do not fit the embeddings' width or number; the message names some that fit.
        """
        import faiss
        import numpy as np

        count, dim = _faiss.shape(embeddings)
        sample = min(count, self.config.training_sample)
        nlist = self._fitting(count, dim, sample)
        sample = min(sample, USEFUL_POINTS_PER_CENTROID * max(nlist, 2**self.config.nbits))
        start = time.perf_counter()
        chosen = np.sort(np.random.default_rng(self.config.seed).choice(count, sample, replace=False))
        description = f"IVF{nlist},PQ{self.config.m}x{self.config.nbits}"
        index: Any = faiss.index_factory(dim, description, faiss.METRIC_INNER_PRODUCT)
        index.do_polysemous_training = False  # takes most of the training's time, and only Hamming filters use it
        index.cp.seed = index.pq.cp.seed = self.config.seed
        index.train(vectors.rows(embeddings, chosen))
        seconds = time.perf_counter() - start
        facts = _faiss.build(index, embeddings, out, count, sample, progress)
        return {**facts, "nlist": nlist, "seconds": round(facts["seconds"] + seconds, 3)}

    def _fitting(self, count: int, dim: int, sample: int) -> int:
        """Return the number of cells; check all parameters against the data."""
        config = self.config
        if dim % config.m:
            near = min((d for d in range(1, dim + 1) if dim % d == 0), key=lambda d: (abs(d - config.m), d))
            raise UsageError(
                f"m = {config.m} does not divide the embeddings' width {dim}",
                mend=f"set m to a divisor, such as {near}",
            )
        supported = sample // POINTS_PER_CENTROID
        drawn = f"{sample} training vectors" + (f" (of {count})" if sample < count else "")
        if supported < 2**config.nbits:
            nbits = int(math.log2(supported)) if supported >= 16 else None
            mend = f"set nbits to {nbits}" if nbits else "use the index `exact`"
            raise UsageError(
                f"{drawn} are too few for nbits = {config.nbits}: its {2**config.nbits} centroids need "
                f"{POINTS_PER_CENTROID * 2**config.nbits}",
                mend=f"{mend}, or raise training_sample" if sample < count else mend,
            )
        if config.nlist is None:
            return max(1, min(round(4 * math.sqrt(count)), supported))
        if config.nlist > supported:
            mend = f"set nlist to {supported} or less"
            raise UsageError(
                f"{drawn} are too few for nlist = {config.nlist}, which needs {POINTS_PER_CENTROID * config.nlist}",
                mend=f"{mend}, or raise training_sample" if sample < count else mend,
            )
        return config.nlist

    def search(
        self, embeddings: Path, structure: Path | None, queries: np.ndarray, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search ``nprobe`` cells; re-rank from the shards if ``refine`` is set."""
        index: Any = _faiss.read(structure, queries)
        index.nprobe = self.config.nprobe
        if not self.config.refine:
            return _faiss.padded(index.search(queries, depth), depth)
        _, rows = index.search(queries, depth * self.config.refine)
        return _faiss.padded(_faiss.reranked(embeddings, queries, rows), depth)
