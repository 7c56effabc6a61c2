"""Training groups on disk: one query a line with its positives and hard negatives, ids only.

::

    {"qid": "7", "positives": ["12#0"], "negatives": [
      {"docid": "3#1", "score": 0.71, "source": "mined", "judged": false, "grade": null}]}

A file (JSON lines, gzipped if its name ends in ``.gz``) holds one language, since qids repeat across languages.
Negatives are best first. The same groups give the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import text_file
from mdrbench.core.errors import DataError
from mdrbench.core.types import Negative, Passage, TrainingGroup
from mdrbench.formats import jsonl

SOURCES = ("mined", "generated")


def write(path: Path, groups: Iterable[TrainingGroup]) -> int:
    """Write a stream of groups, whole or not at all; return their number.

    Raises:
        DataError: a group that :func:`read` would refuse; nothing is written then.
    """
    seen: set[str] = set()
    with text_file(path) as file:
        for group in groups:
            where = f"{path}: group '{group.qid}'"
            _check(group, seen, where)
            row = {
                "qid": group.qid,
                "positives": group.positives,
                "negatives": [negative._asdict() for negative in group.negatives],
            }
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
    return len(seen)


def read(path: Path) -> Iterator[TrainingGroup]:
    """Yield groups in file order.

    Raises:
        DataError: a malformed group, with file and line.
    """
    seen: set[str] = set()
    for where, row in jsonl.records(path, {}):
        group = _group(row, where)
        _check(group, seen, where)
        yield group


def docids(groups: Iterable[TrainingGroup]) -> set[str]:
    """Return the docids that the groups name."""
    found: set[str] = set()
    for group in groups:
        found.update(group.positives, (negative.docid for negative in group.negatives))
    return found


def passages(wanted: set[str], corpus: Iterable[Passage]) -> dict[str, Passage]:
    """Pick the wanted passages out of a stream of the whole corpus.

    Raises:
        DataError: a docid that the corpus lacks.
    """
    found = {passage.docid: passage for passage in corpus if passage.docid in wanted}
    if missing := sorted(wanted - found.keys()):
        raise DataError(
            f"{len(missing)} passages of the groups or of the run are not in the corpus, the first '{missing[0]}'",
            mend="use the corpus that they were retrieved from",
        )
    return found


def _bad(message: str, where: str) -> DataError:
    return DataError(message, where=where, mend="write the groups again, or mend the line")


def _fields(row: Any, kind: type[TrainingGroup] | type[Negative], where: str) -> dict[str, Any]:
    """Return the row if it is a mapping with exactly the fields of the record ``kind``."""
    if isinstance(row, dict) and row.keys() == _KEYS[kind]:
        return row
    if not isinstance(row, dict):
        raise _bad(f"a {_NAMES[kind]} is a mapping of keys, this is {row!r:.60}", where)
    if missing := [name for name in kind._fields if name not in row]:
        raise _bad(f"a {_NAMES[kind]} lacks '{missing[0]}'", where)
    unknown = next(name for name in row if name not in kind._fields)
    raise _bad(f"unknown key '{unknown}' in a {_NAMES[kind]}", where)


_NAMES = {TrainingGroup: "group", Negative: "negative"}
_KEYS = {TrainingGroup: frozenset(TrainingGroup._fields), Negative: frozenset(Negative._fields)}


def _group(row: Any, where: str) -> TrainingGroup:
    fields = _fields(row, TrainingGroup, where)
    for name in ("positives", "negatives"):
        if not isinstance(fields[name], list):
            raise _bad(f"'{name}' is not a list", where)
    negatives = tuple(Negative(**_fields(item, Negative, where)) for item in fields["negatives"])
    return TrainingGroup(fields["qid"], tuple(fields["positives"]), negatives)


def _check(group: TrainingGroup, seen: set[str], where: str) -> None:
    """Check a group that was read or will be written; add its qid to ``seen``."""
    if not isinstance(group.qid, str) or not group.qid:
        raise _bad(f"the qid is {group.qid!r}, not a text", where)
    if group.qid in seen:
        raise _bad(f"the qid '{group.qid}' occurs twice", where)
    seen.add(group.qid)
    if not group.positives:
        raise _bad(f"query '{group.qid}' has no positive", where)
    met: set[str] = set()
    for docid in (*group.positives, *(negative.docid for negative in group.negatives)):
        if not isinstance(docid, str) or not docid:
            raise _bad(f"a docid of query '{group.qid}' is {docid!r}, not a text", where)
        if docid in met:
            role = "both positive and negative" if docid in group.positives else "a negative twice"
            role = "a positive twice" if group.positives.count(docid) > 1 else role
            raise _bad(f"'{docid}' is {role} for query '{group.qid}'", where)
        met.add(docid)
    for negative in group.negatives:
        _check_negative(negative, where)


def _check_negative(negative: Negative, where: str) -> None:
    docid, score, source, judged, grade = negative
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise _bad(f"the score of '{docid}' is {score!r}, not a finite number", where)
    if source not in SOURCES:
        raise _bad(f"the source of '{docid}' is {source!r}, neither 'mined' nor 'generated'", where)
    if not isinstance(judged, bool):
        raise _bad(f"'judged' of '{docid}' is {judged!r}, neither true nor false", where)
    if grade is not None and not (type(grade) is int and 0 <= grade <= 2):
        raise _bad(f"the grade of '{docid}' is {grade!r}, not 0, 1, 2 or null", where)
