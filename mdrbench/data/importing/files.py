"""Two files of your own: passages, and questions with the ids of the passages that answer them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.store import file_sha256, key_of
from mdrbench.data.importing.origin import Import, Origin, only_language
from mdrbench.data.tables import QID, identifier, passages, rows_of, topics
from mdrbench.data.writing import Judgment, LanguageData, SplitData
from mdrbench.formats.table_files import Row

ANSWERS = ("answers", "docids", "positives")
"""Columns that may hold the docids of a question: a list, or text with commas or spaces between them."""


def read(passage_file: Path, question_files: list[str], langs: list[str]) -> Import:
    """Return the collection of a file of passages and files of questions.

    Args:
        passage_file: one passage on each row.
        question_files: ``FILE`` for the split dev, or ``SPLIT=FILE``.
        langs: the language.

    Raises:
        UsageError: not exactly one language was given, or a split twice.
    """
    lang = only_language(langs, passage_file.name)
    files: dict[str, Path] = {}
    for word in question_files:
        split, file = _split_and_file(word)
        if split in files:
            mend = "give each file a split: --questions train=FILE"
            raise UsageError(f"Two files of questions for the split '{split}'.", where="--questions", mend=mend)
        files[split] = file
    splits = {split: SplitData(topics(rows_of([file])), answers(rows_of([file]))) for split, file in files.items()}
    data = LanguageData(passages(rows_of([passage_file])), splits)
    everything = (passage_file, *files.values())
    revision = f"sha256-{key_of([file_sha256(file) for file in everything])[:40]}"
    return Import(Origin("files", ", ".join(file.name for file in everything), revision), iter([(lang, data)]))


def _split_and_file(word: str) -> tuple[str, Path]:
    split, mark, file = word.partition("=")
    return (split, Path(file)) if mark and re.fullmatch(r"[a-z][a-z0-9-]*", split) else ("dev", Path(word))


def answers(rows: Iterable[tuple[str, Row]]) -> Iterator[Judgment]:
    """Yield a judgment of grade 1 for each answer of each question.

    Raises:
        DataError: a question has no column of answers.
    """
    for where, row in rows:
        qid = identifier(row, QID, where)
        value = next((row[column] for column in ANSWERS if row.get(column) is not None), None)
        if value is None:
            mend = "add a column `answers` with the ids of the passages that answer it"
            raise DataError("The question has no answers.", where=where, mend=mend)
        for docid in dict.fromkeys(_listed(value)):
            yield qid, identifier({"id": docid}, ("id",), where), 1


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return list(value) if isinstance(value, list) else [value]
