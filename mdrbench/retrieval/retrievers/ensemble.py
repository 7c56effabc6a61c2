"""Ensemble: one exact search by the weighted sum of several encoders' cosines.

Each encoder's embedding is normalised, scaled by the square root of its weight and concatenated with the others. The
inner product of two rows is then the weighted sum of cosines: the feature fusion of Huang et al. (EMNLP 2025), without
the projection to a common width that their text names. ``projection`` adds a random, seeded one. Each encoder's
embeddings are an index of their own, shared with the encoder's own recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from mdrbench.core.members import MemberConfig, RetrieverMembers, Spec
from mdrbench.core.types import Run, Scores, Topics
from mdrbench.retrieval import vectors

if TYPE_CHECKING:
    import numpy as np

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Projection(MemberConfig):
    """A Gaussian projection of every encoder to one width (Johnson and Lindenstrauss 1984)."""

    dim: int = Field(ge=1)
    seed: int = Field(default=42, ge=0)


class Config(MemberConfig):
    """``of``: label -> dense retriever; a recipe file may give a recipe's name, or a list of names."""

    of: RetrieverMembers = Field(min_length=1)
    weights: dict[str, Weight] | None = Field(
        default=None, description="label -> weight; None: equal weights with sum 1"
    )
    projection: Projection | None = None

    @model_validator(mode="after")
    def _fits(self) -> Config:
        for label, part in self.of.items():
            if part.name != "dense":
                raise ValueError(f"'{label}' is not a dense retriever; fuse runs with the retriever hybrid instead")
        if self.weights is not None and set(self.weights) != set(self.of):
            raise ValueError(f"weights are for {sorted(self.weights)}, the parts are {sorted(self.of)}")
        return self


class Ensemble:
    """A retriever that combines indexes: ``search`` gets the parts' indexes by label, and there is no ``index``."""

    spec = Spec(Config, version=2, combines="indexes")

    def __init__(self, config: Config):
        self.config = config
        self.weights = config.weights or dict.fromkeys(config.of, 1 / len(config.of))

    @cached_property
    def parts(self) -> dict[str, Any]:
        """The dense retrievers by label."""
        return {label: part.build() for label, part in self.config.of.items()}

    def prepare(self, say: Callable[[str], None]) -> None:
        """Download the parts' models."""
        for part in self.parts.values():
            part.prepare(say)

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return weights, projection, and each part's conventions under its label."""
        return {
            "similarity": "weighted sum of cosines",
            "weights": self.weights,
            "projection": self.config.projection.model_dump() if self.config.projection else None,
            "parts": {label: part.conventions(lang) for label, part in self.parts.items()},
        }

    def search(self, lang: str, indexes: dict[str, Path], topics: Topics, depth: int) -> Run:
        """Search all topics exactly, in one pass over the parts' embeddings."""
        scores, rows = vectors.best_of(lambda: self._passages(indexes), self._queries(topics), depth)
        return vectors.hits(next(iter(indexes.values())), topics, scores, rows)

    def score(self, lang: str, indexes: dict[str, Path], topics: Topics, wanted: dict[str, list[str]]) -> Scores:
        """Return the weighted sum of cosines of each topic in ``wanted`` with the passages listed for it."""
        import numpy as np

        asked = {qid: topics[qid] for qid in wanted}
        found = [
            vectors.score(
                indexes[label],
                self._shaped(label, part.encode(asked)),
                list(wanted.values()),
                partial(self._shaped, label),
            )
            for label, part in self.parts.items()
        ]
        sums = [np.sum(of_query, axis=0).tolist() for of_query in zip(*found, strict=True)]
        return {qid: dict(zip(wanted[qid], scores, strict=True)) for qid, scores in zip(wanted, sums, strict=True)}

    def _queries(self, topics: Topics) -> np.ndarray:
        import numpy as np

        return np.concatenate([self._shaped(label, part.encode(topics)) for label, part in self.parts.items()], axis=1)

    def _passages(self, indexes: dict[str, Path]) -> Iterator[np.ndarray]:
        """Yield blocks of shape (passages, sum of widths)."""
        import numpy as np

        for blocks in zip(*(vectors.blocks(indexes[label]) for label in self.parts), strict=True):
            shaped = [self._shaped(label, block) for label, block in zip(self.parts, blocks, strict=True)]
            yield np.concatenate(shaped, axis=1)

    def _shaped(self, label: str, matrix: np.ndarray) -> np.ndarray:
        """Return a part's embeddings, shape (rows, dim), projected if asked for, normalised and weighted; float32."""
        import numpy as np

        if self.config.projection:
            matrix = matrix @ self._projection(self.config.projection, label, matrix.shape[1])
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
        weighted: np.ndarray = matrix / np.maximum(norms, 1e-12) * sqrt(self.weights[label])
        return weighted.astype(np.float32)

    def _projection(self, wanted: Projection, label: str, width: int) -> np.ndarray:
        import numpy as np

        rng = np.random.default_rng([wanted.seed, list(self.config.of).index(label)])
        return rng.standard_normal((width, wanted.dim), dtype=np.float32)
