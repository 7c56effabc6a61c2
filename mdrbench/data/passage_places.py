"""Fetch passages of a corpus by docid or row, without a pass over the whole corpus.

The check of a corpus writes where each passage stands (:class:`mdrbench.data.docid_table.DocidTable`): 16 bytes a
passage, mapped from disk. A plain shard is read at those bytes alone. A ``.gz`` shard is inflated, but only the wanted
passages are decoded and parsed, and several shards are inflated at once. Every passage that is read is compared with
its docid, so a table that does not fit the corpus costs time, never a wrong passage.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mdrbench.core.console import say
from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage
from mdrbench.data.docid_table import DocidTable
from mdrbench.data.miracl_layout import SHARD_BITS, MiraclFolder, parse_passage
from mdrbench.formats.trec import lines_at

if TYPE_CHECKING:
    import numpy as np


class PassagePlaces:
    """The passages of a language by docid or row.

    Args:
        table: the docid table of the corpus; None, or one without places, if there is none. All passages are read then.
        duplicates: docids that occur more than once in the corpus.
    """

    def __init__(self, folder: MiraclFolder, lang: str, table: Path | None, duplicates: Iterable[str] = ()):
        self.folder = folder
        self.lang = lang
        self.duplicates = list(duplicates)
        self.table = table if table and DocidTable.places(table).is_file() else None

    def passages(self, wanted: set[str]) -> Iterator[Passage]:
        """Yield the wanted passages in corpus order; docids that the corpus lacks are left out."""
        if self.table is None:
            say(f"{self.lang}: the whole corpus is read: its check by an older mdrbench wrote no offsets")
            yield from (passage for passage in self._everything() if passage.docid in wanted)
            return
        missing = set(wanted)
        for passage in self._read(_places_of(self.table, wanted)):
            if passage.docid in missing:
                missing.remove(passage.docid)
                yield passage
        if missing:  # two docids with one hash, a changed file, or passages that the corpus lacks
            yield from (passage for passage in self._everything() if passage.docid in missing)

    def docids(self, rows: set[int], total: int) -> dict[int, str]:
        """Return row -> docid for rows of the corpus, counted without repeated passages.

        Args:
            total: passages of the corpus.
        """
        import numpy as np

        ordered = sorted(rows)
        places = np.sort(np.fromfile(DocidTable.places(self.table), np.uint64)) if self.table else np.empty(0)
        if len(places) != total:  # no table, or two docids with one hash
            return {row: passage.docid for row, passage in enumerate(self._everything()) if row in rows}
        docids = [passage.docid for passage in self._read(places[np.array(ordered, dtype=np.int64)])]
        return dict(zip(ordered, docids, strict=True))

    def _everything(self) -> Iterator[Passage]:
        return self.folder.passages(self.lang, self.duplicates)

    def _read(self, places: np.ndarray) -> Iterator[Passage]:
        """Yield the passages at ascending places."""
        paths = self.folder.corpus_files(self.lang)
        mask = (1 << SHARD_BITS) - 1
        by_shard = [
            (paths[shard], [place & mask for place in group])
            for shard, group in groupby(places.tolist(), key=lambda place: place >> SHARD_BITS)
            if shard < len(paths)
        ]
        cores = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(cores) as pool:
            reading: deque[Future[list[Passage]]] = deque()
            for path, begins in by_shard:
                reading.append(pool.submit(_passages_at, path, begins))
                if len(reading) > cores:
                    yield from reading.popleft().result()
            while reading:
                yield from reading.popleft().result()


def _places_of(table: Path, wanted: set[str]) -> np.ndarray:
    """Return the places of the docids that the table has, ascending."""
    import numpy as np

    hashes, places = (np.memmap(path, np.uint64, "r") for path in (table, DocidTable.places(table)))
    asked = np.sort(np.fromiter((DocidTable.hash(docid) for docid in wanted), np.uint64, len(wanted)))
    at = np.searchsorted(hashes, asked)
    at = at[at < len(hashes)]
    return np.sort(places[at[hashes[at] == asked[: len(at)]]])


def _passages_at(path: Path, begins: list[int]) -> list[Passage]:
    """Return the passages of a shard up to the first that cannot be read."""
    found = []
    with suppress(DataError):  # the pass over the whole corpus says what is wrong
        for line in lines_at(path, begins):
            found.append(parse_passage(line, str(path)))
    return found
