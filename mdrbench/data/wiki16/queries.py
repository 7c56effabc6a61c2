"""The queries of one language: questions and MIRACL topics with their judgments, equal texts merged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mdrbench.data.wiki16.miracl_prompts import Topic
from mdrbench.data.wiki16.passages import Corpus, PlacedQuestion
from mdrbench.data.wiki16.text import query_key

MOST_ARTICLES = 4
"""A question that more articles than this answer, such as "When was he born?", is dropped."""


@dataclass
class Query:
    """A query with its judgments.

    Attributes:
        miracl_splits: the splits in which it is a MIRACL topic with a positive in the corpus.
        is_miracl_dev: whether a MIRACL dev topic has its text, wherever that topic's positives are.
    """

    qid: str
    text: str
    judgments: dict[str, int] = field(default_factory=dict)
    miracl_splits: set[str] = field(default_factory=set)
    is_miracl_dev: bool = False

    @property
    def source(self) -> str:
        """The source that the qid begins with; both sets of TyDi QA count as one."""
        return self.qid.split("-")[0]

    def positives(self) -> list[str]:
        """Return the docids that are judged relevant."""
        return [docid for docid, grade in self.judgments.items() if grade > 0]

    def judge(self, docid: str, grade: int) -> None:
        """Add a judgment; of two for a passage, the higher counts."""
        self.judgments[docid] = max(grade, self.judgments.get(docid, 0))


class Queries:
    """All queries of a language, each text once. The first question of a text gives qid and spelling."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._by_key: dict[str, Query] = {}

    def all(self) -> list[Query]:
        """Return the queries in the order in which their texts came."""
        return list(self._by_key.values())

    def add_questions(self, questions: Iterable[PlacedQuestion]) -> None:
        """Add questions; the passages that hold an answer are judged 1. Judgments of dropped passages are moved."""
        for question in questions:
            query = self._by_key.setdefault(query_key(question.text), Query(question.qid, question.text))
            self._corpus.counts["questions merged with one of the same text"] += query.qid != question.qid
            for docid in question.answers:
                query.judge(self._corpus.survivors.get(docid, docid), 1)

    def add_topics(self, topics: Iterable[Topic]) -> None:
        """Add MIRACL topics with their judgments of passages that are here.

        A topic whose text is new is left out if no positive of it is here.
        """
        for topic in topics:
            judgments = self._judgments_here(topic)
            answered = any(grade > 0 for grade in judgments.values())
            key = query_key(topic.text)
            if answered:
                self._by_key.setdefault(key, Query(f"miracl-{topic.qid}", topic.text)).miracl_splits.add(topic.split)
            if (query := self._by_key.get(key)) is not None:
                query.is_miracl_dev |= topic.split == "dev"
                for docid, grade in judgments.items():
                    query.judge(docid, grade)

    def _judgments_here(self, topic: Topic) -> dict[str, int]:
        """Return a topic's judgments of the passages that stand for its own (docid -> grade)."""
        judgments: dict[str, int] = {}
        for docid, grade in topic.judgments.items():
            if (survivor := self._corpus.survivors.get(docid)) is not None:
                judgments[survivor] = max(grade, judgments.get(survivor, 0))
        return judgments

    def drop_vague(self) -> None:
        """Drop questions that many articles answer, except MIRACL topics."""
        for key, query in list(self._by_key.items()):
            articles = {self._corpus.article_group(docid) for docid in query.positives()}
            if len(articles) > MOST_ARTICLES and not query.miracl_splits:
                self._corpus.counts["questions that many articles answer, dropped"] += 1
                del self._by_key[key]

    def drop_between_splits(self, xquad_splits: dict[str, str]) -> None:
        """Drop questions that XQuAD articles of different splits answer (article key -> split)."""
        for key, query in list(self._by_key.items()):
            articles = [self._corpus.passages[docid].article for docid in query.positives()]
            if len({xquad_splits[article] for article in articles if article in xquad_splits}) > 1:
                self._corpus.counts["questions that XQuAD articles of two splits answer, dropped"] += 1
                del self._by_key[key]
