"""Corpus, queries and judgments as they stand in tables of BEIR, mteb and the hub: one language, into our layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage
from mdrbench.data.writing import Judgment, LanguageData, SplitData
from mdrbench.formats.table_files import Row, read_rows

DOCID = ("_id", "id", "docid", "doc_id", "corpus-id")
QID = ("query-id", "query_id", "qid", "_id", "id")
QUERY = ("text", "query", "question")
JUDGED = ("corpus-id", "corpus_id", "docid", "doc_id", "pid")
GRADE = ("score", "relevance", "grade", "label")
"""Columns that may hold an id, a text or a grade, the most usual first."""


@dataclass(frozen=True)
class LanguageTables:
    """The table files of one language. Queries of a split may be in a file with those of other splits."""

    corpus: list[Path]
    queries: dict[str, list[Path]] = field(default_factory=dict)
    qrels: dict[str, list[Path]] = field(default_factory=dict)


def language_data(tables: LanguageTables) -> LanguageData:
    """Return the data of a language's tables; they are read when the data are.

    Reading raises a DataError if a row lacks an id, a text or a grade.
    """
    splits = {
        split: SplitData(topics(rows_of(tables.queries[split])), judgments(rows_of(qrels)))
        for split, qrels in tables.qrels.items()
    }
    return LanguageData(passages(rows_of(tables.corpus)), splits)


def rows_of(paths: Iterable[Path]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of several files, each with its place (file and number of the row)."""
    for path in paths:
        for number, row in enumerate(read_rows(path), start=1):
            yield f"{path}, row {number}", row


def passages(rows: Iterable[tuple[str, Row]]) -> Iterator[Passage]:
    """Yield the passages of a corpus table."""
    for where, row in rows:
        yield Passage(identifier(row, DOCID, where), str(row.get("title") or ""), _text(row, ("text",), where))


def topics(rows: Iterable[tuple[str, Row]]) -> Iterator[tuple[str, str]]:
    """Yield qid and query of a table of queries."""
    for where, row in rows:
        yield identifier(row, QID, where), _text(row, QUERY, where)


def judgments(rows: Iterable[tuple[str, Row]]) -> Iterator[Judgment]:
    """Yield the judgments of a table of qrels."""
    for where, row in rows:
        yield identifier(row, QID, where), identifier(row, JUDGED, where), _grade(row, where)


def identifier(row: Row, columns: tuple[str, ...], where: str) -> str:
    """Return an id as text; whole numbers become text.

    Raises:
        DataError: there is no id, or it is empty, holds white space, or is of another type.
    """
    value = _first(row, columns, where)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"The id {value!r} is neither text nor a whole number.", where=where)
    text = str(value)
    if not text or any(char.isspace() for char in text):
        raise DataError(f"The id {text!r} is empty or holds white space.", where=where, mend="give it another id")
    return text


def _text(row: Row, columns: tuple[str, ...], where: str) -> str:
    value = _first(row, columns, where)
    if not isinstance(value, str):
        raise DataError(f"The text is {type(value).__name__}, not text.", where=where)
    return value


def _grade(row: Row, where: str) -> int:
    value = _first(row, GRADE, where)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DataError(f"The grade {value!r} is not a number.", where=where) from None
    if number != int(number):
        raise DataError(f"The grade {value!r} is not a whole number.", where=where)
    return int(number)


def _first(row: Row, columns: tuple[str, ...], where: str) -> Any:
    """Return the value of the first of these columns that the row has."""
    for column in columns:
        if row.get(column) is not None:
            return row[column]
    wanted, there = ", ".join(columns), ", ".join(row)
    raise DataError(f"The row has none of the columns {wanted}. It has: {there}.", where=where)
