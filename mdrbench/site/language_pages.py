"""A page a language: its ranking, the collection's statistics, its hardest topics and those where systems differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mdrbench.languages import LANGUAGES, SURPRISE
from mdrbench.results import Cell, DatasetRecord
from mdrbench.site import pairs, scores, standings
from mdrbench.site.board import Board, Collection, Entry
from mdrbench.site.charts import Drawing
from mdrbench.site.page import Asset, Page, slug
from mdrbench.site.scores import Scored, ScoreReader
from mdrbench.site.standings import Mark, Standings

if TYPE_CHECKING:
    import numpy as np

TOPICS = 8
"""Topics in each list."""


class Standing(NamedTuple):
    """A system in one language; ``against`` is the page that compares it with the best, where there is one."""

    entry: Entry
    source: str
    marks: dict[str, Mark | None]
    against: str | None


@dataclass(frozen=True)
class Ranking:
    """Systems that may be ranked together, the best by ``measure`` first; see :class:`mdrbench.site.standings.Group`.

    Attributes:
        record: the data that measured systems searched.
        low, high: whole tenths around all values and intervals, the ends of an axis.
    """

    title: str
    note: str
    measured: bool
    record: DatasetRecord | None
    rows: list[Standing]
    low: float
    high: float

    def tied(self, measure: str) -> int:
        """How many systems are not told apart from the best."""
        marks = [row.marks[measure] for row in self.rows]
        return sum(mark.top for mark in marks if mark) - 1


class Topic(NamedTuple):
    """A topic's query and its scores, one a system, with their mean and range."""

    qid: str
    query: str
    mean: float
    low: float
    high: float
    scores: list[tuple[str, float]]


@dataclass(frozen=True)
class Topics:
    """Lists of topics by their scores; ``zero`` counts those that every system scores 0, ``full`` those scored 1."""

    measure: str
    systems: list[Entry]
    count: int
    zero: int
    full: int
    hardest: list[Topic]
    easiest: list[Topic]
    spread: list[Topic]


def pages(board: Board, drawing: Drawing) -> Iterator[Page | Asset]:
    """An overview of a collection's languages and a page for each of them."""
    reader = scores.reader(drawing.cache.with_name("scores"))
    for collection in board.made:
        measure = pairs.first_measure(collection)
        others = [name for name in collection.measures if name != measure]
        tables = {name: standings.of(collection, name, reader, drawing.cache.with_name("memo")) for name in others}
        main = standings.of(collection, measure, reader, drawing.cache.with_name("memo"))
        built = {pairs.address(collection, *pair) for pair in pairs.chosen(collection)}
        found = {lang: _rankings(collection, lang, main, tables, built) for lang in collection.languages}
        for lang, rankings in found.items():
            known = {**LANGUAGES, **SURPRISE}.get(lang)
            first = next((ranking for ranking in rankings if ranking.measured), None)
            context = {
                "collection": collection,
                "lang": lang,
                "name": known.name if known else lang,
                "measure": measure,
                "others": others,
                "rankings": rankings,
                "record": first.record if first else None,
                "topics": _topics(measure, lang, [row.entry for row in first.rows], reader) if first else None,
                "switch": [(code, address(collection, code)) for code in collection.languages],
            }
            title = f"{context['name']} on {collection.title}"
            yield Page(address(collection, lang), "language.html", title, context, "languages")
        context = {"collection": collection, "found": found, "measure": measure, "address": address}
        path = f"{collection.folder}languages/index.html"
        yield Page(path, "languages.html", f"Languages of {collection.title}", context, "languages")


def address(collection: Collection, lang: str) -> str:
    """The page of a language."""
    return f"{collection.folder}languages/{slug(lang)}.html"


def _rankings(
    collection: Collection, lang: str, main: Standings, others: dict[str, Standings], built: set[str]
) -> list[Ranking]:
    """The groups of the leaderboard that have the language, each with the best system first."""
    marks = {
        (name, row.entry): row.marks.get(lang)
        for name, table in others.items()
        for group in table.groups
        for row in group.rows
    }
    found = []
    for group in main.groups:
        rows = sorted((row for row in group.rows if lang in row.marks), key=lambda row: row.marks[lang].rank or 0)
        if not rows:
            continue
        best = rows[0].entry
        listed = []
        for row in rows:
            shown = {main.measure: row.marks[lang], **{name: marks.get((name, row.entry)) for name in others}}
            page = pairs.address(collection, best, row.entry)
            listed.append(Standing(row.entry, row.source, shown, page if page in built else None))
        record = best.result.languages[lang].dataset
        ends = _ends([row.marks[lang].cell for row in rows])
        found.append(Ranking(group.title, group.note, group.measured, record, listed, *ends))
    return found


def _ends(cells: list[Cell]) -> tuple[float, float]:
    """Whole tenths around all values and intervals."""
    low = min(cell.value if cell.low is None else cell.low for cell in cells)
    high = max(cell.value if cell.high is None else cell.high for cell in cells)
    return max(0.0, math.floor(low * 10) / 10), min(1.0, math.ceil(high * 10) / 10)


def _aligned(entries: list[Entry], lang: str, reader: ScoreReader) -> dict[Entry, Scored]:
    """Scores of the systems that judged the same topics as the first one that has any, in the same order."""
    found: dict[Entry, Scored] = {}
    for entry in entries:
        scored = reader.read(entry, lang)
        if scored is None:
            continue
        first = next(iter(found.values()), scored)
        if set(scored.qids) == set(first.qids):
            found[entry] = pairs.aligned(scored, first.qids)
    return found


def _topics(measure: str, lang: str, entries: list[Entry], reader: ScoreReader) -> Topics | None:
    """Topics by difficulty and by disagreement; None without topic-level scores."""
    import numpy as np

    aligned = _aligned(entries, lang, reader)
    aligned = {entry: scored for entry, scored in aligned.items() if measure in scored.measures}
    if not aligned:
        return None
    values = np.stack([scored.of(measure) for scored in aligned.values()])  # (systems, topics)
    qids, queries = (first := next(iter(aligned.values()))).qids, first.queries
    found = [_topic(qid, queries[qid], aligned, values[:, i]) for i, qid in enumerate(qids)]
    by_mean = sorted(found, key=lambda t: (t.mean, t.qid))
    by_spread = sorted(found, key=lambda t: (t.low - t.high, t.mean, t.qid))
    return Topics(
        measure=measure,
        systems=list(aligned),
        count=len(found),
        zero=sum(topic.high == 0 for topic in found),
        full=sum(topic.low == 1 for topic in found),
        hardest=by_mean[:TOPICS],
        easiest=sorted(by_mean[TOPICS:], key=lambda t: (-t.mean, t.qid))[:TOPICS],
        spread=[topic for topic in by_spread if topic.high > topic.low][:TOPICS] if len(aligned) > 1 else [],
    )


def _topic(qid: str, query: str, aligned: dict[Entry, Scored], values: np.ndarray) -> Topic:
    named = [(entry.name, float(value)) for entry, value in zip(aligned, values, strict=True)]
    return Topic(qid, query, float(values.mean()), float(values.min()), float(values.max()), named)
