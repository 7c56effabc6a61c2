"""Fetch passages of a corpus by docid, row or window of rows, without a pass over the whole corpus.

The check of a corpus writes where each passage stands (:class:`mdrbench.data.docid_table.DocidTable`): 16 bytes a
passage, mapped from disk. A plain shard is read at those bytes alone. A ``.gz`` shard is inflated, but only the wanted
passages are decoded and parsed, and several shards are inflated at once. Every passage that is read is compared with
its docid, so a table that does not fit the corpus costs time, never a wrong passage.
"""

from __future__ import annotations

import gzip
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from mdrbench.core.console import say
from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage
from mdrbench.data.docid_table import DocidTable
from mdrbench.data.miracl_layout import SHARD_BITS, MiraclFolder, parse_passage, place
from mdrbench.formats.trec import lines_at, lines_from

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
            yield from (passage for passage in self.everything() if passage.docid in wanted)
            return
        missing = set(wanted)
        for passage in self._read(_places_of(self.table, wanted)):
            if passage.docid in missing:
                missing.remove(passage.docid)
                yield passage
        if missing:  # two docids with one hash, a changed file, or passages that the corpus lacks
            yield from (passage for passage in self.everything() if passage.docid in missing)

    def docids(self, rows: set[int], total: int) -> dict[int, str]:
        """Return row -> docid for rows of the corpus, counted without repeated passages.

        Args:
            total: passages of the corpus.
        """
        import numpy as np

        ordered = sorted(rows)
        if (places := self.in_order(total)) is None:
            return {row: passage.docid for row, passage in enumerate(self.everything()) if row in rows}
        docids = [passage.docid for passage in self._read(places[np.array(ordered, dtype=np.int64)])]
        return dict(zip(ordered, docids, strict=True))

    def in_order(self, total: int) -> np.ndarray | None:
        """Return the place of each passage, repeated ones left out; None without a table, or if two hashes are one."""
        import numpy as np

        places = np.sort(np.fromfile(DocidTable.places(self.table), np.uint64)) if self.table else np.empty(0)
        return places if len(places) == total else None

    def everything(self) -> Iterator[Passage]:
        """Yield all passages, of repeated ones the first."""
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


class CorpusWindows:
    """Windows of a corpus, each read from where it begins.

    The shard of the last window stays open, so that a window behind it goes on from there: a ``.gz`` shard is inflated
    once by a reader that goes forward. Lines before a window are not decoded.

    Args:
        corpus: with the table of this very corpus. Without one, each reader parses the corpus from its beginning.
        total: passages of the corpus, repeated ones left out.
    """

    def __init__(self, corpus: PassagePlaces, total: int):
        self.corpus = corpus
        self.total = total
        self._first_places = set(_places_of(corpus.table, set(corpus.duplicates)).tolist()) if corpus.table else set()
        self._starts: dict[tuple[int, int], list[int]] = {}
        self._stream: tuple[int, Iterator[Passage]] = (0, iter(()))
        self._file: BinaryIO | None = None
        self._shard = -1

    def __del__(self) -> None:
        if self._file:
            self._file.close()

    def passages(self, start: int, stop: int, size: int) -> Iterator[Passage]:
        """Yield the passages of the rows from ``start`` to before ``stop``.

        Args:
            size: rows of a window, the last one apart: places are kept of windows of this size alone.
        """
        if (begin := self._start(start, size)) is None:
            return self._streamed(start, stop)
        return islice(self._read(begin), stop - start)

    def _start(self, start: int, size: int) -> int | None:
        """Return where the passage of a row stands."""
        offset = start % size
        if (offset, size) not in self._starts:
            places = self.corpus.in_order(self.total)
            self._starts[offset, size] = [] if places is None else places[offset::size].tolist()
        starts = self._starts[offset, size]
        return starts[start // size] if starts else None

    def _read(self, begin: int) -> Iterator[Passage]:
        """Yield the passages from a place on."""
        paths, repeated = self.corpus.folder.corpus_files(self.corpus.lang), set(self.corpus.duplicates)
        shard, byte = begin >> SHARD_BITS, begin & ((1 << SHARD_BITS) - 1)
        for number in range(shard, len(paths)):
            for at, line in lines_from(self._opened(paths[number], number), paths[number], byte):
                if line.strip():
                    passage = parse_passage(line, f"{paths[number]}, byte {at}")
                    if passage.docid not in repeated or place(number, at) in self._first_places:
                        yield passage
            byte = 0

    def _opened(self, path: Path, number: int) -> BinaryIO:
        if self._file is None or number != self._shard:
            if self._file:
                self._file.close()
            self._file = cast(BinaryIO, gzip.GzipFile(path)) if path.suffix == ".gz" else path.open("rb")
            self._shard = number
        return self._file

    def _streamed(self, start: int, stop: int) -> Iterator[Passage]:
        """Read the corpus from its beginning, or go on behind the last window."""
        at, stream = self._stream
        if start < at or not at:
            at, stream = 0, self.corpus.everything()
        self._stream = stop, stream
        return islice(stream, start - at, stop - at)


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
