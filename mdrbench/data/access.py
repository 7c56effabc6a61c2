"""Open a data set by name, and check that the languages asked for are on disk."""

from __future__ import annotations

from pathlib import Path

from mdrbench.core import registry
from mdrbench.core.console import say
from mdrbench.core.errors import DataError, UsageError, did_you_mean
from mdrbench.core.languages import parse_langs
from mdrbench.core.members import Member
from mdrbench.data.downloads import DownloadedFolder
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.data.record import JUDGED

FINAL_SPLITS = ("test",)
"""Splits that are kept for final figures, in every data set."""


def check_final(split: str, final: bool) -> None:
    """Refuse a split that is kept for final figures, unless ``--final`` was given.

    Raises:
        UsageError: the split and ``--final`` do not go together.
    """
    if split in FINAL_SPLITS and not final:
        mend = f"choose models and settings on dev, then measure once with --split {split} --final"
        raise UsageError(f"The split '{split}' is kept for final figures.", where="--split", mend=mend)
    if final and split not in FINAL_SPLITS:
        mend = f"add --split {FINAL_SPLITS[0]}, or leave out --final"
        raise UsageError(f"The split '{split}' is not kept for final figures.", where="--final", mend=mend)


def named_datasets() -> list[str]:
    """Return the data sets that ``--data`` takes by name."""
    return [name for name in registry.members("datasets") if name != "local"]


def open_dataset(name: str) -> MiraclFolder:
    """``--data``: the name of a data set that is packaged or downloaded, else a folder."""
    if name in named_datasets():
        return _built(name)
    return _built("local", path=Path(name))


def _built(name: str, **settings: Path) -> MiraclFolder:
    dataset: MiraclFolder = Member.of("datasets", {"name": name, **settings}).build()
    return dataset


def open_downloaded(name: str) -> DownloadedFolder:
    """Open a data set that can be downloaded.

    Raises:
        UsageError: there is no such data set, or it is not downloaded.
    """
    dataset = open_dataset(name) if name in named_datasets() else None
    if not isinstance(dataset, DownloadedFolder):
        downloaded = [known for known in named_datasets() if isinstance(open_dataset(known), DownloadedFolder)]
        raise UsageError(f"The data set '{name}' cannot be downloaded.", mend=did_you_mean(name, downloaded))
    return dataset


def check_searchable(dataset: MiraclFolder) -> None:
    """Refuse a data set whose corpora hold judged passages alone: a ranking of them says nothing about retrieval.

    Raises:
        UsageError: the data set is of this kind.
    """
    if dataset.corpus_variant == JUDGED:
        mend = "compare judges on it with `mdrbench agreement`; to search, give a data set with whole corpora"
        message = f"'{dataset.name}' holds judged passages alone, so retrieval cannot be evaluated on it."
        raise UsageError(message, where="--data", mend=mend)


def available(dataset: MiraclFolder) -> list[str]:
    """Return what ``--langs`` may name."""
    return dataset.languages()


def require(dataset: MiraclFolder, languages: list[str], split: str) -> None:
    """Raise a DataError that names the command to fetch what a data set lacks."""
    if not isinstance(dataset, DownloadedFolder):
        return
    if lacking := [lang for lang in languages if dataset.missing([lang], [split])]:
        option = "" if dataset.name == "miracl" else f" --data {dataset.name}"
        raise DataError(
            f"{dataset.name} is not fetched yet in {', '.join(lacking)} ({split}).",
            where=str(dataset.root),
            mend=f"run `mdrbench data fetch{option} --langs {','.join(lacking)} --split {split}`",
        )


def choose_languages(dataset: MiraclFolder, langs: str, splits: list[str]) -> list[str]:
    """Return the languages that ``--langs`` names.

    ``all`` leaves out languages without topics, and German and Yoruba if there are others. Notes name them, but not
    German and Yoruba of a data set that is downloaded.

    Raises:
        UsageError: a language does not exist.
        DataError: no language has topics of a split, or one that was named has none.
    """
    languages = parse_langs(langs, available(dataset))
    without = {lang: split for lang in languages for split in splits if not dataset.has_split(lang, split)}
    if langs.strip().lower() == "all" and not isinstance(dataset, DownloadedFolder):
        for lang in sorted(set(available(dataset)) - set(languages)):
            say(f"note: '{lang}' is not part of `all`; name it in --langs")
    if langs.strip().lower() == "all" and len(without) < len(languages):
        for lang, split in without.items():
            say(f"note: '{lang}' has no {split} topics and is left out")
        return [lang for lang in languages if lang not in without]
    for lang, split in without.items():
        dataset.topics_file(lang, split)
        dataset.qrels_file(lang, split)
    return languages


def at_hand(dataset: MiraclFolder, langs: str | None, split: str) -> list[str]:
    """The languages asked for, all of them on disk; by default those that are there."""
    if langs:
        languages = choose_languages(dataset, langs, [split])
    elif isinstance(dataset, DownloadedFolder):
        languages = dataset.fetched(split) or dataset.languages()
    else:
        there = [lang for lang in available(dataset) if dataset.has_split(lang, split)]
        languages = there or choose_languages(dataset, "all", [split])
    require(dataset, languages, split)
    return languages
