"""Shared by the members that build a faiss structure: building, reading, padding of results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.atomic_files import whole
from mdrbench.core.environment import package_version
from mdrbench.core.errors import StepError
from mdrbench.retrieval import vectors

if TYPE_CHECKING:
    import numpy as np

FILE = "structure.faiss"

PAIRS = 16_384
"""Pairs of query and candidate that are scored at once when re-ranking; limits the vectors in memory."""


def conventions(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return kind, parameters and the version of faiss."""
    return {"index": kind, **settings, "faiss": package_version("faiss-cpu")}


def shape(embeddings: Path) -> tuple[int, int]:
    """Return number and width of the vectors; a StepError if there are none."""
    count, dim = 0, 0
    for start, matrix in vectors.matrices(embeddings):
        count, dim = start + len(matrix), matrix.shape[1]
    return count, dim


def build(
    index: Any,
    embeddings: Path,
    out: Path,
    count: int,
    trained_on: int | None,
    progress: Callable[[int], None],
    shape: Callable[[np.ndarray], np.ndarray] = lambda block: block,
) -> dict[str, Any]:
    """Add all vectors to a trained index and write it as ``structure.faiss``, whole or not at all.

    Memory holds the structure and one block.

    Args:
        index: a ``faiss.Index`` or a ``faiss.IndexBinary``.
        trained_on: vectors that it was trained on; None for a kind that is never trained.
        shape: applied to each block, float32, shape (passages, dim), before it is added.
    """
    import faiss

    start = time.perf_counter()
    for block in vectors.blocks(embeddings):
        index.add(shape(block))
        progress(index.ntotal)
    if index.ntotal != count:
        raise StepError(f"the structure holds {index.ntotal} of {count} vectors", where=str(embeddings))
    path = out / FILE
    with whole(path) as temporary:
        write = faiss.write_index_binary if isinstance(index, faiss.IndexBinary) else faiss.write_index
        write(index, str(temporary))
    return {
        "vectors": count,
        **({} if trained_on is None else {"trained_on": trained_on}),
        "bytes": path.stat().st_size,
        "seconds": round(time.perf_counter() - start, 3),
        "faiss": faiss.__version__,
    }


def read(structure: Path | None, queries: np.ndarray, *, binary: bool = False) -> Any:
    """Read the structure in the folder that ``build`` wrote to, and check the queries' width.

    Raises:
        StepError: it is missing, damaged, or of vectors of another width.
    """
    import faiss

    path = Path(structure or "") / FILE
    try:
        index = (faiss.read_index_binary if binary else faiss.read_index)(str(path))
    except RuntimeError as error:
        reason = str(error).rpartition("\n")[2] or str(error)
        reason = "it is missing" if not path.is_file() else reason.rpartition(": ")[2]
        raise StepError(f"the search structure cannot be read: {reason}", where=str(path), mend=vectors.ANEW) from None
    if index.d != queries.shape[1]:
        raise StepError(
            f"the queries have {queries.shape[1]} dimensions, the search structure {index.d}",
            where=str(path),
            mend="encode the queries with the model that encoded the passages",
        )
    return index


def padded(hits: tuple[Any, ...], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (float32) and rows (int64) of shape (queries, depth); a place without a hit has row -1, score -inf.

    Args:
        hits: scores and rows, both of shape (queries, any width).
    """
    import numpy as np

    scores, found = hits

    missing = max(0, depth - found.shape[1])
    found = np.pad(found[:, :depth].astype(np.int64), ((0, 0), (0, missing)), constant_values=-1)
    scores = np.pad(scores[:, :depth].astype(np.float32), ((0, 0), (0, missing)))
    return np.where(found < 0, np.float32(-np.inf), scores), found


def reranked(embeddings: Path, queries: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return exact scores of the rows, and the rows, best first; both of shape (queries, width).

    Rows below 0 are no candidates. Pairs are scored in the order of the rows, so that every shard is read once.
    """
    import numpy as np

    flat = rows.ravel()
    order = np.argsort(flat, kind="stable")
    ascending = flat[order]
    scores = np.full(flat.shape, -np.inf, np.float32)  # it stays so for row -1, with which faiss fills up
    for start, matrix in vectors.matrices(embeddings):
        first, last = np.searchsorted(ascending, (start, start + len(matrix)))
        for at in range(first, last, PAIRS):
            pairs = order[at : min(at + PAIRS, last)]
            wanted, place = np.unique(flat[pairs] - start, return_inverse=True)
            found = matrix[wanted].astype(np.float32)  # (<= PAIRS, dim)
            scores[pairs] = np.einsum("pd,pd->p", found[place], queries[pairs // rows.shape[1]])
    by_query = scores.reshape(rows.shape)
    best = np.argsort(-by_query, axis=1, kind="stable")
    return np.take_along_axis(by_query, best, axis=1), np.take_along_axis(rows, best, axis=1)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let faiss use this number of threads inside the block."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(number)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
