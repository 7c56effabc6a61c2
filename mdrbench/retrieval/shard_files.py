"""Shards of an index whose rows are not single vectors: arrays in ``.npz`` files, docids beside them, and merged hits.

::

    FOLDER/shard-00000.npz      named arrays of numpy, in corpus order
    FOLDER/shard-00000.json     docids, and the SHA-256 of the .npz file; written last: without it there is no shard
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import StepError
from mdrbench.core.store import file_sha256
from mdrbench.core.types import Hit, Passage, Run
from mdrbench.formats.trec import ranked
from mdrbench.retrieval.vectors import ANEW

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray]


def write(folder: Path, number: int, docids: list[str], arrays: Arrays) -> None:
    """Write one shard."""
    import numpy as np

    folder.mkdir(exist_ok=True)
    path = folder / f"shard-{number:05}.npz"
    np.savez(path, allow_pickle=False, **arrays)
    note = {"docids": docids, "sha256": file_sha256(path)}
    write_atomically(path.with_suffix(".json"), json.dumps(note, ensure_ascii=False))


def finished(folder: Path) -> Iterator[list[str]]:
    """Yield the docids of the shards that an interrupted attempt finished, up to the first that is damaged."""
    number = 0
    while True:
        path = folder / f"shard-{number:05}.npz"
        try:
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if file_sha256(path) != note["sha256"]:
                return
            yield note["docids"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        number += 1


def read(folder: Path) -> Iterator[tuple[list[str], Arrays]]:
    """Yield docids and arrays of all shards in corpus order; memory holds one shard.

    Raises:
        StepError: there is no shard, or a file is damaged.
    """
    import numpy as np

    count = sum(1 for _ in folder.glob("shard-*.json"))
    if not count:
        raise StepError("the index holds no shards", where=str(folder), mend=ANEW)
    for number in range(count):
        path = folder / f"shard-{number:05}.npz"
        try:
            docids = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["docids"]
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise StepError(f"the shard cannot be read: {error}", where=str(path), mend=ANEW) from None
        yield docids, arrays


def index(
    passages: Iterable[Passage],
    out: Path,
    size: int,
    encode: Callable[[list[Passage], Callable[[int], None]], Arrays],
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Encode a corpus into shards of ``size`` passages; keep the shards that an earlier attempt finished.

    Args:
        encode: passages of a shard, and a function that is told how many are done -> arrays.

    Returns:
        Facts: passages ``indexed``, ``skipped`` (none), and ``resumed_after``.
    """
    out.mkdir(exist_ok=True)
    stream = iter(passages)
    number = total = 0
    for docids in finished(out):
        if [passage.docid for passage in islice(stream, len(docids))] != docids:
            raise ValueError("the shards belong to another corpus")  # the key makes this impossible
        number, total = number + 1, total + len(docids)
    resumed = total
    while window := list(islice(stream, size)):
        write(out, number, [passage.docid for passage in window], encode(window, _counted_from(total, progress)))
        number, total = number + 1, total + len(window)
    return {"indexed": total, "skipped": 0, "resumed_after": resumed}


def _counted_from(done: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    """Return a progress function for a window of passages that follows ``done`` others."""
    return lambda n: progress(done + n)


class Merged:
    """The best hits of each topic over all shards, by the tie rule of runs."""

    def __init__(self, qids: Iterable[str], depth: int):
        self.depth = depth
        self._hits: Run = {qid: [] for qid in qids}

    def add(self, scores: np.ndarray, docids: list[str], above: float = float("-inf")) -> None:
        """Add the scores of some passages, shape (topics, len(docids)); only those greater than ``above`` are hits."""
        import numpy as np

        keep = min(self.depth, len(docids))
        for qid, row in zip(self._hits, scores, strict=True):
            floor = max(float(np.partition(row, -keep)[-keep]), np.nextafter(np.float32(above), np.float32(np.inf)))
            best = np.flatnonzero(row >= floor)  # ties at the last rank stay in until the docids decide
            hits = [Hit(docids[at], float(row[at])) for at in best.tolist()]
            self._hits[qid] = ranked([*self._hits[qid], *hits])[: self.depth]

    def run(self) -> Run:
        """Return the run."""
        return self._hits
