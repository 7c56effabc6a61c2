"""Topic-level scores kept beside results, as arrays: each file is held against its SHA-256 and read once.

What was read is kept in a folder by the SHA-256 of the file it came from, so that a second build of a site opens
arrays instead of unpacking tables.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mdrbench import measures
from mdrbench.errors import DataError
from mdrbench.results import File, LanguageResult
from mdrbench.site import parallel
from mdrbench.site.board import Entry
from mdrbench.store import file_sha256, key_of

if TYPE_CHECKING:
    import numpy as np

FORMAT = 2
"""Raised when what is kept changes."""


@dataclass(frozen=True, eq=False)
class Scored:
    """The judged topics of one language, in the order of the qrels, and a system's scores of them.

    Attributes:
        values: scores, shape (topics, measures).
        source: the table they came from.
    """

    qids: tuple[str, ...]
    measures: tuple[str, ...]
    values: np.ndarray
    source: Path

    def of(self, measure: str) -> np.ndarray:
        """The scores of one measure, shape (topics,)."""
        return self.values[:, self.measures.index(measure)]

    @cached_property
    def queries(self) -> dict[str, str]:
        """Query texts by qid, read when they are asked for."""
        try:
            _, *lines = gzip.decompress(self.source.read_bytes()).decode("utf-8").rstrip("\n").split("\n")
            return {line.partition("\t")[0]: json.loads(line.rpartition("\t")[2]) for line in lines}
        except (OSError, EOFError, ValueError, zlib.error):  # let the reader that says what is wrong have it
            return measures.read_topic_scores(self.source)[1]


class ScoreReader:
    """Reads the topic-level scores of entries; ``cache`` is a folder of what was read before."""

    def __init__(self, cache: Path):
        self.cache = cache
        self._read: WeakKeyDictionary[Entry, dict[str, Scored | None]] = WeakKeyDictionary()

    def read(self, entry: Entry, lang: str) -> Scored | None:
        """A language's scores; None where the result keeps none, or where its file was not copied with it.

        Raises:
            DataError: the file is not the one that the result was recorded with.
        """
        known = self._read.get(entry)
        if known is None:
            known = self._read[entry] = {}
        if lang not in known:
            found = _kept(entry, lang)
            if found is None:
                known[lang] = None
            else:
                qids, names, values = _parsed(*found)
                known[lang] = Scored(tuple(qids), tuple(names), values, found[0])
        return known[lang]

    def read_all(self, entries: Sequence[Entry]) -> None:
        """Read the scores of all languages of these entries, over the cores.

        Raises:
            DataError: a file is not the one that its result was recorded with.
        """

        def read(number: int) -> tuple[list[str], bytes]:
            return self._kept(entries[number])

        same: dict[tuple[str, ...], tuple[str, ...]] = {}  # one list of topics for all systems: they are compared often
        for entry, (langs, content) in zip(entries, parallel.each(read, range(len(entries))), strict=True):
            known: dict[str, Scored | None] = dict.fromkeys(entry.result.languages)
            for lang, (qids, names, values) in zip(langs, _unpacked(content), strict=True):
                topics = tuple(qids)
                source = entry.path.parent / entry.result.languages[lang].files["topics"].path
                known[lang] = Scored(same.setdefault(topics, topics), tuple(names), values, source)
            self._read[entry] = known

    def _kept(self, entry: Entry) -> tuple[list[str], bytes]:
        """The languages whose scores an entry keeps, and all these scores, :func:`_packed`."""
        found = {lang: kept for lang in entry.result.languages if (kept := _kept(entry, lang))}
        kept = self.cache / key_of([FORMAT, [[lang, file.sha256] for lang, (_, file, _) in found.items()]])
        try:
            content = kept.read_bytes()
            if len(_unpacked(content)) != len(found):
                raise ValueError("scores of other languages")
        except (OSError, ValueError, KeyError, TypeError):  # not kept yet, or half-written
            content = _packed([_parsed(*table) for table in found.values()])
            keep(kept, content)
        return list(found), content


Table = tuple[list[str], list[str], "np.ndarray"]
"""Qids, measures and scores of shape (qids, measures)."""


def _packed(tables: list[Table]) -> bytes:
    """A line of JSON with the names of each table, and the numbers of all of them."""
    names = json.dumps([[qids, measured] for qids, measured, _ in tables]).encode()
    return names + b"\n" + b"".join(values.astype("<f8").tobytes() for _, _, values in tables)


def _unpacked(content: bytes) -> list[Table]:
    """What :func:`_packed` packed; a ValueError or TypeError where it is anything else."""
    import numpy as np

    head, _, data = content.partition(b"\n")
    numbers = np.frombuffer(data, dtype="<f8")
    found, start = [], 0
    for qids, names in json.loads(head):
        end = start + len(qids) * len(names)
        found.append((qids, names, numbers[start:end].reshape(len(qids), len(names))))
        start = end
    if start != len(numbers):
        raise ValueError("more numbers than names")
    return found


Kept = tuple[Path, File, bytes]
"""A topic file, its record and its bytes, which are those that were recorded."""


def _kept(entry: Entry, lang: str) -> Kept | None:
    """None where the result keeps no topic file of a language, or where it was not copied along."""
    recorded = entry.result.languages.get(lang)
    file = recorded.files.get("topics") if recorded else None
    if file is None:
        return None
    path = entry.path.parent / file.path
    if not path.is_file():
        return None
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _changed(path)
    return path, file, data


def _parsed(path: Path, _file: File, data: bytes) -> Table:
    """Qids, measures and scores of a table: what ``measures.read_topic_scores`` gives, without the queries, faster."""
    import numpy as np

    try:
        header, *lines = gzip.decompress(data).decode("utf-8").rstrip("\n").split("\n")
        names = header.split("\t")[1:-1]
        rows = [line.split("\t") for line in lines]
        if any(len(row) != len(names) + 2 for row in rows):
            raise ValueError("a row of another length")
        numbers = map(float, chain.from_iterable(row[1:-1] for row in rows))
        values = np.fromiter(numbers, dtype="<f8", count=len(rows) * len(names)).reshape(len(rows), len(names))
    except (OSError, EOFError, ValueError, zlib.error):  # let the reader that says what is wrong have it
        try:
            scores, _ = measures.read_topic_scores(path)
        except ValueError as error:
            raise DataError(
                f"is no table of topic-level scores: {error}", where=str(path), mend="run the recipe again"
            ) from None
        names = list(next(iter(scores.values()), {}))
        return list(scores), names, measures.matrix(scores, tuple(names)).reshape(len(scores), len(names))
    return [row[0] for row in rows], names, values


def kept_file(entry: Entry, recorded: LanguageResult, kind: str) -> tuple[Path, File] | None:
    """A language's ``run`` or ``topics`` file and its record; None where there is none.

    Raises:
        DataError: its bytes are not those that were recorded.
    """
    file = recorded.files.get(kind)
    path = entry.path.parent / file.path if file else None
    if file is None or path is None or not path.is_file():
        return None
    if file_sha256(path) != file.sha256:
        raise _changed(path)
    return path, file


def _changed(path: Path) -> DataError:
    return DataError("is not the file the result was recorded with", where=str(path), mend="run the recipe again")


def keep(path: Path, data: bytes) -> None:
    """Write a file of a cache whole, without waiting for the disk: who reads it checks what it finds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


@lru_cache(maxsize=4)
def reader(cache: Path) -> ScoreReader:
    """The one reader of a build; makers share it, ``cache`` being a folder beside the drawings."""
    return ScoreReader(cache)
