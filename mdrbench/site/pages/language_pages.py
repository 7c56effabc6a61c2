"""A page a language: its ranking, the collection's statistics, its hardest topics and those where systems differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from markupsafe import Markup

from mdrbench import results
from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.results import DatasetRecord
from mdrbench.site.engine.page import Asset, Page, slug
from mdrbench.site.model import pairs, scores, standings
from mdrbench.site.model.board import Board, Collection, Entry
from mdrbench.site.model.numbers import number
from mdrbench.site.model.scores import Scored, ScoreReader
from mdrbench.site.model.standings import Mark, Standings
from mdrbench.site.pages.charts import Drawing

TOPICS = 8
"""Topics in each list."""

NAMED = 12
"""Up to so many systems are read out one by one with their score of a topic."""


class Standing(NamedTuple):
    """A system in one language; ``against`` is the page that compares it with the best, where there is one."""

    entry: Entry
    source: str
    marks: dict[str, Mark | None]
    against: str | None


class Cell(NamedTuple):
    """A score as it is printed; no value where the system has none."""

    value: str
    letters: str
    interval: str
    top: bool


class Line(NamedTuple):
    """A system's line: its cells by measure, the first of them also as a point with a band on an axis (CSS)."""

    entry: Entry
    name: str
    source: str
    rank: int | None
    cells: list[Cell]
    band: str
    point: str
    against: str | None


NO_SCORE = Cell("", "", "", False)


@dataclass(frozen=True)
class Ranking:
    """Systems that may be ranked together, the best by ``measure`` first.

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

    def lines(self, measure: str, others: list[str]) -> Iterator[Line]:
        """What the table prints, made when it is."""
        width = (self.high - self.low) or 1
        for row in self.rows:
            marks = [row.marks[name] for name in (measure, *others)]
            cells = [Cell(m.shown, m.letters, m.interval, m.top) if m else NO_SCORE for m in marks]
            cell, band = marks[0].cell, ""
            if cell.low is not None and cell.high is not None:
                left, wide = 100 * (cell.low - self.low) / width, 100 * (cell.high - cell.low) / width
                band = f"left:{left:.1f}%;width:{wide:.1f}%"
            point = f"left:{100 * (cell.value - self.low) / width:.1f}%"
            yield Line(row.entry, row.entry.name, row.source, marks[0].rank, cells, band, point, row.against)


class Topic(NamedTuple):
    """A topic's query, the mean of its scores, all of them as marks on an axis, and what is read out instead."""

    qid: str
    query: str
    mean: float
    strip: Markup
    said: str


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
            context = partial(_context, collection, lang, rankings, others, reader)
            title = f"{_name(lang)} on {collection.title}"
            yield Page(address(collection, lang), "language.html", title, context, "languages")
        context = {"collection": collection, "found": found, "measure": measure, "address": address}
        path = f"{collection.folder}languages/index.html"
        yield Page(path, "languages.html", f"Languages of {collection.title}", context, "languages")


def _context(
    collection: Collection, lang: str, rankings: list[Ranking], others: list[str], reader: ScoreReader
) -> dict[str, Any]:
    measure = pairs.first_measure(collection)
    first = next((ranking for ranking in rankings if ranking.measured), None)
    return {
        "collection": collection,
        "lang": lang,
        "name": _name(lang),
        "measure": measure,
        "others": others,
        "rankings": rankings,
        "record": first.record if first else None,
        "topics": _topics(measure, lang, [row.entry for row in first.rows], reader) if first else None,
        "switch": [(code, address(collection, code)) for code in collection.languages],
    }


def _name(lang: str) -> str:
    known = LANGUAGES.get(lang) or SURPRISE.get(lang)
    return known.name if known else lang


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


def _ends(cells: list[results.Cell]) -> tuple[float, float]:
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
    values = np.stack([scored.of(measure) for scored in aligned.values()], axis=1)  # (topics, systems)
    first = next(iter(aligned.values()))
    mean, low, high = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
    names = [entry.name for entry in aligned]

    def topics(order: list[int]) -> list[Topic]:
        shown = {first.qids[i]: i for i in order[:TOPICS]}
        queries = first.queries(shown)
        return [_topic(qid, queries[qid], float(mean[i]), names, values[i].tolist()) for qid, i in shown.items()]

    every = range(len(first.qids))
    by_mean = sorted(every, key=lambda i: (mean[i], first.qids[i]))
    by_spread = sorted(every, key=lambda i: (low[i] - high[i], mean[i], first.qids[i]))
    return Topics(
        measure=measure,
        systems=list(aligned),
        count=len(every),
        zero=int((high == 0).sum()),
        full=int((low == 1).sum()),
        hardest=topics(by_mean),
        easiest=topics(sorted(by_mean[TOPICS:], key=lambda i: (-mean[i], first.qids[i]))),
        spread=topics([i for i in by_spread if high[i] > low[i]]) if len(aligned) > 1 else [],
    )


def _topic(qid: str, query: str, mean: float, names: list[str], values: list[float]) -> Topic:
    if len(names) <= NAMED:
        said = ", ".join([f"{who} {number(value)}" for who, value in zip(names, values, strict=True)])
    else:
        low, high = min(values), max(values)
        said = f"{len(names)} systems, median {number(median(values))}, lowest {number(low)} "
        said += f"({names[values.index(low)]}), highest {number(high)} ({names[values.index(high)]})"
    strip = "".join([f'<b style="left:{100 * value:.1f}%"></b>' for value in values])
    return Topic(qid, query, mean, Markup(strip), said)
