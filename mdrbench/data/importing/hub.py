"""Repositories of the hub with corpus, queries and qrels, laid out as those of mteb's retrieval tasks.

A repository with one language has the configurations ``corpus``, ``queries`` and ``default`` (or ``qrels``); one with
several has ``LANG-corpus``, ``LANG-queries`` and ``LANG-qrels``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.data.importing.origin import Import, Origin, chosen, only_language, split_name
from mdrbench.data.tables import LanguageTables, language_data
from mdrbench.data.writing import LanguageData
from mdrbench.hub.dataset_configs import Configs, Repository, fetch_files, files_of, licence_of, read_configs
from mdrbench.hub.downloads import Listen, Manifest, nobody

FOLDER = "sources"


def read(repository: Repository, langs: list[str], root: Path, listen: Listen = nobody) -> Import:
    """Fetch a repository's files into ``root/sources``, and return its collection.

    Args:
        repository: name and revision; the commit behind the revision is recorded.
        langs: languages to import; all of a repository with several by default.
        root: the folder to download to.
        listen: hears of downloads.

    Raises:
        DataError: the repository is not in this layout.
        UsageError: a language does not exist, or the repository does not say its only one.
        SetupError: the hub cannot be reached.
    """
    configs = read_configs(repository, root, FOLDER, listen)
    prefixes = _prefixes(configs, langs, repository.name)
    wanted = {lang: _parts(configs, prefix) for lang, prefix in prefixes.items()}
    paths = dict.fromkeys(path for parts in wanted.values() for path in parts.paths())
    fetch_files(repository, paths, root, FOLDER, listen=listen)
    commit = Manifest(root).repos[repository.name]["commit"]
    origin = Origin("hub", repository.name, commit, licence_of(root / FOLDER))
    return Import(origin, _languages(wanted, root / FOLDER))


class Parts(NamedTuple):
    """Paths of a language's files in the repository: the corpus, and queries and qrels by their split there."""

    corpus: list[str]
    queries: dict[str, list[str]]
    qrels: dict[str, list[str]]

    def paths(self) -> list[str]:
        """Return all paths."""
        return [
            *self.corpus,
            *(path for files in (self.queries, self.qrels) for paths in files.values() for path in paths),
        ]

    def tables(self, folder: Path) -> LanguageTables:
        """Return the downloaded files, with our names of the splits."""

        def local(paths: list[str]) -> list[Path]:
            return [folder / path for path in paths]

        queries = {split_name(split): local(paths) for split, paths in self.queries.items()}
        qrels = {split_name(split): local(paths) for split, paths in self.qrels.items()}
        return LanguageTables(local(self.corpus), queries, qrels)


def _prefixes(configs: Configs, langs: list[str], source: str) -> dict[str, str]:
    """Return language -> what the names of its configurations begin with."""
    several = [name.removesuffix("-corpus") for name in configs if name.endswith("-corpus")]
    if several:
        return {lang: f"{lang}-" for lang in chosen(langs, sorted(several), source)}
    if "corpus" in configs:
        return {only_language(langs, source): ""}
    known = ", ".join(configs) or "none"
    message = f"{source} has no configuration `corpus` or `LANG-corpus`. It has: {known}."
    raise DataError(message, mend="give a repository with corpus, queries and qrels")


def _parts(configs: Configs, prefix: str) -> Parts:
    """Return the files of a language, of all splits that have judgments."""
    names = (f"{prefix}qrels", "qrels", "default")
    qrels = next((name for name in names if name in configs), names[0])
    named = list(configs.get(qrels, {}))
    queries = {split: files_of(configs, f"{prefix}queries", split) for split in named}
    judged = {split: files_of(configs, qrels, split) for split in named}
    return Parts(files_of(configs, f"{prefix}corpus", next(iter(named), "corpus")), queries, judged)


def _languages(wanted: dict[str, Parts], folder: Path) -> Iterator[tuple[str, LanguageData]]:
    for lang, parts in wanted.items():
        yield lang, language_data(parts.tables(folder))
