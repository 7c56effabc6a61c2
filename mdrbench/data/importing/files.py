"""Two files of your own: passages, and questions with the ids of the passages that answer them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256, key_of
from mdrbench.data.importing.origin import Import, Origin, only_language
from mdrbench.data.tables import QID, identifier, passages, rows_of, topics
from mdrbench.data.writing import Judgment, LanguageData, SplitData
from mdrbench.formats.table_files import Row

ANSWERS = ("answers", "docids", "positives")
"""Columns that may hold the docids of a question: a list, or text with commas or spaces between them."""


def read(passage_file: Path, question_file: Path, langs: list[str], split: str) -> Import:
    """Return the collection of two files; the questions become the topics of one split.

    Raises:
        UsageError: not exactly one language was given.
    """
    lang = only_language(langs, passage_file.name)
    questions = SplitData(topics(rows_of([question_file])), answers(rows_of([question_file])))
    data = LanguageData(passages(rows_of([passage_file])), {split: questions})
    files = (passage_file, question_file)
    revision = f"sha256-{key_of([file_sha256(file) for file in files])[:40]}"
    return Import(Origin("files", ", ".join(file.name for file in files), revision), iter([(lang, data)]))


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
