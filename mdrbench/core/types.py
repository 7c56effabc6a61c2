"""The records of the field, as immutable tuples."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple


def is_blank(text: str) -> bool:
    """Whether a text holds nothing to search: white space, control and format characters alone."""
    return all(ch.isspace() or unicodedata.category(ch) in ("Cc", "Cf") for ch in text)


class Passage(NamedTuple):
    """A passage: the unit that is retrieved. ``title`` may be empty."""

    docid: str
    title: str
    text: str

    def joined(self, separator: str) -> str:
        """Return title, separator and text, or the text alone if there is no title."""
        return f"{self.title}{separator}{self.text}" if self.title else self.text

    @property
    def blank(self) -> bool:
        """Whether neither title nor text holds anything to search (see :func:`is_blank`)."""
        return is_blank(self.text) and is_blank(self.title)


class Hit(NamedTuple):
    """A line of a run: a docid and its score, a finite float32 number."""

    docid: str
    score: float


class Negative(NamedTuple):
    """A hard negative of a query: retrieved and not positive.

    Attributes:
        score: score of the retriever that found it, for the query that found it.
        source: ``mined``, or ``generated`` if a generated query found it.
        judged: True if the qrels judge it (with grade 0). An unjudged negative may be relevant.
        grade: combined grade of the judge (see :class:`Judgment`). None if no judge was asked.
    """

    docid: str
    score: float
    source: str
    judged: bool
    grade: int | None = None


class TrainingGroup(NamedTuple):
    """A training query with its positives, in the order of the qrels, and its hard negatives, best first."""

    qid: str
    positives: tuple[str, ...]
    negatives: tuple[Negative, ...]


class Example(NamedTuple):
    """A training query for samplers. ``positives`` are docids of its language."""

    lang: str
    qid: str
    domain: str
    positives: tuple[str, ...]


class Pair(NamedTuple):
    """A query and a passage to judge. ``reference`` is a positive of the query, or None to judge without a positive."""

    lang: str
    qid: str
    query: str
    passage: Passage
    reference: Passage | None


class Judgment(NamedTuple):
    """A judge's verdict on a pair. Both grades are None if the judge gave no readable answer.

    Attributes:
        accuracy: 0 if nothing about the question is correct, 1 if partly relevant, 2 if correct.
        completeness: 0 for no answer, 1 for a part of the answer, 2 for the full answer.
        score: the number that was cut into grades; None if the judge grades without one.
    """

    qid: str
    docid: str
    accuracy: int | None
    completeness: int | None
    score: float | None = None

    @property
    def grade(self) -> int | None:
        """The combined grade: the lower of the two grades."""
        if self.accuracy is None or self.completeness is None:
            return None
        return min(self.accuracy, self.completeness)


class Source(NamedTuple):
    """A training query and one of its positives, from which a new query is generated."""

    lang: str
    qid: str
    query: str
    positive: Passage


class Generation(NamedTuple):
    """A summary of a query's positive, and a new query written from the summary.

    Both are None if the generator gave no readable answer.
    """

    qid: str
    summary: str | None
    query: str | None


Topics = dict[str, str]
"""qid -> query text, in file order. Qids repeat across languages, so use (language, qid) as a key."""

Qrels = dict[str, dict[str, int]]
"""qid -> docid -> grade; a grade of 1 or more is a positive."""

Run = dict[str, list[Hit]]
"""qid -> hits, best first."""

Scores = dict[str, dict[str, float]]
"""qid -> docid -> score."""
