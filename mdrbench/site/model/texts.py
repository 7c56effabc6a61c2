"""Judgments and passages of a collection's data, where the data is at hand when the site is built.

The packaged sample always is; other data sets are named with ``mdrbench report --data``. A data set is taken only where
its name and the SHA-256 of its files are those that the results were recorded with.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.store import default_root, hash_files
from mdrbench.core.types import Qrels
from mdrbench.data.access import open_dataset
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats.trec import read_qrels
from mdrbench.results import DatasetRecord
from mdrbench.site.engine.memo import Memo
from mdrbench.site.model.board import Board

FORMAT = 1

PACKAGED = "sample"

LENGTH = 360
"""Characters of a passage that are shown, and a few fewer where a word ends there."""


class Excerpt(NamedTuple):
    """A passage as it is shown: its title, the beginning of its text, and whether that is all of it."""

    title: str
    text: str
    whole: bool


@dataclass(frozen=True, eq=False)
class Texts:
    """The data sets at hand; ``cache`` is the folder of what was read from them before."""

    folders: tuple[MiraclFolder, ...]
    cache: Path

    def find(self, dataset: str, split: str, lang: str, record: DatasetRecord | None) -> Source | None:
        """The data that a result's language was measured on, None where it is not at hand."""
        for folder in self.folders:
            if record and folder.name == dataset and not _differing(folder, split, lang, record):
                return Source(folder, split, lang, record, self.cache)
        return None


@dataclass(frozen=True, eq=False)
class Source:
    """Topics, judgments and passages of one language."""

    folder: MiraclFolder
    split: str
    lang: str
    record: DatasetRecord
    cache: Path

    def qrels(self) -> Qrels:
        """All judgments of the split."""
        return read_qrels(self.folder.qrels_file(self.lang, self.split))

    def passages(self, docids: list[str]) -> dict[str, Excerpt]:
        """Excerpts of the passages of these docids that the corpus has; those not read before cost one pass over it."""
        corpus = sorted(self.record.files[path.name] for path in self.folder.corpus_files(self.lang))
        kept = Memo(self.cache, "passages", [FORMAT, LENGTH, corpus]).get(docids, self._read)
        return {docid: Excerpt(*fields) for docid, fields in kept.items() if fields is not None}

    def _read(self, docids: list[str]) -> dict[str, Excerpt | None]:
        wanted = set(docids)
        found: dict[str, Excerpt | None] = dict.fromkeys(docids)
        for _, _, passage in self.folder.numbered_passages(self.lang):
            if passage.docid in wanted:
                wanted.remove(passage.docid)
                beginning = cut(passage.text, LENGTH)
                found[passage.docid] = Excerpt(passage.title, beginning, len(beginning) == len(passage.text))
                if not wanted:
                    break
        return found


def cut(text: str, length: int) -> str:
    """The beginning of a text, ended after a word where one ends nearby, and never within a composed character."""
    if len(text) <= length:
        return text
    end = length
    while end > length - 16 and unicodedata.category(text[end]).startswith("M"):
        end -= 1
    space = text.rfind(" ", end - 24, end + 1)
    return text[: space if space > 0 else end]


def at_hand(board: Board, names: list[str], cache: Path) -> Texts:
    """The packaged sample and the data sets of ``names``.

    Raises:
        UsageError: no result is of that data set.
        DataError: a file of the data set is not the one that the results were recorded with.
    """
    folders = [open_dataset(name) for name in dict.fromkeys(names)]
    for folder in folders:
        _check(board, folder)
    if PACKAGED not in names:
        folders.append(open_dataset(PACKAGED))
    return Texts(tuple(folders), cache)


def _check(board: Board, folder: MiraclFolder) -> None:
    records = [
        (entry.result.split, lang, found.dataset)
        for collection in board.collections
        for entry in collection.measured
        for lang, found in entry.result.languages.items()
        if entry.result.dataset == folder.name and found.dataset
    ]
    if not records:
        raise UsageError(
            f"no measured result is of data set '{folder.name}'",
            where=str(folder.root),
            mend="a data set at a path is named after its folder, as `mdrbench run` names it",
        )
    for split, lang in dict.fromkeys((split, lang) for split, lang, _ in records):
        problems = [_differing(folder, split, lang, r) for *place, r in records if place == [split, lang]]
        if all(problems) and any(problem != ABSENT for problem in problems):
            first = next(problem for problem in problems if problem not in ("", ABSENT))
            raise DataError(
                f"is not the file that the results of '{lang}' ({split}) were recorded with",
                where=first,
                mend="give the data set they were made from, or run the systems on this one",
            )


ABSENT = "absent"


def _differing(folder: MiraclFolder, split: str, lang: str, record: DatasetRecord) -> str:
    """The path of a file that is not as recorded, :data:`ABSENT` where the data set lacks the language or the split."""
    try:
        files = [folder.topics_file(lang, split), folder.qrels_file(lang, split), *folder.corpus_files(lang)]
    except DataError:
        return ABSENT
    for path in files:
        if path.name not in record.files:
            return str(path)
    hashes = hash_files(files, default_root() / "file-hashes.json")
    return next((str(path) for path, found in hashes.items() if record.files[path.name] != found), "")
