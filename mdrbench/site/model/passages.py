"""Judgments and passages of the data sets that are present when the site is built.

The packaged sample is always present; ``mdrbench report --data`` names other data sets. A data set is used only if its
name and the SHA-256 of its files are those that the results were recorded with.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.store import default_root, hash_files
from mdrbench.core.types import Qrels
from mdrbench.data.access import open_dataset
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats.trec import read_qrels
from mdrbench.results import DatasetRecord, Result
from mdrbench.site.cache import Cache
from mdrbench.site.model.collection import Collection

FORMAT = 2
"""Raise it if the cached passages change for the same corpus."""

PACKAGED = "sample"

EXCERPT_LENGTH = 360
"""Characters of a passage that are shown; slightly fewer if a word ends there."""


class Excerpt(NamedTuple):
    """A passage as it is shown: its title, the beginning of its text, and whether this is the whole text."""

    title: str
    text: str
    whole: bool


@dataclass(frozen=True, eq=False)
class LanguageData:
    """Judgments and passages of one language of a data set."""

    folder: MiraclFolder
    split: str
    lang: str
    record: DatasetRecord
    cache: Cache

    def qrels(self) -> Qrels:
        """Read all judgments of the split."""
        return read_qrels(self.folder.qrels_file(self.lang, self.split))

    def excerpts(self, docids: list[str]) -> dict[str, Excerpt]:
        """Return excerpts of these passages, in one pass over the corpus; unknown docids are left out."""
        corpus = sorted(self.record.files[path.name] for path in self.folder.corpus_files(self.lang))
        source = [FORMAT, EXCERPT_LENGTH, corpus, docids]
        kept = self.cache.get("passages", source, lambda: self._read(docids))
        return {docid: Excerpt(*fields) for docid, fields in kept.items()}

    def _read(self, docids: list[str]) -> dict[str, Excerpt]:
        missing = set(docids)
        excerpts: dict[str, Excerpt] = {}
        for _, _, passage in self.folder.numbered_passages(self.lang):
            if passage.docid in missing:
                missing.remove(passage.docid)
                beginning = shorten(passage.text, EXCERPT_LENGTH)
                excerpts[passage.docid] = Excerpt(passage.title, beginning, len(beginning) == len(passage.text))
            if not missing:
                break
        return excerpts


def shorten(text: str, length: int) -> str:
    """Return the beginning of a text, up to the end of a word if one ends nearby.

    A composed character is never cut.
    """
    if len(text) <= length:
        return text
    end = length
    while end > length - 16 and unicodedata.category(text[end]).startswith("M"):
        end -= 1
    space = text.rfind(" ", end - 24, end + 1)
    return text[: space if space > 0 else end]


@dataclass(frozen=True, eq=False)
class PresentData:
    """The data sets that are present."""

    folders: tuple[MiraclFolder, ...]
    cache: Cache

    def find(self, result: Result, lang: str) -> LanguageData | None:
        """Return the data that a language of a result was measured on, or None if it is not present."""
        record = result.languages[lang].dataset
        for folder in self.folders:
            if record and folder.name == result.dataset and not _differing_file(folder, result.split, lang, record):
                return LanguageData(folder, result.split, lang, record, self.cache)
        return None


def open_data(collections: Sequence[Collection], names: Sequence[str], cache: Cache) -> PresentData:
    """Open the packaged sample and the data sets of ``names``.

    Raises:
        UsageError: no result was measured on one of these data sets.
        DataError: a file of a data set differs from the one that the results were recorded with.
    """
    folders = [open_dataset(name) for name in dict.fromkeys(names)]
    for folder in folders:
        _check(collections, folder)
    if PACKAGED not in names:
        folders.append(open_dataset(PACKAGED))
    return PresentData(tuple(folders), cache)


def _check(collections: Sequence[Collection], folder: MiraclFolder) -> None:
    records: dict[tuple[str, str], list[DatasetRecord]] = {}
    for collection in collections:
        for entry in collection.measured:
            for lang, language in entry.result.languages.items():
                if entry.result.dataset == folder.name and language.dataset:
                    records.setdefault((entry.result.split, lang), []).append(language.dataset)
    if not records:
        raise UsageError(
            f"no result was measured on data set '{folder.name}'",
            where=str(folder.root),
            mend="a data set in a folder has the folder's name; `mdrbench run` uses the same name",
        )
    for (split, lang), recorded in records.items():
        differing = [_differing_file(folder, split, lang, record) for record in recorded]
        changed = next((path for path in differing if path not in ("", ABSENT)), None)
        if all(differing) and changed:
            raise DataError(
                f"this file differs from the one that the results of '{lang}' ({split}) were recorded with",
                where=changed,
                mend="name the data set that the results were made from, or run the systems on this data set",
            )


ABSENT = "absent"


def _differing_file(folder: MiraclFolder, split: str, lang: str, record: DatasetRecord) -> str:
    """Return the path of a file that differs from the record, or an empty string if none does.

    Returns :data:`ABSENT` if the data set lacks the language or the split.
    """
    try:
        files = [folder.topics_file(lang, split), folder.qrels_file(lang, split), *folder.corpus_files(lang)]
    except DataError:
        return ABSENT
    for path in files:
        if path.name not in record.files:
            return str(path)
    hashes = hash_files(files, default_root() / "file-hashes.json")
    return next((str(path) for path, sha256 in hashes.items() if record.files[path.name] != sha256), "")
