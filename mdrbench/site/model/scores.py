"""Topic-level scores kept beside results, as arrays: each file is held against its SHA-256 and read once.

What was read is kept in a folder by the SHA-256 of the file it came from, so that a second build of a site opens
arrays instead of unpacking tables.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pydantic_core import from_json

from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256, key_of
from mdrbench.evaluation import measures
from mdrbench.results import File, LanguageResult
from mdrbench.site.engine import keeping, parallel
from mdrbench.site.model.board import Entry

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

    def queries(self, qids: Iterable[str]) -> dict[str, str]:
        """The texts of these topics' queries."""
        try:
            lines = self._lines
            return {qid: json.loads(lines[qid].rpartition("\t")[2]) for qid in qids}
        except (OSError, EOFError, ValueError, zlib.error):  # let the reader that says what is wrong have it
            found = measures.read_topic_scores(self.source)[1]
            return {qid: found[qid] for qid in qids}

    @cached_property
    def _lines(self) -> dict[str, str]:
        """What the table says of each topic."""
        _, *lines = gzip.decompress(self.source.read_bytes()).decode("utf-8").rstrip("\n").split("\n")
        return {line.partition("\t")[0]: line for line in lines}


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

    def read_all(self, entries: Sequence[Entry], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Read the scores of all languages of these entries, over the cores; see :func:`parallel.each`.

        Raises:
            DataError: a file is not the one that its result was recorded with.
        """

        def read(number: int) -> tuple[list[str], bytes]:
            return self._kept(entries[number])

        same: dict[tuple[str, ...], tuple[str, ...]] = {}  # one list of topics for all systems: they are compared often
        found = parallel.each(read, range(len(entries)), meanwhile=meanwhile)
        for entry, (langs, content) in zip(entries, found, strict=True):
            known: dict[str, Scored | None] = dict.fromkeys(entry.result.languages)
            for lang, (qids, names, values) in zip(langs, _unpacked(content), strict=True):
                topics = tuple(qids)
                source = entry.path.parent / entry.result.languages[lang].files["topics"].path
                known[lang] = Scored(same.setdefault(topics, topics), tuple(names), values, source)
            self._read[entry] = known

    def _kept(self, entry: Entry) -> tuple[list[str], bytes]:
        """The languages whose scores an entry keeps, and all these scores, :func:`_packed`."""
        found = {lang: kept for lang in entry.result.languages if (kept := _kept(entry, lang))}
        place = self.cache / key_of([FORMAT, [[lang, file.sha256] for lang, (_, file, _) in found.items()]])
        try:
            content = keeping.kept(place) or b""
            if len(_unpacked(content)) != len(found):
                raise ValueError("scores of other languages")
        except (ValueError, KeyError, TypeError):  # not kept yet, or half-written
            content = _packed([_parsed(*table) for table in found.values()])
            keeping.keep(place, content)
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
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _changed(path)
    return path, file, data


def _parsed(path: Path, _file: File, data: bytes) -> Table:
    """Qids, measures and scores of a table: what ``measures.read_topic_scores`` gives, without the queries, faster."""
    import numpy as np

    try:
        header, *lines = gzip.decompress(data).decode("utf-8").rstrip("\n").split("\n")
        names = header.split("\t")[1:-1]
        if {line.count("\t") for line in lines} - {len(names) + 1}:
            raise ValueError("a row of another length")
        cells = [line.partition("\t") for line in lines]
        numbers = ",".join([rest[: rest.rindex("\t")] for _, _, rest in cells]).replace("\t", ",")
        values = np.array(from_json(f"[{numbers}]"), dtype="<f8").reshape(len(lines), len(names))
    except (OSError, EOFError, ValueError, zlib.error):  # let the reader that says what is wrong have it
        try:
            scores, _ = measures.read_topic_scores(path)
        except ValueError as error:
            raise DataError(
                f"is no table of topic-level scores: {error}", where=str(path), mend="run the recipe again"
            ) from None
        names = list(next(iter(scores.values()), {}))
        return list(scores), names, measures.matrix(scores, tuple(names)).reshape(len(scores), len(names))
    return [qid for qid, _, _ in cells], names, values


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


@lru_cache(maxsize=4)
def reader(cache: Path) -> ScoreReader:
    """The one reader of a build; makers share it, ``cache`` being a folder beside the drawings."""
    return ScoreReader(cache)
