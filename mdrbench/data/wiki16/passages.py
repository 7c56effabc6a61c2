"""The passages of one language: paragraphs cut to length, exact duplicates merged, near copies dropped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from mdrbench.core.types import Passage
from mdrbench.data.wiki16.articles import ArticleGroups
from mdrbench.data.wiki16.cutting import Span, cut, passage_limit
from mdrbench.data.wiki16.near_copies import NearCopies
from mdrbench.data.wiki16.readers import Answer, Paragraph
from mdrbench.data.wiki16.text import clean, docid_order, title_key

FIRST_ARTICLE = 900_000_001
"""Articles of the question-answering sets are numbered from here; MIRACL's numbers are far below."""


@dataclass
class SourcedPassage:
    """A passage of the corpus with its source and the key of its article."""

    docid: str
    title: str
    text: str
    source: str
    article: str


class PlacedQuestion(NamedTuple):
    """A question and the passages that answer it: docid -> the answers, or parts of them, in that passage."""

    qid: str
    text: str
    answers: dict[str, set[str]]


class Corpus:
    """The passages of one language as they are added.

    Attributes:
        passages: docid -> passage, for all passages that are kept.
        groups: the articles that belong together.
        survivors: docid of a dropped passage, or of a MIRACL passage -> docid of the passage that stands for it.
        counts: how many passages and questions each rule affected.
    """

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.passages: dict[str, SourcedPassage] = {}
        self.groups = ArticleGroups()
        self.survivors: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._by_text: dict[str, str] = {}
        self._article_numbers: dict[str, int] = {}
        self._next_passage: Counter[int] = Counter()
        self._copies = NearCopies()

    def article_group(self, docid: str) -> str:
        """Return the group of articles that a passage belongs to."""
        return self.groups.group(self.passages[docid].article)

    def add_paragraph(self, paragraph: Paragraph) -> list[PlacedQuestion]:
        """Cut a paragraph, add its passages, and return its questions with the passages that answer them."""
        located = [self._locate(question.answers, paragraph.text) for question in paragraph.questions]
        parts = cut(paragraph.text, passage_limit(self.lang), [span for spans in located for span in spans])
        self.counts["paragraphs"] += 1
        self.counts["paragraphs cut"] += len(parts) > 1
        self.groups.group(paragraph.article)
        docids = [self._add_part(paragraph, part) for part in parts]
        placed = []
        for question, spans in zip(paragraph.questions, located, strict=True):
            answers = _answers_in(paragraph.text, spans, parts, docids)
            if answers and clean(question.text):
                placed.append(PlacedQuestion(f"{paragraph.source}-{question.qid}", clean(question.text), answers))
            else:
                self.counts["questions without an answer in their paragraph"] += 1
        return placed

    def drop_near_copies(self, questions: Iterable[PlacedQuestion]) -> None:
        """Drop each passage that nearly repeats a longer one, if the longer one has all of its answers."""
        answers: defaultdict[str, set[str]] = defaultdict(set)
        for question in questions:
            for docid, texts in question.answers.items():
                answers[docid] |= texts
        for docid in sorted(self.passages, key=lambda docid: (-len(self.passages[docid].text), docid_order(docid))):
            passage = self.passages[docid]
            survivor = self._copies.find(docid, passage.text, self._same_article)
            if survivor and all(answer in self.passages[survivor].text for answer in answers[docid]):
                answers[survivor] |= answers[docid]
                self._merge(passage, survivor)
            else:
                self._copies.add(docid, passage.text)

    def add_miracl(self, passages: Iterable[Passage]) -> None:
        """Add MIRACL's passages; one that repeats a passage of the corpus is represented by it."""
        passages = sorted(passages, key=lambda passage: docid_order(passage.docid))
        for passage in passages:
            if title_key(passage.title):
                self.groups.join(miracl_article(passage.docid), f"title:{title_key(passage.title)}")
        copies = [self._copies.find(passage.docid, passage.text, self._same_miracl_article) for passage in passages]
        for passage, copy in zip(passages, copies, strict=True):
            article = miracl_article(passage.docid)
            if copy and passage.text not in self._by_text:
                self.counts["MIRACL passages dropped as near copies"] += 1
                self.survivors[passage.docid] = copy
                self.groups.join(article, self.passages[copy].article)
            else:
                sourced = SourcedPassage(passage.docid, passage.title, passage.text, "miracl", article)
                self.survivors[passage.docid] = self._add(sourced)

    def _locate(self, answers: list[Answer], text: str) -> list[Span]:
        spans = []
        for answer in answers:
            start = locate(answer, text)
            if start is None:
                self.counts["answers that are not in their paragraph"] += 1
                continue
            self.counts["answers at another place than their source says"] += start != answer.start
            spans.append(Span(start, start + len(answer.text)))
        return spans

    def _add_part(self, paragraph: Paragraph, part: Span) -> str | None:
        """Add one part of a paragraph; return the docid that stands for it, None if it is blank."""
        text = clean(paragraph.text[part.start : part.end])
        if not text:
            return None
        number = self._article_numbers.setdefault(paragraph.article, FIRST_ARTICLE + len(self._article_numbers))
        docid = f"{number}#{self._next_passage[number]}"
        added = self._add(SourcedPassage(docid, clean(paragraph.title), text, paragraph.source, paragraph.article))
        self._next_passage[number] += added == docid
        return added

    def _add(self, passage: SourcedPassage) -> str:
        """Add a passage; return its docid, or the docid of the passage that has the same text."""
        docid = self._by_text.setdefault(passage.text, passage.docid)
        if docid == passage.docid:
            self.passages[docid] = passage
            return docid
        self.counts["exact duplicates merged"] += 1
        survivor = self.passages[docid]
        self.groups.join(passage.article, survivor.article)
        survivor.title = survivor.title or passage.title
        return docid

    def _merge(self, passage: SourcedPassage, survivor: str) -> None:
        self.counts["near copies dropped"] += 1
        self.survivors[passage.docid] = survivor
        self._by_text[passage.text] = survivor
        del self.passages[passage.docid]
        self.groups.join(passage.article, self.passages[survivor].article)

    def _same_article(self, docid: str, known: str) -> bool:
        return self.article_group(docid) == self.article_group(known)

    def _same_miracl_article(self, docid: str, known: str) -> bool:
        return self.groups.group(miracl_article(docid)) == self.article_group(known)


def miracl_article(docid: str) -> str:
    """Return the article key of a MIRACL passage."""
    return f"miracl:{docid.partition('#')[0]}"


def locate(answer: Answer, text: str) -> int | None:
    """Return where an answer stands: where the source says, else at its nearest occurrence, else nowhere."""
    if text.startswith(answer.text, answer.start) and answer.start >= 0:
        return answer.start
    places, place = [], text.find(answer.text)
    while place >= 0:
        places.append(place)
        place = text.find(answer.text, place + len(answer.text))
    return min(places, key=lambda place: abs(place - answer.start), default=None)


def _answers_in(text: str, spans: list[Span], parts: list[Span], docids: list[str | None]) -> dict[str, set[str]]:
    """Return docid -> the stretches of the answers that lie in that passage."""
    answers: defaultdict[str, set[str]] = defaultdict(set)
    for span in spans:
        for docid, part in zip(docids, parts, strict=True):
            start, end = max(span.start, part.start), min(span.end, part.end)
            if docid and start < end:
                answers[docid].add(clean(text[start:end]))
    return dict(answers)
