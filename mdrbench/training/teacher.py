"""A teacher's scores of the queries and passages of a batch, for distillation and for masking.

Of a dense retriever the embeddings are computed once, for all trainings on the same data; a batch's scores are inner
products of them. Any pair of the batch has a score, so in-batch negatives are taught too.

Any other retriever, such as a cross-encoder that reranks or a fusion, teaches the scores of its rankings. A pair that
it did not rank has no score (NaN): nothing is learned about it, and it is not masked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mdrbench.core.errors import DataError
from mdrbench.core.types import Run
from mdrbench.training import Key
from mdrbench.training.mapped import Column, Ragged, mapped, note_of, seal
from mdrbench.training.token_files import TrainingData

if TYPE_CHECKING:
    import numpy as np


class Teacher(Protocol):
    """Scores pairs of queries and passages, by their rows (:class:`mdrbench.training.token_files.TrainingData`)."""

    def scores(self, queries: Sequence[int], passages: Sequence[int]) -> np.ndarray:
        """Return scores (len(queries), len(passages)), float32; NaN for a pair without one."""

    def sha256(self) -> str:
        """Return a hash of all that decides a score: part of a training's identity."""


def opened(folder: Path) -> Embeddings | Rankings:
    """Map the files of a teacher that :func:`write_embeddings` or :func:`write_rankings` wrote."""
    note = note_of(folder)
    if "dim" in note:
        queries, passages = (
            Rows(
                mapped(folder / f"{side}-places.i32", "int32"),
                mapped(folder / f"{side}.f16", "float16").reshape(-1, note["dim"]),
            )
            for side in SIDES
        )
        return Embeddings(queries, passages, note["sha256"])
    hits, scores = (Ragged.open(folder, name, dtype) for name, dtype in (("hits", "int32"), ("scores", "float32")))
    return Rankings(hits, scores, note["sha256"], note["coverage"])


# -- embeddings --------------------------------------------------------------------------------------------------------

SIDES = ("queries", "passages")


class Rows(NamedTuple):
    """Embeddings: row ``n`` of the training is ``matrix[places[n]]``; ``matrix`` has shape (embeddings, dim)."""

    places: np.ndarray
    matrix: np.ndarray

    def of(self, rows: Sequence[int]) -> np.ndarray:
        """Return the embeddings of rows, float32."""
        import numpy as np

        found: np.ndarray = self.matrix[self.places[rows]].astype(np.float32)
        return found


class Embeddings:
    """See :class:`Teacher`: inner products of stored embeddings."""

    def __init__(self, queries: Rows, passages: Rows, digest: str):
        self._sides, self._digest = (queries, passages), digest

    def scores(self, queries: Sequence[int], passages: Sequence[int]) -> np.ndarray:
        """See :class:`Teacher`."""
        found: np.ndarray = self._sides[0].of(queries) @ self._sides[1].of(passages).T
        return found

    def sha256(self) -> str:
        """See :class:`Teacher`."""
        return self._digest


class Side(NamedTuple):
    """The embeddings of all queries or of all passages.

    Attributes:
        names: of the embeddings, in order.
        places: (rows of the training,) position of each in ``names``, int32.
        parts: matrices (n, dim), float16, in the order of ``names``.
        hashed_as: the dtype in which the embeddings are hashed.
    """

    names: Iterable[Key]
    places: np.ndarray
    parts: Iterable[np.ndarray]
    hashed_as: str


def write_embeddings(folder: Path, made_of: str, queries: Side, passages: Side) -> None:
    """Write the files of :class:`Embeddings`; memory holds one part."""
    digest = hashlib.sha256()
    dim = 0
    for name, side in zip(SIDES, (queries, passages), strict=True):
        side.places.tofile(folder / f"{name}-places.i32")
        _hash_list(digest, "[", map(repr, side.names), "]")
        with open(folder / f"{name}.f16", "wb") as file:
            for part in side.parts:
                digest.update(part.astype(side.hashed_as).tobytes())
                file.write(part.tobytes())
                dim = part.shape[1]
    seal(folder, made_of, {"dim": dim, "sha256": digest.hexdigest()})


def _hash_list(digest: Any, start: str, items: Iterable[str], stop: str) -> None:
    """Hash what ``repr`` gives for a list or a dictionary with these items."""
    digest.update(start.encode())
    for number, item in enumerate(items):
        digest.update(f"{', ' * bool(number)}{item}".encode())
    digest.update(stop.encode())


# -- rankings ----------------------------------------------------------------------------------------------------------


class Rankings:
    """See :class:`Teacher`: the scores of a ranking, for the pairs that it holds.

    Args:
        hits: for each query the rows of its passages, ascending.
        scores: of these passages.
        coverage: the number of pairs of a query and a passage of its group, and how many of them have a score.
    """

    def __init__(self, hits: Ragged, scores: Ragged, digest: str, coverage: dict[str, int]):
        self._hits, self._scores, self._digest, self.coverage = hits, scores, digest, coverage

    def scores(self, queries: Sequence[int], passages: Sequence[int]) -> np.ndarray:
        """See :class:`Teacher`."""
        import numpy as np

        wanted = np.asarray(passages)
        found = np.full((len(queries), len(wanted)), np.nan, dtype=np.float32)
        for row, query in zip(found, queries, strict=True):
            hits, scores = self._hits[query], self._scores[query]
            at = np.searchsorted(hits, wanted)
            held = at < len(hits)
            held[held] = hits[at[held]] == wanted[held]
            row[held] = scores[at[held]]
        return found

    def sha256(self) -> str:
        """See :class:`Teacher`."""
        return self._digest


def write_rankings(folder: Path, made_of: str, data: TrainingData, runs: Iterable[tuple[str, Run]]) -> None:
    """Write the files of :class:`Rankings`: of each language's run what concerns the groups' passages.

    Args:
        runs: language and run, in the order of the languages of ``data``.

    Raises:
        DataError: the teacher ranked none of a language's pairs, so nothing could be learned.
    """
    import numpy as np

    coverage = {"pairs": 0, "scored": 0}

    def hashed() -> Iterator[str]:
        """Write the queries; yield what is hashed of each."""
        for lang, run in runs:
            rows, pairs, scored = data.passage_rows(lang), 0, 0
            for query in (row for row, key in enumerate(data.keys) if key[0] == lang):
                key = data.keys[query]
                named = {(lang, hit.docid): hit.score for hit in run.get(key[1], []) if hit.docid in rows}
                own = sorted((rows[docid], score) for (_, docid), score in named.items())
                hits.add([np.array([row for row, _ in own], dtype=np.int32)])
                scores.add([np.array([score for _, score in own], dtype=np.float32)])
                of_group = np.concatenate([data.positives[query], data.negatives[query]])
                pairs += len(of_group)
                scored += int(np.isin(of_group, [row for row, _ in own]).sum())
                yield f"{key!r}: {named!r}"
            if pairs and not scored:
                raise DataError(
                    f"the teacher ranked no passage of {lang}'s groups", mend="set another training.teacher"
                )
            coverage["pairs"] += pairs
            coverage["scored"] += scored

    digest = hashlib.sha256()
    with Column(folder, "hits") as hits, Column(folder, "scores") as scores:
        _hash_list(digest, "{", hashed(), "}")
    seal(folder, made_of, {"coverage": coverage, "sha256": digest.hexdigest()})
