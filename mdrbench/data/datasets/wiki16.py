"""wiki16: 104,604 Wikipedia passages and 41,000 real queries in 16 languages, built from public files.

``--data wiki16``, or ``mdrbench data fetch --data wiki16``. Not MIRACL, but in its layout: see ``mdrbench data card
wiki16``. The source files of a language are downloaded at pinned commits and the language is built from them; every
built file has the same content on every machine (:mod:`mdrbench.data.wiki16`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError
from mdrbench.core.locks import file_lock
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.data.downloads import DownloadedFolder, download_folder
from mdrbench.data.wiki16.content import content_files, content_of
from mdrbench.data.wiki16.sources import SourceFile, source_files
from mdrbench.data.wiki16.splits import SPLITS
from mdrbench.hub import pinned_files
from mdrbench.hub.downloads import Event, Listen, nobody


class Config(MemberConfig):
    """``root``: the folder to build in, by default ``$MDRBENCH_DATA/wiki16``, else ``data/wiki16`` in the cache."""

    root: Path | None = None


class Wiki16(DownloadedFolder):
    """A :class:`~mdrbench.data.miracl_layout.MiraclFolder` that is built from downloaded source files."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        super().__init__("wiki16", (config.root or download_folder("wiki16")).absolute())

    @property
    def sources(self) -> Path:
        """The folder of source files; it may be deleted once the languages are built."""
        return self.root / "sources"

    def languages(self) -> list[str]:
        """Return the 16 benchmark languages, built or not."""
        return list(dict.fromkeys(file.lang for file in content_files()))

    def card(self) -> str:
        """Return the data card as Markdown, built or not."""
        from mdrbench.data.wiki16 import card

        return card.card()

    def splits_of(self, lang: str) -> list[str]:
        """Return the splits of a language: the same for all."""
        return list(SPLITS)

    def fetched(self, split: str | None = None) -> list[str]:
        """Return the languages that are built; each is built with all of its splits."""
        splits = None if split is None else [split]
        return [lang for lang in self.languages() if not self.missing([lang], splits)]

    def missing(self, langs: list[str], splits: list[str] | None = None) -> list[str]:
        """Return the files that are not built yet, as paths below the root; None stands for every split."""
        for split in splits or ():
            _check_split(split)
        return [file.path for file in content_of(langs, splits) if not file.is_in(self.root)]

    def manifest(self, langs: list[str], splits: list[str] | None = None) -> dict[str, dict[str, Any]]:
        """Return size and SHA-256 of each file that is built."""
        return {
            file.path: {"bytes": file.bytes, "sha256": file.sha256}
            for file in content_of(langs, splits)
            if file.is_in(self.root)
        }

    def fetch(self, langs: list[str], splits: list[str] | None = None, listen: Listen = nobody, jobs: int = 4) -> None:
        """Download the source files of languages that are not built, then build them with all their splits.

        Raises:
            DataError: no such split, or a source file differs from its checksum.
            SetupError: the host of the source files cannot be reached.
            StepError: a built file differs from its checksum.
        """
        lacking = [lang for lang in langs if self.missing([lang], splits)]
        if not lacking:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        waiting = Event("note", "", text=f"another process is building in {self.root}; waiting")
        with file_lock(self.root / ".lock", on_wait=lambda: listen(waiting)):
            lacking = [lang for lang in lacking if self.missing([lang])]
            pinned_files.fetch(self.sources, _sources_of(lacking), jobs, listen)
            self._build(lacking, listen)

    def _build(self, langs: list[str], listen: Listen) -> None:
        from mdrbench.data.wiki16.workers import build_all

        write_atomically(self.root / "README.md", self.card())
        for number, (lang, passages) in enumerate(build_all(self.root, self.sources, langs), start=1):
            text = f"built with {passages:,} passages, {len(langs) - number} languages left"
            listen(Event("note", f"wiki16 {lang}", text=text))

    def verify(self, langs: list[str] | None = None, listen: Listen = nobody) -> list[dict[str, str]]:
        """Read every built file, and every source file that is still there, and compare it with its SHA-256.

        Returns:
            A row of language, file and problem for each file that is not as pinned.
        """
        problems = []
        for lang in self.fetched() if langs is None else langs:
            for file in content_of([lang]):
                if problem := file.problem(self.root):
                    problems.append({"language": lang, "file": file.path, "problem": problem})
                else:
                    listen(Event("done", file.path, file.bytes, file.bytes))
            for source in pinned_files.altered(self.sources, _sources_of([lang])):
                row = {"language": lang, "file": f"sources/{source}", "problem": "bytes differ from the pinned SHA-256"}
                problems.append(row)
        return problems

    def _split_file(self, kind: str, lang: str, split: str) -> Path:
        _check_split(split)
        return super()._split_file(kind, lang, split)


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise DataError(f"wiki16 has no split '{split}'.", mend=f"choose among {', '.join(SPLITS)}")


def _sources_of(langs: list[str]) -> list[SourceFile]:
    return [file for file in source_files() if file.lang in langs]
