"""The topics behind a difference: what both systems ranked and what was judged, with the texts that are present."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256
from mdrbench.core.types import Qrels
from mdrbench.formats import trec
from mdrbench.results.comparison import Moved
from mdrbench.site.cache import Cache
from mdrbench.site.model.collection import Entry, slug
from mdrbench.site.model.comparisons import SystemComparison
from mdrbench.site.model.passages import Excerpt, LanguageData, PresentData, shorten

FORMAT = 2
"""Raise it if the cached rankings change for the same run file."""

MOST_MOVED = 10
"""Topics that moved most, of all languages together."""

PER_LANGUAGE = 3
"""Topics of each language that are shown in any case."""

HITS = 8
"""Passages shown of each ranking."""

SNIPPET_LENGTH = 90
"""Characters of text that help to tell two passages of a ranking apart."""

Rankings = dict[str, list[str]]
"""qid -> docids, best first, down to the depth that counts."""


class RankedPassage(NamedTuple):
    """A line of a ranking.

    Attributes:
        grade: its judgment; None if it was not judged, or if the judgments are not present.
        other_rank: its rank in the other system's ranking, None if it is not in it.
    """

    rank: int
    docid: str
    title: str
    snippet: str
    grade: int | None
    other_rank: int | None


class JudgedPassage(NamedTuple):
    """A judged passage and its ranks; a rank is None if the system did not rank it above the depth that counts."""

    docid: str
    grade: int
    excerpt: Excerpt | None
    rank_a: int | None
    rank_b: int | None


@dataclass(frozen=True)
class MovedTopic:
    """A topic whose scores differ.

    Attributes:
        anchor: its place on the page.
        a, b: the rankings of both systems; None if the run file is not present.
        judged: None if the judgments are not present.
    """

    moved: Moved
    anchor: str
    a: list[RankedPassage] | None
    b: list[RankedPassage] | None
    judged: list[JudgedPassage] | None


def anchor(moved: Moved) -> str:
    """Return a topic's place on the page."""
    return f"topic-{slug(f'{moved.lang}-{moved.qid}')}"


def moved_topics(
    comparisons: Sequence[SystemComparison], data: PresentData, cache: Cache
) -> dict[SystemComparison, list[MovedTopic]]:
    """Return for each comparison the topics that moved, the largest difference first, with rankings and texts.

    Each run and each corpus is read once for all comparisons.

    Raises:
        DataError: a run file differs from the one that its result was recorded with.
    """
    moved = {pair: pair.moved(MOST_MOVED, PER_LANGUAGE) for pair in comparisons}
    asked: dict[tuple[Entry, str], set[str]] = {}
    for pair, topics in moved.items():
        for topic in topics:
            for entry in (pair.a, pair.b):
                asked.setdefault((entry, topic.lang), set()).add(topic.qid)
    rankings = {key: _read_rankings(*key, sorted(qids), cache) for key, qids in asked.items()}
    texts = _Texts(data)
    for pair, topics in moved.items():
        for topic in topics:
            texts.ask(pair, topic, [rankings[entry, topic.lang] for entry in (pair.a, pair.b)])
    shown: dict[SystemComparison, list[MovedTopic]] = {pair: [] for pair in comparisons}
    for pair, topics in moved.items():
        for topic in topics:
            judged, excerpts = texts.of(pair, topic)
            a, b = rankings[pair.a, topic.lang], rankings[pair.b, topic.lang]
            shown[pair].append(_moved_topic(topic, a, b, judged, excerpts))
    return shown


def _read_rankings(entry: Entry, lang: str, qids: list[str], cache: Cache) -> Rankings | None:
    """Return a system's rankings of these topics, or None if its run file is not present."""
    file = entry.result.languages[lang].files.get("run")
    path = entry.path.parent / file.path if file else None
    if file is None or path is None or not path.is_file():
        return None
    if file_sha256(path) != file.sha256:
        raise DataError(
            "this file differs from the one that the result was recorded with",
            where=str(path),
            mend="run the recipe again",
        )
    depth = entry.result.evaluated.depth

    def read() -> Rankings:
        run = trec.read_run(path)
        return {qid: [hit.docid for hit in run.get(qid, [])[:depth]] for qid in qids}

    rankings: Rankings = cache.get("rankings", [FORMAT, file.sha256, depth, qids], read)
    return rankings


class _Texts:
    """Judgments and passages of all comparisons: first all of them are asked for, then each corpus is read once."""

    def __init__(self, data: PresentData):
        self._data = data
        self._sources: dict[tuple[str, str], tuple[LanguageData, Qrels] | None] = {}
        self._docids: dict[tuple[str, str], set[str]] = {}
        self._excerpts: dict[tuple[str, str], dict[str, Excerpt]] = {}

    def _key(self, pair: SystemComparison, lang: str) -> tuple[str, str]:
        record = pair.a.result.languages[lang].dataset
        return lang, record.model_dump_json() if record else ""

    def ask(self, pair: SystemComparison, topic: Moved, rankings: list[Rankings | None]) -> None:
        """Note which passages a topic shows."""
        key = self._key(pair, topic.lang)
        if key not in self._sources:
            source = self._data.find(pair.a.result, topic.lang)
            self._sources[key] = (source, source.qrels()) if source else None
        known = self._sources[key]
        if known:
            docids = self._docids.setdefault(key, set())
            docids.update(known[1].get(topic.qid, {}))
            for ranking in rankings:
                docids.update(ranking[topic.qid][:HITS] if ranking else [])

    def of(self, pair: SystemComparison, topic: Moved) -> tuple[dict[str, int] | None, dict[str, Excerpt]]:
        """Return the judgments of a topic (None if they are not present) and the excerpts of its language."""
        key = self._key(pair, topic.lang)
        known = self._sources[key]
        if known is None:
            return None, {}
        if key not in self._excerpts:
            self._excerpts[key] = known[0].excerpts(sorted(self._docids[key]))
        return known[1].get(topic.qid, {}), self._excerpts[key]


def _moved_topic(
    moved: Moved, a: Rankings | None, b: Rankings | None, judged: dict[str, int] | None, texts: dict[str, Excerpt]
) -> MovedTopic:
    docids_a, docids_b = (ranking[moved.qid] if ranking else None for ranking in (a, b))
    rank_a, rank_b = ({docid: rank for rank, docid in enumerate(ids or [], 1)} for ids in (docids_a, docids_b))
    passages = None
    if judged is not None:
        grades = judged
        order = sorted(grades, key=lambda d: (-grades[d], min(rank_a.get(d, 999), rank_b.get(d, 999)), d))
        passages = [JudgedPassage(d, grades[d], texts.get(d), rank_a.get(d), rank_b.get(d)) for d in order]
    return MovedTopic(
        moved=moved,
        anchor=anchor(moved),
        a=None if docids_a is None else _ranked_passages(docids_a, judged or {}, texts, rank_b),
        b=None if docids_b is None else _ranked_passages(docids_b, judged or {}, texts, rank_a),
        judged=passages,
    )


def _ranked_passages(
    docids: list[str], judged: dict[str, int], texts: dict[str, Excerpt], other: dict[str, int]
) -> list[RankedPassage]:
    passages = []
    for rank, docid in enumerate(docids[:HITS], 1):
        text = texts.get(docid, Excerpt("", "", True))
        snippet = shorten(text.text, SNIPPET_LENGTH)
        passages.append(RankedPassage(rank, docid, text.title, snippet, judged.get(docid), other.get(docid)))
    return passages
