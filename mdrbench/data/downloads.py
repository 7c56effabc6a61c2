"""Data sets that are downloaded: where they lie, and what every one of them can do."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from mdrbench.core.store import default_root
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.hub.downloads import Listen, nobody


class DownloadedFolder(MiraclFolder, ABC):
    """A data set that is downloaded, such as :mod:`mdrbench.data.datasets.miracl`.

    ``langs`` are languages; ``splits`` are splits, None for every split that a language has.
    """

    @property
    def repair(self) -> str:
        """What to do about a file that is missing or damaged."""
        return f"delete it and run `mdrbench data fetch --data {self.name}`"

    def has_split(self, lang: str, split: str) -> bool:
        """Tell whether there are topics and qrels of a split, or can be fetched."""
        return True

    @abstractmethod
    def fetched(self, split: str | None = None) -> list[str]:
        """Return the languages of which anything is there, or of which everything is there for a split."""

    @abstractmethod
    def missing(self, langs: list[str], splits: list[str] | None = None) -> list[str]:
        """Return the files that are not there, as paths below the root."""

    @abstractmethod
    def fetch(self, langs: list[str], splits: list[str] | None = None, listen: Listen = nobody, jobs: int = 4) -> None:
        """Download what is missing, ``jobs`` files at a time."""

    @abstractmethod
    def manifest(self, langs: list[str], splits: list[str] | None = None) -> dict[str, dict[str, Any]]:
        """Return what is recorded of each file that is there: at least ``bytes`` and ``sha256``."""

    @abstractmethod
    def verify(self, langs: list[str] | None = None, listen: Listen = nobody) -> list[dict[str, str]]:
        """Read every file that is there; return a row (language, file, problem) for each that is wrong."""


def download_folder(name: str) -> Path:
    """Return where a data set is downloaded to: ``$MDRBENCH_DATA/NAME``, else ``data/NAME`` in the cache."""
    data = os.environ.get("MDRBENCH_DATA")
    return (Path(data) if data else default_root() / "data") / name
