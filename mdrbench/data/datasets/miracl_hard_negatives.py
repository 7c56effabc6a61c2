"""mteb's pools of MIRACL: each language cut to the passages that three systems rank best for its dev topics.

``--data miracl-hard-negatives``. The pools of the task ``MIRACLRetrievalHardNegatives`` are read from the hub, at the
task's commit, and written in MIRACL's layout. A figure on a pool is higher than one on the full corpus. Results say
``hard-negatives`` and are never ranked with those of the full corpora.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError
from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.core.locks import file_lock
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.store import file_sha256
from mdrbench.data import writing
from mdrbench.data.downloads import DownloadedFolder, download_folder
from mdrbench.data.paths import corpus_folder, split_file
from mdrbench.data.tables import LanguageTables, language_data
from mdrbench.hub.dataset_configs import Repository, fetch_files, files_of, read_configs
from mdrbench.hub.downloads import Event, Listen, Manifest, nobody

CARD = Path(__file__).with_suffix(".md")

REPOSITORY = Repository("mteb/MIRACLRetrievalHardNegatives", "d7d94fa4b946cec4a27c84653aa0cf6b33f74a3c")
"""The revision of mteb's task since version 2."""

SPLIT = "dev"


class Config(MemberConfig):
    """``root``: the folder, by default ``$MDRBENCH_DATA/miracl-hard-negatives``, else in ``data`` in the cache."""

    root: Path | None = None


class MiraclHardNegatives(DownloadedFolder):
    """Pools that are fetched as Parquet files and written in MIRACL's layout.

    ::

        ROOT/sources/PATH           the repository's files; ROOT/manifest.json records them
        ROOT/languages/LANG.json    size and SHA-256 of each file that was written for a language
    """

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        super().__init__("miracl-hard-negatives", (config.root or download_folder("miracl-hard-negatives")).absolute())

    @property
    def corpus_variant(self) -> str:
        """The name of the pool in results; mteb's own figures on it have the same."""
        return "hard-negatives"

    def languages(self) -> list[str]:
        """Return the 16 benchmark languages, German and Yoruba, fetched or not."""
        return [*ALL, *SURPRISE]

    def card(self) -> str:
        """Return the data card as Markdown."""
        return CARD.read_text(encoding="utf-8")

    def fetched(self, split: str | None = None) -> list[str]:
        """Return the languages that are there."""
        splits = None if split is None else [split]
        return [lang for lang in (*ALL, *SURPRISE) if not self.missing([lang], splits)]

    def missing(self, langs: list[str], splits: list[str] | None = None) -> list[str]:
        """Return the files that are not there, as paths below the root."""
        for split in splits or ():
            _check_split(split)
        recorded = self.manifest(langs)
        return [path for lang in langs for path in _files(lang) if path not in recorded]

    def manifest(self, langs: list[str], splits: list[str] | None = None) -> dict[str, dict[str, Any]]:
        """Return size and SHA-256 of each file that is there in its recorded size."""
        recorded = {path: entry for lang in langs for path, entry in self._record(lang).items()}
        return {path: entry for path, entry in recorded.items() if _size(self.root / path) == entry["bytes"]}

    def fetch(self, langs: list[str], splits: list[str] | None = None, listen: Listen = nobody, jobs: int = 4) -> None:
        """Download the pools of languages that are not there, and write them in MIRACL's layout.

        Raises:
            DataError: no such split, or the repository is not as mteb's task expects it.
            SetupError: the hub cannot be reached.
        """
        lacking = [lang for lang in langs if self.missing([lang], splits)]
        if not lacking:
            return
        configs = read_configs(REPOSITORY, self.root, "sources", listen)
        parts = {lang: {part: files_of(configs, f"{lang}-{part}", SPLIT) for part in PARTS} for lang in lacking}
        paths = [path for files in parts.values() for part in PARTS for path in files[part]]
        fetch_files(REPOSITORY, paths, self.root, "sources", jobs, listen)
        with file_lock(self.root / ".languages.lock"):
            for lang in lacking:
                self._write(lang, parts[lang])
                listen(Event("note", f"{self.name} {lang}", text="written in MIRACL's layout"))

    def verify(self, langs: list[str] | None = None, listen: Listen = nobody) -> list[dict[str, str]]:
        """Read every file of the languages and every downloaded file; a row for each that differs from its record."""
        problems = []
        for lang in self.fetched() if langs is None else langs:
            for path in self.missing([lang]):
                problems.append({"language": lang, "file": path, "problem": "missing"})
            for path, entry in self.manifest([lang]).items():
                problems += self._compared(lang, path, entry["sha256"], listen)
        for path, entry in Manifest(self.root).files.items():
            if (self.root / path).is_file():
                problems += self._compared("", path, entry["sha256"], listen)
        return problems

    def _compared(self, lang: str, path: str, sha256: str, listen: Listen) -> list[dict[str, str]]:
        size = _size(self.root / path)
        if file_sha256(self.root / path) == sha256:
            listen(Event("done", path, size, size))
            return []
        return [{"language": lang, "file": path, "problem": "bytes differ from the recorded SHA-256"}]

    def _write(self, lang: str, parts: dict[str, list[str]]) -> None:
        """Write a language from its downloaded files, rename it into place, and record its files."""
        work = self.root / "unfinished" / lang
        shutil.rmtree(work, ignore_errors=True)
        local = {part: [self.root / "sources" / path for path in paths] for part, paths in parts.items()}
        tables = LanguageTables(local["corpus"], {SPLIT: local["queries"]}, {SPLIT: local["qrels"]})
        writing.write_language(work, lang, language_data(tables))
        record = {path: {"bytes": _size(work / path), "sha256": file_sha256(work / path)} for path in _files(lang)}
        writing.place_language(work, self.root, lang)
        write_atomically(self.root / "languages" / f"{lang}.json", json.dumps(record, indent=1) + "\n")
        shutil.rmtree(work, ignore_errors=True)

    def _record(self, lang: str) -> dict[str, dict[str, Any]]:
        try:
            record: dict[str, dict[str, Any]] = json.loads((self.root / "languages" / f"{lang}.json").read_bytes())
        except FileNotFoundError:
            return {}
        return record

    def _split_file(self, kind: str, lang: str, split: str) -> Path:
        _check_split(split)
        return super()._split_file(kind, lang, split)


PARTS = ("corpus", "queries", "qrels")


def _files(lang: str) -> list[str]:
    splits = [split_file(kind, lang, SPLIT) for kind in ("topics", "qrels")]
    return [f"{corpus_folder(lang)}/docs-0.jsonl", *splits]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _check_split(split: str) -> None:
    if split != SPLIT:
        raise DataError(f"The pools of MIRACL have no split '{split}'.", mend=f"use --split {SPLIT}")
