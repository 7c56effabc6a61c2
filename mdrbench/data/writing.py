"""Write languages in MIRACL's layout: piece by piece in a folder of their own, then renamed into place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage
from mdrbench.data.paths import corpus_folder, split_file, topics_folder

Judgment = tuple[str, str, int]
"""qid, docid, grade."""


class SplitData(NamedTuple):
    """Topics (qid, query) and judgments of a split, in any order; both are read once."""

    topics: Iterable[tuple[str, str]]
    judgments: Iterable[Judgment]


class LanguageData(NamedTuple):
    """All data of a language; the passages are read once."""

    passages: Iterable[Passage]
    splits: dict[str, SplitData]


def write_language(root: Path, lang: str, data: LanguageData) -> dict[str, int]:
    """Write a language.

    Topics without a judgment are left out. So are judgments of passages that the corpus lacks and of topics without a
    text, which no run could be scored on.

    Returns:
        The number of passages, and of topics, judgments and judgments left out of each split (``dev topics``).
    """
    docids: set[str] = set()
    counts = {"passages": write_corpus(root, lang, _noted(data.passages, docids))}
    for split, split_data in data.splits.items():
        topics = dict(split_data.topics)
        judgments = list(split_data.judgments)
        usable = [(qid, docid, grade) for qid, docid, grade in judgments if docid in docids and qid in topics]
        judged = {qid for qid, _, _ in usable}
        asked = ((qid, query) for qid, query in topics.items() if qid in judged)
        counts[f"{split} topics"] = write_topics(root, lang, split, asked)
        counts[f"{split} judgments"] = write_qrels(root, lang, split, usable)
        counts[f"{split} judgments left out"] = len(judgments) - len(usable)
    return counts


def _noted(passages: Iterable[Passage], docids: set[str]) -> Iterator[Passage]:
    for passage in passages:
        docids.add(passage.docid)
        yield passage


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines (without their line ends) to a new UTF-8 file, and return how many.

    Raises:
        DataError: a line holds a lone surrogate, which no UTF-8 file can hold.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(lines, start=1):
            try:
                file.write(f"{line}\n")
            except UnicodeEncodeError as error:
                where = f"{path.name}, line {number}"
                raise DataError(f"The text cannot be written as UTF-8: {error.reason}.", where=where) from None
        file.flush()
        os.fsync(file.fileno())
    return number


def write_corpus(root: Path, lang: str, passages: Iterable[Passage]) -> int:
    """Write a corpus as one shard, and return its number of passages."""
    lines = (json.dumps(passage._asdict(), ensure_ascii=False) for passage in passages)
    return write_lines(root / corpus_folder(lang) / "docs-0.jsonl", lines)


def write_topics(root: Path, lang: str, split: str, topics: Iterable[tuple[str, str]]) -> int:
    """Write topics (qid, query), and return how many. Tabs and line ends in a query become spaces."""
    lines = (f"{qid}\t{' '.join(query.split())}" for qid, query in topics)
    return write_lines(root / split_file("topics", lang, split), lines)


def write_qrels(root: Path, lang: str, split: str, judgments: Iterable[Judgment]) -> int:
    """Write judgments (qid, docid, grade), and return how many."""
    lines = (f"{qid}\tQ0\t{docid}\t{grade}" for qid, docid, grade in judgments)
    return write_lines(root / split_file("qrels", lang, split), lines)


def place_language(work: Path, root: Path, lang: str) -> None:
    """Rename a finished language from ``work`` into a data set, the corpus last; what was there is replaced.

    A language belongs to a data set when it has a corpus folder, so a process that is killed between the two renames
    leaves no language that looks finished.
    """
    for folder in (topics_folder(lang), corpus_folder(lang)):
        target = root / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        os.rename(work / folder, target)
