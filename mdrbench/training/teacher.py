"""A teacher's scores of the queries and passages of a batch, for distillation and for masking.

Of a dense retriever the embeddings are computed once, for all trainings on the same data; a batch's scores are inner
products of them. Any pair of the batch has a score, so in-batch negatives are taught too.

Any other retriever, such as a cross-encoder that reranks or a fusion, teaches the scores of its rankings. A pair that
it did not rank has no score (NaN): nothing is learned about it, and it is not masked.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mdrbench.core.errors import DataError
from mdrbench.training import Key

if TYPE_CHECKING:
    import numpy as np


class Teacher(Protocol):
    """Scores pairs of queries and passages."""

    def scores(self, queries: list[Key], passages: list[Key]) -> np.ndarray:
        """Return scores (len(queries), len(passages)), float32; NaN for a pair without one."""

    def sha256(self) -> str:
        """Return a hash of all that decides a score: part of a training's identity."""


class Rows(NamedTuple):
    """Embeddings with their names: ``matrix`` has shape (len(row), dim)."""

    row: dict[Key, int]
    matrix: np.ndarray

    def of(self, names: list[Key]) -> np.ndarray:
        """Return the embeddings of the names, float32.

        Raises:
            DataError: there is none for a name.
        """
        import numpy as np

        if absent := next((name for name in names if name not in self.row), None):
            raise DataError(f"the teacher has no embedding of '{absent[1]}' ({absent[0]})")
        return self.matrix[[self.row[name] for name in names]].astype(np.float32)


class Embeddings:
    """See :class:`Teacher`: inner products of stored embeddings."""

    def __init__(self, queries: Rows, passages: Rows):
        self._sides = (queries, passages)

    def scores(self, queries: list[Key], passages: list[Key]) -> np.ndarray:
        """See :class:`Teacher`."""
        found: np.ndarray = self._sides[0].of(queries) @ self._sides[1].of(passages).T
        return found

    def sha256(self) -> str:
        """See :class:`Teacher`."""
        digest = hashlib.sha256()
        for side in self._sides:
            digest.update(repr(list(side.row)).encode())
            digest.update(side.matrix.tobytes())
        return digest.hexdigest()


class Rankings:
    """See :class:`Teacher`: the scores of a ranking, for the pairs that it holds.

    Args:
        scores: query -> passage -> score.
    """

    def __init__(self, scores: dict[Key, dict[Key, float]]):
        self._scores = scores

    def scores(self, queries: list[Key], passages: list[Key]) -> np.ndarray:
        """See :class:`Teacher`."""
        import numpy as np

        none = float("nan")
        found = [[own.get(passage, none) for passage in passages] for own in map(self._scores.__getitem__, queries)]
        return np.array(found, dtype=np.float32).reshape(len(queries), len(passages))

    def holds(self, query: Key, passage: Key) -> bool:
        """Whether the pair has a score."""
        return passage in self._scores[query]

    def sha256(self) -> str:
        """See :class:`Teacher`."""
        return hashlib.sha256(repr(self._scores).encode()).hexdigest()
