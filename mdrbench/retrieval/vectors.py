"""Embeddings on disk and exact search over them; memory holds one block.

::

    FOLDER/shard-00000.npy      float16, shape (passages, dim), in corpus order
    FOLDER/shard-00000.json     docids, and the SHA-256 of the .npy file; written last: without it there is no shard

Shards are numbered and written in corpus order, so an interrupted encoding continues after the last whole shard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import StepError
from mdrbench.core.store import file_sha256
from mdrbench.core.types import Hit, Run, Topics

if TYPE_CHECKING:
    import numpy as np
    import torch


BLOCK = 8192
"""Passages that are held in memory at once."""


@dataclass(frozen=True)
class Shard:
    """One finished shard: the matrix file (float16, shape (len(docids), dim)) and the docids of its rows.

    Take shards one at a time (:func:`shards` is a stream): the docids of all of them may not fit into memory.
    """

    path: Path
    docids: list[str]


def write_shard(folder: Path, number: int, docids: list[str], matrix: np.ndarray, precision: str = "fp32") -> None:
    """Write one shard; ``matrix`` has shape (len(docids), dim) and is stored as float16.

    Args:
        precision: what the embeddings were computed in, for the advice in an error.

    Raises:
        StepError: a value is not a finite number in float16, which would spoil every ranking.
    """
    import numpy as np

    check_finite(docids, matrix, precision)
    with np.errstate(over="ignore"):  # an overflow is found below and named
        half = matrix.astype(np.float16)
    if not np.isfinite(half).all():
        row = int(np.argwhere(~np.isfinite(half).all(axis=1))[0][0])
        raise StepError(
            f"the embedding of '{docids[row]}' holds {np.abs(matrix[row]).max():g}, and float16 ends at 65504",
            mend="set normalize: true, so that embeddings have length 1",
        )
    path = folder / f"shard-{number:05}.npy"
    np.save(path, half)
    note = {"docids": docids, "sha256": file_sha256(path)}
    write_atomically(path.with_suffix(".json"), json.dumps(note, ensure_ascii=False))


def check_finite(names: list[str], matrix: np.ndarray, precision: str) -> None:
    """Raise a StepError for an embedding that is no finite number, shape (len(names), dim); it names the text."""
    import numpy as np

    if np.isfinite(matrix).all():
        return
    row = int(np.argwhere(~np.isfinite(matrix).all(axis=1))[0][0])
    weights = "look for numbers that are not finite in the model's weights, or download the model again"
    raise StepError(
        f"the embedding of '{names[row]}' is not finite in {precision}",
        mend=weights if precision == "fp32" else "set precision: fp32",
    )


def finished_shards(folder: Path) -> Iterator[Shard]:
    """Yield the shards that an interrupted encoding finished, in order, up to the first that is missing or damaged."""
    number = 0
    while True:
        path = folder / f"shard-{number:05}.npy"
        try:
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if file_sha256(path) != note["sha256"]:
                return
            yield Shard(path, note["docids"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        number += 1


def shards(folder: Path) -> Iterator[Shard]:
    """Yield all shards of a finished index in order.

    Raises:
        StepError: there is no shard, one is missing, or a file is damaged.
    """
    count = sum(1 for path in folder.glob("shard-*.json"))
    if not count:
        raise StepError("the index holds no embeddings", where=str(folder), mend=ANEW)
    for number in range(count):
        path = folder / f"shard-{number:05}.npy"
        yield _shard(path)


ANEW = "the index is damaged: remove it with `mdrbench cache rm KEY` and run the command again"


def _shard(path: Path) -> Shard:
    import numpy as np

    try:
        docids = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["docids"]
        matrix = np.load(path, mmap_mode="r")
        whole = (
            isinstance(docids, list) and matrix.ndim == 2 and matrix.dtype == np.float16 and len(matrix) == len(docids)
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise StepError(f"the shard cannot be read: {error}", where=str(path), mend=ANEW) from None
    if not whole:
        raise StepError("the matrix does not fit the docids beside it", where=str(path), mend=ANEW)
    return Shard(path, docids)


def docids(folder: Path, rows: np.ndarray) -> dict[int, str]:
    """Return row -> docid for the rows (in corpus order) that occur; rows below 0 are no hits."""
    import numpy as np

    wanted = np.unique(rows[rows >= 0])
    found: dict[int, str] = {}
    first = 0
    for shard in shards(folder):
        here = wanted[(wanted >= first) & (wanted < first + len(shard.docids))].tolist()
        found.update((row, shard.docids[row - first]) for row in here)
        first += len(shard.docids)
    return found


def hits(folder: Path, topics: Topics, scores: np.ndarray, found: np.ndarray) -> Run:
    """Return hits by topic from scores and rows, both of shape (topics, depth); rows below 0 are no hits."""
    names = docids(folder, found)
    return {
        qid: [Hit(names[row], score) for score, row in zip(*pair, strict=True) if row >= 0]
        for qid, *pair in zip(topics, scores.tolist(), found.tolist(), strict=True)
    }


def rows_of(folder: Path, wanted: set[str]) -> dict[str, int]:
    """Return docid -> row (in corpus order) of passages; docids that the index lacks are left out."""
    found: dict[str, int] = {}
    first = 0
    for shard in shards(folder):
        found.update((docid, first + at) for at, docid in enumerate(shard.docids) if docid in wanted)
        first += len(shard.docids)
    return found


def matrices(folder: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each shard's first row number and its matrix, mapped from disk: float16, shape (passages, dim)."""
    import numpy as np

    first = 0
    for shard in shards(folder):
        yield first, np.load(shard.path, mmap_mode="r")
        first += len(shard.docids)


def blocks(folder: Path, size: int = BLOCK, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Yield embeddings in corpus order as float32, shape (size, dim); the last block may be shorter.

    A block may span shards, so that the size of the shards changes nothing.

    Args:
        start, stop: the rows that are wanted; all of them by default.
    """
    import numpy as np

    parts: list[np.ndarray] = []
    held = 0
    for first, shard in matrices(folder):
        if stop is not None and first >= stop:
            break
        matrix = shard[max(0, start - first) : None if stop is None else stop - first]
        done = 0
        while done < len(matrix):
            part = matrix[done : done + size - held].astype(np.float32)
            parts.append(part)
            held += len(part)
            done += len(part)
            if held == size:
                yield parts[0] if len(parts) == 1 else np.concatenate(parts)
                parts, held = [], 0
    if parts:
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)


def rows(folder: Path, wanted: np.ndarray) -> np.ndarray:
    """Return the embeddings of ascending row numbers, float32, shape (len(wanted), dim)."""
    import numpy as np

    parts = []
    for first, matrix in matrices(folder):
        low, high = np.searchsorted(wanted, (first, first + len(matrix)))
        parts.append(matrix[wanted[low:high] - first].astype(np.float32))
    return np.concatenate(parts)


def top(
    folder: Path, queries: np.ndarray, depth: int, *, block: int = BLOCK, start: int = 0, stop: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Search exactly: :func:`best_of` over the embeddings of a folder, or over a range of rows of them.

    Args:
        start, stop: the range, if not all rows are searched; ``start`` is a multiple of ``block``, so that the blocks
            are those of a search over all rows.
    """
    scores, rows = best_of(lambda: blocks(folder, block, start, stop), queries, depth)
    return scores, rows + start


def merge(parts: list[tuple[np.ndarray, np.ndarray]], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Merge what :func:`best_of` found in ranges of rows, given in the order of the ranges; the same result as one
    search over all rows."""
    import numpy as np

    scores, rows = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    order = np.lexsort((rows, -scores), axis=1)[:, :depth]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def best_of(
    passages: Callable[[], Iterable[np.ndarray]], queries: np.ndarray, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (float32) and rows (int64, corpus order) of each query's best passages, both (queries, <= depth).

    Among equal scores the first row comes first, at the last rank too, so the result does not depend on the size of the
    blocks. Memory holds one block of passages, its scores and the best so far, never the index.

    Args:
        passages: gives the blocks of embeddings in corpus order, float32, shape (passages, dim), all but the last of
            one size. It is called again only if :data:`SPARE` further passages tie with a query's last hit.
        queries: float32, shape (queries, dim).
        depth: hits per query.
    """
    import numpy as np

    kept = depth + SPARE
    while True:
        scores, rows = _largest(passages(), queries, kept)
        if scores.shape[1] < kept or (scores[:, -1] < scores[:, depth - 1]).all():
            break
        kept *= 4
    order = np.lexsort((rows, -scores), axis=1)[:, :depth]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


SPARE = 24
"""Hits that are kept beyond the depth: they show whether others tie with the last hit."""


def _largest(passages: Iterable[np.ndarray], queries: np.ndarray, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``kept`` largest inner products in descending order and their rows; equals come in any order."""
    import torch

    asked = torch.from_numpy(queries)
    best = _Best(len(queries), kept)
    buffer = torch.empty(len(queries), 0)
    first = 0
    with one_thread_each() as each:
        for block in passages:
            if buffer.shape[1] != len(block):
                buffer = torch.empty(len(queries), len(block))
            _multiply(asked, torch.from_numpy(block), buffer, each)
            best.add(buffer, first)
            first += len(block)
    scores, found = best.sorted()
    return scores.numpy(), found.numpy()


COLUMNS = 1024
"""Passages of a block that one thread compares with the queries; a block that is not a multiple of it is not cut."""


def _multiply(queries: torch.Tensor, passages: torch.Tensor, out: torch.Tensor, each: ThreadPoolExecutor) -> None:
    """Write the inner products, shape (queries, passages). Their bits do not depend on the number of threads.

    A matrix product of several threads may add in another order than that of one, so no product has several.
    """
    import torch

    width = COLUMNS if len(passages) % COLUMNS == 0 else len(passages)

    def columns(at: int) -> None:
        out[:, at : at + width] = torch.mm(queries, passages[at : at + width].T)

    list(each.map(columns, range(0, len(passages), width)))


@contextmanager
def one_thread_each() -> Iterator[ThreadPoolExecutor]:
    """Give a pool with as many threads as torch has; operations of torch inside it run on one thread each."""
    import torch

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def score(
    folder: Path, queries: np.ndarray, wanted: list[list[str]], shape: Callable[[np.ndarray], np.ndarray] = lambda m: m
) -> list[list[float]]:
    """Return the inner products of each query with passages of its own.

    Args:
        queries: float32, shape (queries, dim).
        wanted: docids for each query, all of them in the folder.
        shape: applied to embeddings, shape (passages, dim), before they are compared.
    """
    import numpy as np

    row_of = rows_of(folder, {docid for docids_ in wanted for docid in docids_})
    order = np.unique(np.fromiter(row_of.values(), dtype=np.int64, count=len(row_of)))
    matrix = shape(rows(folder, order))
    at = {docid: int(np.searchsorted(order, row)) for docid, row in row_of.items()}
    return [
        (matrix[[at[docid] for docid in docids_]] @ query).tolist()
        for query, docids_ in zip(queries, wanted, strict=True)
    ]


class _Best:
    """The best scores of each query so far, and candidates, which are merged when there are enough."""

    def __init__(self, queries: int, depth: int):
        import torch

        self.depth = depth
        self.scores = torch.empty(queries, 0)
        self.rows = torch.empty(queries, 0, dtype=torch.int64)
        self.floor = torch.full((queries, 1), -torch.inf)  # what a score must exceed to matter

    def add(self, scores: torch.Tensor, first: int) -> None:
        """Add a block of scores, shape (queries, block), whose first passage has row ``first``."""
        import torch

        width = scores.shape[1]
        if self.scores.shape[1] < self.depth:  # no floor yet
            values, columns = scores.topk(min(self.depth, width), dim=1, sorted=False)
            rows = columns + first
        else:
            found = (scores > self.floor).view(-1).nonzero().squeeze(1)  # positions in the flattened block
            if not len(found):
                return
            query = found // width
            counts = torch.bincount(query, minlength=len(scores))
            place = torch.arange(len(found)) - (counts.cumsum(0) - counts)[query]
            values = torch.full((len(scores), int(counts.max())), -torch.inf)
            rows = torch.full(values.shape, -1)
            values[query, place] = scores.view(-1)[found]
            rows[query, place] = found - query * width + first
        self.scores = torch.cat([self.scores, values], dim=1)
        self.rows = torch.cat([self.rows, rows], dim=1)
        if self.scores.shape[1] >= 1.5 * self.depth or self.floor[0, 0] == -torch.inf:
            self._merge()

    def _merge(self) -> None:
        if self.scores.shape[1] > self.depth:
            self.scores, kept = self.scores.topk(self.depth, dim=1, sorted=False)
            self.rows = self.rows.gather(1, kept)
        if self.scores.shape[1] == self.depth:
            self.floor = self.scores.min(dim=1, keepdim=True).values

    def sorted(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores in descending order with their rows."""
        self._merge()
        scores, order = self.scores.sort(dim=1, descending=True)
        return scores, self.rows.gather(1, order)
