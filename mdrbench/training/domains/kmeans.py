"""k-means over the passages of all languages, in the embedding space of the recipe's encoder. Clusters have no names.

Spherical k-means of faiss, seeded: the same embeddings give the same clusters. ``cluster-0`` is the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mdrbench.core.environment import package_version
from mdrbench.core.errors import DataError
from mdrbench.core.members import Spec
from mdrbench.core.types import Passage
from mdrbench.training.domains import DOMAINS, Embed, _embedding, shares

if TYPE_CHECKING:
    import numpy as np


class Config(_embedding.EmbeddingConfig):
    """``centre`` subtracts the mean of all passages, or of each language's passages, before clustering. Without it,
    clusters follow languages and not subjects."""

    k: int = Field(default=len(DOMAINS), ge=1, description="number of clusters")
    iterations: int = Field(default=25, ge=1)
    tries: int = Field(default=5, ge=1, description="number of starts; the result with the lowest distortion counts")
    seed: int = Field(default=42, ge=0, lt=2**31)
    centre: _embedding.Centre = "language"
    title_separator: str = Field(default=" ", description="text between title and text")


class KMeans:
    """See :class:`mdrbench.training.domains.Labeller`."""

    spec = Spec(Config, version=1, added=_embedding.ADDED)

    def __init__(self, config: Config):
        self.config = config
        self._labels: dict[str, list[str]] = {}

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the model of a named encoder; the recipe's own is there."""
        self.config.prepare(say)

    def conventions(self) -> dict[str, Any]:
        """Return the settings and the version of faiss."""
        return {"domains": "kmeans", **self.config.conventions(), "faiss": package_version("faiss-cpu")}

    def label(self, passages: dict[str, list[Passage]], embed: Embed | None) -> dict[str, list[str]]:
        """Return ``cluster-0`` to ``cluster-(k-1)``, over all languages together.

        Raises:
            DataError: there are fewer passages than clusters.
        """
        import numpy as np

        count = sum(map(len, passages.values()))
        if count < self.config.k:
            raise DataError(
                f"{count} passages cannot be put into {self.config.k} clusters", mend="lower k, or use the domains none"
            )
        embed = self.config.embed(embed)
        vectors = _embedding.passages("kmeans", passages, self.config.title_separator, embed, self.config.centre)
        clusters = iter(self._cluster(np.concatenate(list(vectors.values()))))
        self._labels = {lang: [f"cluster-{next(clusters)}" for _ in found] for lang, found in passages.items()}
        return self._labels

    def _cluster(self, vectors: np.ndarray) -> list[int]:
        """Return the cluster of each row, numbered by size, largest first."""
        import faiss
        import numpy as np

        kmeans = faiss.Kmeans(
            vectors.shape[1],
            self.config.k,
            niter=self.config.iterations,
            nredo=self.config.tries,
            seed=self.config.seed,
            spherical=True,
            min_points_per_centroid=1,  # fewer than 39 make faiss print a warning
            max_points_per_centroid=len(vectors),  # faiss would leave out what is beyond 256 a centroid
        )
        kmeans.train(np.ascontiguousarray(vectors))
        nearest = kmeans.index.search(vectors, 1)[1][:, 0]  # (passages,)
        by_size = np.argsort(-np.bincount(nearest, minlength=self.config.k), kind="stable")
        clusters: list[int] = np.argsort(by_size)[nearest].tolist()
        return clusters

    def facts(self) -> dict[str, Any]:
        """Return the number of passages by language and cluster, and the share of the largest cluster."""
        return shares(self._labels)
