"""Embeddings on disk and exact search over them, in memory bounded by a block.

::

    FOLDER/shard-00000.npy      float16, shape (passages, dim), in corpus order
    FOLDER/shard-00000.json     docids, and the SHA-256 of the .npy file; written last: without it there is no shard

Shards are numbered in corpus order and written one after the other, so an interrupted encoding goes on after the last
whole shard.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mdrbench.errors import StepError
from mdrbench.store import file_sha256, write_atomically
from mdrbench.types import Hit

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Shard:
    """One finished shard: the matrix file (float16, shape (len(docids), dim)) and the docids of its rows."""

    path: Path
    docids: list[str]


def write_shard(folder: Path, number: int, docids: list[str], matrix: np.ndarray) -> None:
    """Write one shard; ``matrix`` has shape (len(docids), dim) and is stored as float16.

    Raises:
        StepError: a value is not finite in float16, which would poison every ranking.
    """
    import numpy as np

    with np.errstate(over="ignore"):  # what overflows is found below and named
        half = matrix.astype(np.float16)
    if not np.isfinite(half).all():
        row = int(np.argwhere(~np.isfinite(half).all(axis=1))[0][0])
        raise StepError(f"the embedding of '{docids[row]}' is not finite in float16", mend="try --set with fp32")
    path = folder / f"shard-{number:05}.npy"
    np.save(path, half)
    note = {"docids": docids, "sha256": file_sha256(path)}
    write_atomically(path.with_suffix(".json"), json.dumps(note, ensure_ascii=False))


def shards(folder: Path, *, check: bool = False) -> Iterator[Shard]:
    """The finished shards in order, up to the first gap; with ``check`` a shard whose bytes changed ends them too."""
    number = 0
    while True:
        path = folder / f"shard-{number:05}.npy"
        try:
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if check and file_sha256(path) != note["sha256"]:
                return
        except (OSError, ValueError):
            return
        yield Shard(path, note["docids"])
        number += 1


def exact_search(folder: Path, queries: torch.Tensor, depth: int) -> list[list[Hit]]:
    """The ``depth`` passages with the largest inner product for each query, best first (see :func:`top`).

    Args:
        queries: float32, shape (queries, dim).
    """
    docids = [docid for shard in shards(folder) for docid in shard.docids]
    scores, rows = (found.tolist() for found in top(folder, queries, depth))
    return [[Hit(docids[r], s) for s, r in zip(*pair, strict=True)] for pair in zip(scores, rows, strict=True)]


def top(folder: Path, queries: torch.Tensor, depth: int, *, block: int = 8192) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (float32) and rows (int64, in corpus order) of each query's best passages, both (queries, <= depth).

    Memory holds one block of passages, its scores and the best so far, never the index. Once ``depth`` passages are
    known, only scores above the worst of them are looked at. The result does not depend on ``block`` or on how passages
    are cut into shards, except among equal scores at the very last rank.

    Args:
        queries: float32, shape (queries, dim).
        depth: hits a query.
        block: passages scored at once.
    """
    import torch

    best = _Best(len(queries), depth)
    buffer = torch.empty(len(queries), block)
    first = 0
    for part in _blocks(folder, block):
        scores = buffer if len(part) == block else torch.empty(len(queries), len(part))
        torch.mm(queries, part.T, out=scores)  # (queries, block)
        best.add(scores, first)
        first += len(part)
    return best.sorted()


def _blocks(folder: Path, block: int) -> Iterator[torch.Tensor]:
    """The embeddings as float32 tensors of shape (block, dim), the last of each shard possibly shorter."""
    import numpy as np
    import torch

    for shard in shards(folder):
        matrix = np.load(shard.path, mmap_mode="r")
        for start in range(0, len(matrix), block):
            yield torch.from_numpy(matrix[start : start + block].astype(np.float32))


class _Best:
    """The best scores of each query so far, with candidates that are merged in when enough have gathered."""

    def __init__(self, queries: int, depth: int):
        import torch

        self.depth = depth
        self.scores = torch.empty(queries, 0)
        self.rows = torch.empty(queries, 0, dtype=torch.int64)
        self.floor = torch.full((queries, 1), -torch.inf)  # what a score must exceed to matter

    def add(self, scores: torch.Tensor, first: int) -> None:
        """Take in a block of scores, shape (queries, block), whose first passage has row ``first``."""
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
        """Scores descending with their rows."""
        self._merge()
        scores, order = self.scores.sort(dim=1, descending=True)
        return scores, self.rows.gather(1, order)
