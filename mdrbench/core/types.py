"""The records of the field, as plain immutable tuples."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple


def is_blank(text: str) -> bool:
    """Whether a text holds nothing to search: white space, control and format characters alone."""
    return all(ch.isspace() or unicodedata.category(ch) in ("Cc", "Cf") for ch in text)


class Passage(NamedTuple):
    """One unit of retrieval. ``title`` may be empty."""

    docid: str
    title: str
    text: str

    def joined(self, separator: str) -> str:
        """Title, separator and text; the text alone where there is no title."""
        return f"{self.title}{separator}{self.text}" if self.title else self.text

    @property
    def blank(self) -> bool:
        """Whether neither title nor text holds anything to search (see :func:`is_blank`)."""
        return is_blank(self.text) and is_blank(self.title)


class Hit(NamedTuple):
    """One line of a run: a docid and its score, a finite number exactly representable in float32."""

    docid: str
    score: float


class Negative(NamedTuple):
    """A hard negative of a query: retrieved and not positive.

    Attributes:
        score: of the retriever that found it, for the query it was found with.
        source: ``mined``, or ``generated`` where a generated query found it.
        judged: whether the qrels hold it (with grade 0); an unjudged one may be relevant.
        grade: the judge's combined grade (see :class:`Judgment`); None where no judge was asked.
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
    """A training query as samplers see it; ``positives`` are docids of its language."""

    lang: str
    qid: str
    domain: str
    positives: tuple[str, ...]


class Pair(NamedTuple):
    """A query and a passage to be judged; ``reference`` is a positive of the query, None to judge without one."""

    lang: str
    qid: str
    query: str
    passage: Passage
    reference: Passage | None


class Judgment(NamedTuple):
    """A judge's verdict on a pair; both grades are None where the judge gave no readable answer.

    Attributes:
        accuracy: 0 nothing correct on what is asked, 1 partly relevant, 2 correct.
        completeness: 0 no answer, 1 an answer in part, 2 in full.
    """

    qid: str
    docid: str
    accuracy: int | None
    completeness: int | None

    @property
    def grade(self) -> int | None:
        """The combined grade: the lower of the two."""
        if self.accuracy is None or self.completeness is None:
            return None
        return min(self.accuracy, self.completeness)


class Source(NamedTuple):
    """A training query and a positive of it, from which a new query is to be generated."""

    lang: str
    qid: str
    query: str
    positive: Passage


class Generation(NamedTuple):
    """What was generated for a query: a summary of its positive, and a query written from the summary.

    Both are None where the generator gave no readable answer.
    """

    qid: str
    summary: str | None
    query: str | None


Topics = dict[str, str]
"""qid -> query text, in file order. Qids repeat across languages: key by (language, qid)."""

Qrels = dict[str, dict[str, int]]
"""qid -> docid -> grade; a grade of 1 or more is a positive."""

Run = dict[str, list[Hit]]
"""qid -> hits, best first."""

Scores = dict[str, dict[str, float]]
"""qid -> docid -> score."""
