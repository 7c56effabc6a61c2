"""NoMIRACL (Thakur et al. 2024): topics with at most ten judged passages each, many of them without a relevant passage.

The corpora hold judged passages alone. A judge can be compared with the annotators on them; a retriever cannot be
evaluated. Two layouts are read::

    data/LANGUAGE/corpus.jsonl.gz                        as published: {"docid", "title", "text"} a line
    data/LANGUAGE/topics/SPLIT.SUBSET.tsv                qid<TAB>query; SUBSET is relevant or non_relevant
    data/LANGUAGE/qrels/SPLIT.SUBSET.tsv                 qid<TAB>Q0<TAB>docid<TAB>grade

    nomiracl-SPLIT-LANG.jsonl                            lists: {"query_id", "subset", "query", "docids"} a line
    ../miracl-corpus/...                                 their passages, in MIRACL's layout

A list does not say which passage of a relevant topic is relevant, so only its non-relevant topics are imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.languages import ALL, SURPRISE, in_order, language
from mdrbench.core.store import file_sha256, key_of
from mdrbench.core.types import Passage, Topics
from mdrbench.data import tables
from mdrbench.data.importing.origin import Import, Origin, chosen
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.data.record import JUDGED
from mdrbench.data.writing import Judgment, LanguageData, SplitData
from mdrbench.formats import jsonl, trec
from mdrbench.hub.dataset_configs import README, Repository, fetch_files, licence_of
from mdrbench.hub.downloads import Listen, Manifest, nobody

SPLITS = ("dev", "test")
SUBSETS = ("relevant", "non_relevant")
CODES = {language(code).name.lower(): code for code in (*ALL, *SURPRISE)}
"""Folder of a language, its English name, -> code."""

_PUBLISHED = re.compile(r"data/([a-z]+)/(?:corpus\.jsonl\.gz|(?:topics|qrels)/(?:dev|test)\.(?:non_)?relevant\.tsv)")
_LIST = re.compile(r"nomiracl-(dev|test)-([a-z]{2})\.jsonl")


def is_published(paths: Iterable[str]) -> bool:
    """Tell whether files are laid out as NoMIRACL was published."""
    return any(_PUBLISHED.fullmatch(path) and "/topics/" in path for path in paths)


def lists_in(folder: Path) -> list[Path]:
    """Return the lists of candidates in a folder."""
    return sorted(path for path in folder.glob("nomiracl-*.jsonl") if _LIST.fullmatch(path.name))


def read_hub(repository: Repository, files: list[str], langs: list[str], root: Path, listen: Listen = nobody) -> Import:
    """Fetch languages of a repository into ``root/sources``, and return its collection.

    Raises:
        UsageError: the repository lacks a language.
        DataError, SetupError: a file cannot be fetched.
    """
    codes = _languages_of(files, langs, repository.name)
    wanted = [path for path in files if (match := _PUBLISHED.fullmatch(path)) and CODES.get(match[1]) in codes]
    fetch_files(repository, [README] * (README in files) + wanted, root, "sources", listen=listen)
    commit = Manifest(root).repos[repository.name]["commit"]
    return _published(root / "sources", wanted, codes, repository.name, commit, licence_of(root / "sources"))


def read_folder(folder: Path, langs: list[str]) -> Import:
    """Return the collection of a folder with the published files, or with lists of candidates.

    Raises:
        UsageError: the folder lacks a language.
        DataError: the passages of lists are not beside them.
    """
    if lists := lists_in(folder):
        return _listed(folder, lists, langs)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.glob("data/**/*") if path.is_file())
    codes = _languages_of(files, langs, str(folder))
    wanted = [path for path in files if (match := _PUBLISHED.fullmatch(path)) and CODES.get(match[1]) in codes]
    revision = f"sha256-{key_of([file_sha256(folder / path) for path in wanted])[:40]}"
    return _published(folder, wanted, codes, folder.resolve().name, revision, "")


def _languages_of(files: list[str], langs: list[str], source: str) -> list[str]:
    folders = {match[1] for path in files if (match := _PUBLISHED.fullmatch(path))}
    return chosen(langs, in_order(CODES[name] for name in folders if name in CODES), source)


def _published(folder: Path, files: list[str], codes: list[str], name: str, revision: str, licence: str) -> Import:
    def languages() -> Iterator[tuple[str, LanguageData]]:
        for code in codes:
            base = f"data/{language(code).name.lower()}"
            splits = {split: _published_split(folder, files, base, split) for split in SPLITS}
            corpus = tables.passages(tables.rows_of([folder / base / "corpus.jsonl.gz"]))
            yield code, _judged_alone(corpus, {split: data for split, data in splits.items() if list(data.topics)})

    return Import(Origin("nomiracl", name, revision, licence), languages(), JUDGED)


def _published_split(folder: Path, files: list[str], base: str, split: str) -> SplitData:
    """Return topics and judgments of both subsets."""
    topics: Topics = {}
    judgments: list[Judgment] = []
    for subset in SUBSETS:
        if f"{base}/topics/{split}.{subset}.tsv" in files:
            topics |= trec.read_topics(folder / base / "topics" / f"{split}.{subset}.tsv")
            rows = trec.iter_qrels(folder / base / "qrels" / f"{split}.{subset}.tsv")
            judgments += [(qid, docid, grade) for _, qid, docid, grade in rows]
    return SplitData(list(topics.items()), judgments)


def _listed(folder: Path, lists: list[Path], langs: list[str]) -> Import:
    """Return the non-relevant topics of lists, with passages of the data set that the folder lies in."""
    files: dict[str, dict[str, Path]] = {}
    for path in lists:
        match = _LIST.fullmatch(path.name)
        assert match is not None
        files.setdefault(match[2], {})[match[1]] = path
    passages = MiraclFolder(folder.resolve().parent.name, folder.resolve().parent)
    if not (passages.root / "miracl-corpus").is_dir():
        mend = "put the folder of lists beside miracl-corpus/, which holds MIRACL's passages"
        raise DataError("The passages of the lists are not here.", where=f"{passages.root}/miracl-corpus", mend=mend)
    codes = chosen(langs, in_order(files), str(folder))
    revision = f"sha256-{key_of([file_sha256(path) for path in lists])[:40]}"

    def languages() -> Iterator[tuple[str, LanguageData]]:
        for code in codes:
            splits = {split: _listed_split(path) for split, path in files[code].items()}
            yield code, _judged_alone(passages.passages(code), splits)

    return Import(Origin("nomiracl", folder.resolve().name, revision), languages(), JUDGED)


def _listed_split(path: Path) -> SplitData:
    topics: list[tuple[str, str]] = []
    judgments: list[Judgment] = []
    for where, row in jsonl.records(path, {"query_id": str, "subset": str, "query": str, "docids": list}):
        if row["subset"] not in SUBSETS:
            mend = f"give one of {', '.join(SUBSETS)}"
            raise DataError(f"Unknown subset '{row['subset']}'.", where=where, mend=mend)
        if row["subset"] == "non_relevant":
            topics.append((row["query_id"], row["query"]))
            judgments += [
                (row["query_id"], tables.identifier({"id": docid}, ("id",), where), 0) for docid in row["docids"]
            ]
    return SplitData(topics, judgments)


def _judged_alone(passages: Iterable[Passage], splits: dict[str, SplitData]) -> LanguageData:
    """Return the data of a language with its judged passages alone."""
    judged = {docid for data in splits.values() for _, docid, _ in data.judgments}
    return LanguageData((passage for passage in passages if passage.docid in judged), splits)
