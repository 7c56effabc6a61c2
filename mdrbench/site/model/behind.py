"""The topics behind a difference: what both systems ranked, and what was judged, with the texts that are at hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mdrbench.results.comparison import Moved
from mdrbench.site.engine.page import slug
from mdrbench.site.model import rankings
from mdrbench.site.model.board import Entry
from mdrbench.site.model.pairs import Pair
from mdrbench.site.model.texts import Excerpt, Source, Texts, cut

MOST = 10
"""Topics of all languages together that moved most."""

PER_LANGUAGE = 3
"""Topics of each language that moved most."""

HITS = 8
"""Passages shown of each ranking."""

SNIPPET = 90
"""Characters of text that help to tell two passages of a ranking apart."""


class Hit(NamedTuple):
    """One line of a ranking.

    Attributes:
        grade: as judged; None where the passage was not judged, or the judgments are not at hand.
        other: its rank in the other system's ranking, None where it is not in it.
    """

    rank: int
    docid: str
    title: str
    snippet: str
    grade: int | None
    other: int | None


class Judged(NamedTuple):
    """A judged passage and where the two systems ranked it (None: not within the depth that counts)."""

    docid: str
    grade: int
    excerpt: Excerpt | None
    rank_a: int | None
    rank_b: int | None


@dataclass(frozen=True)
class Behind:
    """One topic: rankings are None where a run is not at hand, ``judged`` where the judgments are not."""

    moved: Moved
    anchor: str
    a: list[Hit] | None
    b: list[Hit] | None
    judged: list[Judged] | None


@dataclass(frozen=True, eq=False)
class Picked:
    """What is to be shown of a pair: its topics by language, and the ten that moved most of all."""

    pair: Pair
    most: list[Moved]
    by_language: dict[str, list[Moved]]
    rankings: dict[str, tuple[dict[str, list[str]] | None, ...]]


def pick(pair: Pair, cache: Path) -> Picked:
    """Choose the topics and read what both systems ranked for them."""
    found = pair.moved(MOST, PER_LANGUAGE)
    by_language: dict[str, list[Moved]] = {lang: [] for lang in pair.topics}
    for moved in found:
        by_language[moved.lang].append(moved)
    ranked = {
        lang: tuple(rankings.ranked(entry, lang, [m.qid for m in moved], cache) for entry in (pair.a, pair.b))
        for lang, moved in by_language.items()
        if moved
    }
    return Picked(pair, found[:MOST], by_language, ranked)


def sources(texts: Texts, entry: Entry, langs: Iterable[str]) -> dict[str, Source]:
    """The data at hand of a system's languages."""
    found = {
        lang: texts.find(entry.result.dataset, entry.result.split, lang, entry.result.languages[lang].dataset)
        for lang in langs
    }
    return {lang: source for lang, source in found.items() if source}


def needed(picked: Sequence[Picked], lang: str, qrels: dict[str, dict[str, int]]) -> list[str]:
    """The docids whose texts the pages of these pairs show in a language."""
    docids: set[str] = set()
    for one in picked:
        for moved in one.by_language.get(lang, []):
            docids |= set(qrels.get(moved.qid, {}))
            for ranked in one.rankings[lang]:
                docids |= set(ranked[moved.qid][:HITS]) if ranked else set()
    return sorted(docids)


def views(
    picked: Picked, lang: str, qrels: dict[str, dict[str, int]] | None, passages: dict[str, Excerpt]
) -> list[Behind]:
    """The topics of a language as they are shown; ``qrels`` is None where the data is not at hand."""
    return [_view(moved, picked.rankings[lang], qrels, passages) for moved in picked.by_language[lang]]


def anchor(moved: Moved) -> str:
    """The topic's place on the page."""
    return f"topic-{slug(f'{moved.lang}-{moved.qid}')}"


def _view(
    moved: Moved,
    ranked: tuple[dict[str, list[str]] | None, ...],
    qrels: dict[str, dict[str, int]] | None,
    passages: dict[str, Excerpt],
) -> Behind:
    a, b = (found[moved.qid] if found else None for found in ranked)
    judged = None if qrels is None else qrels.get(moved.qid, {})
    rank_a, rank_b = ({docid: rank for rank, docid in enumerate(found or [], 1)} for found in (a, b))
    rows = None
    if judged is not None:
        order = sorted(judged, key=lambda d: (-judged[d], min(rank_a.get(d, 999), rank_b.get(d, 999)), d))
        rows = [Judged(d, judged[d], passages.get(d), rank_a.get(d), rank_b.get(d)) for d in order]
    return Behind(
        moved=moved,
        anchor=anchor(moved),
        a=None if a is None else _hits(a, judged or {}, passages, rank_b),
        b=None if b is None else _hits(b, judged or {}, passages, rank_a),
        judged=rows,
    )


def _hits(docids: list[str], judged: dict[str, int], passages: dict[str, Excerpt], other: dict[str, int]) -> list[Hit]:
    found = []
    for rank, docid in enumerate(docids[:HITS], 1):
        text = passages.get(docid, Excerpt("", "", True))
        found.append(Hit(rank, docid, text.title, cut(text.text, SNIPPET), judged.get(docid), other.get(docid)))
    return found
