"""Topic-level scores kept beside results, as arrays: each file is held against its SHA-256 and read once.

What was read is kept in a folder by the SHA-256 of the file it came from, so that a second build of a site opens
arrays instead of unpacking tables.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mdrbench import measures
from mdrbench.errors import DataError
from mdrbench.results import File, LanguageResult
from mdrbench.site import parallel
from mdrbench.site.board import Entry
from mdrbench.store import file_sha256

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
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
        known = self._read.setdefault(entry, {})
        if lang not in known:
            recorded = entry.result.languages.get(lang)
            found = kept_file(entry, recorded, "topics") if recorded else None
            known[lang] = self._scored(*found) if found else None
        return known[lang]

    def read_all(self, entries: Sequence[Entry]) -> None:
        """Read the scores of all languages of these entries, over the cores."""

        def read(number: int) -> dict[str, Scored | None]:
            return {lang: self.read(entries[number], lang) for lang in entries[number].result.languages}

        for entry, found in zip(entries, parallel.each(read, range(len(entries))), strict=True):
            self._read[entry] = found

    def _scored(self, path: Path, file: File) -> Scored:
        import numpy as np

        kept = self.cache / f"{file.sha256}-{FORMAT}"
        try:
            head, _, data = kept.read_bytes().partition(b"\n")
            fields = json.loads(head)
            shape = len(fields["qids"]), len(fields["measures"])
            values = np.frombuffer(data, dtype="<f8").reshape(shape)
        except (OSError, ValueError, KeyError, TypeError):  # not kept yet, or half-written
            qids, names, values = _parsed(path)
            fields = {"qids": qids, "measures": names}
            keep(kept, json.dumps(fields).encode() + b"\n" + values.astype("<f8").tobytes())
        return Scored(tuple(fields["qids"]), tuple(fields["measures"]), values, path)


def _parsed(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Qids, measures and scores of a table: what ``measures.read_topic_scores`` gives, without the queries, faster."""
    import numpy as np

    try:
        header, *lines = gzip.decompress(path.read_bytes()).decode("utf-8").rstrip("\n").split("\n")
        names = header.split("\t")[1:-1]
        rows = [line.split("\t") for line in lines]
        values = np.array([list(map(float, row[1:-1])) for row in rows], dtype="<f8").reshape(len(rows), len(names))
    except (OSError, EOFError, ValueError, zlib.error):  # let the reader that says what is wrong have it
        scores, _ = measures.read_topic_scores(path)
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
        raise DataError("is not the file the result was recorded with", where=str(path), mend="run the recipe again")
    return path, file


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
