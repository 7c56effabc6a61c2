"""Open a data set by name, and check that the languages asked for are on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from mdrbench.core import registry
from mdrbench.core.errors import DataError
from mdrbench.core.languages import parse_langs
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.hub import downloads


@runtime_checkable
class Fetchable(Protocol):
    """A data set that is downloaded, such as :mod:`mdrbench.data.datasets.miracl`."""

    def fetched(self, split: str | None = None) -> list[str]: ...

    def missing(self, langs: list[str], splits: list[str] | None = None) -> list[str]: ...

    def fetch(
        self, langs: list[str], splits: list[str] | None = None, listen: downloads.Listen = ..., jobs: int = 4
    ) -> None: ...


def open_dataset(name: str) -> MiraclFolder:
    """``--data``: the name of a data set that is packaged or downloaded, else a folder."""
    if name in ("miracl", "sample"):
        member = registry.load("datasets", name)
        return member.build(member.Config())
    member = registry.load("datasets", "local")
    return member.build(member.Config(path=Path(name)))


def available(dataset: MiraclFolder) -> list[str]:
    """What ``--langs`` may name: the benchmark languages of a data set, then its surprise languages."""
    return [*dataset.languages(), *dataset.surprise()]


def require(dataset: MiraclFolder, languages: list[str], split: str) -> None:
    """Raise a DataError that names the command to fetch what a data set lacks."""
    if not isinstance(dataset, Fetchable):
        return
    if lacking := [lang for lang in languages if dataset.missing([lang], [split])]:
        raise DataError(
            f"not fetched: {dataset.name} in {', '.join(lacking)} ({split})",
            where=str(dataset.root),
            mend=f"`mdrbench data fetch --langs {','.join(lacking)} --split {split}`",
        )


def at_hand(dataset: MiraclFolder, langs: str | None, split: str) -> list[str]:
    """The languages asked for, all of them on disk; by default those that are there."""
    if langs:
        languages = parse_langs(langs, available(dataset))
    elif isinstance(dataset, Fetchable):
        languages = dataset.fetched(split) or dataset.languages()
    else:
        languages = available(dataset)
    require(dataset, languages, split)
    return languages
