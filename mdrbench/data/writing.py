"""Write languages in MIRACL's layout: piece by piece in a folder of their own, then renamed into place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage
from mdrbench.data.paths import corpus_folder, split_file, topics_folder


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


def write_qrels(root: Path, lang: str, split: str, judgments: Iterable[tuple[str, str, int]]) -> int:
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
