"""The records of the field, as plain immutable tuples."""

from __future__ import annotations

from typing import NamedTuple


class Passage(NamedTuple):
    """One unit of retrieval. ``title`` may be empty."""

    docid: str
    title: str
    text: str


class Hit(NamedTuple):
    """One line of a run: a docid and its score, a finite number exactly representable in float32."""

    docid: str
    score: float


Topics = dict[str, str]
"""qid -> query text, in file order. Qids repeat across languages: key by (language, qid)."""

Qrels = dict[str, dict[str, int]]
"""qid -> docid -> grade; a grade of 1 or more is a positive."""

Run = dict[str, list[Hit]]
"""qid -> hits, best first."""
