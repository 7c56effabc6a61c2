"""A page for each language: its ranking, the collection's counts, the hardest topics and those where systems differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from markupsafe import Markup

from mdrbench.results import Cell, DatasetRecord
from mdrbench.site.model.answers import answer
from mdrbench.site.model.collection import Collection, Entry, language_name
from mdrbench.site.model.comparisons import choose_pairs
from mdrbench.site.model.leaderboard import ComparableGroup, LeaderboardRow, RankedScore
from mdrbench.site.model.number_format import number
from mdrbench.site.model.ranking import Leaderboard
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.model.topic_scores import ScoreTable
from mdrbench.site.pages.page import Page

TOPICS = 8
"""Topics in each list."""

NAMED = 12
"""Up to this many systems are read out one by one with their score of a topic."""


class PrintedScore(NamedTuple):
    """A score as the table prints it; ``value`` is empty if the system has no score."""

    value: str
    letters: str
    interval: str
    top: bool
    wrong: bool


NO_SCORE = PrintedScore("", "", "", False, False)


class SystemLine(NamedTuple):
    """A system in one language.

    Attributes:
        name, organisation: as the leaderboard prints them.
        tags: what a reader must know: the kind of a published system, training data, marks of the audit.
        scores: one for each measure, the ranking measure first.
        band, point: CSS that places the interval and the value of the first score on an axis.
        against: the page that compares the system with the best one, if there is such a page.
    """

    entry: Entry
    name: str
    organisation: str
    tags: list[str]
    source: str
    rank: int | None
    scores: list[PrintedScore]
    band: str
    point: str
    against: str | None


@dataclass(frozen=True)
class LanguageRanking:
    """Systems that are ranked together, the best first.

    Attributes:
        kind: ``measured``, ``published`` or ``predicted``.
        measures: the measures that at least one system has, the ranking measure first.
        record: the data that measured systems searched.
        low, high: the ends of the axis, whole tenths around all values and intervals.
        best: the best score.
        tied: how many other systems are not significantly different from the best.
    """

    title: str
    note: str
    kind: str
    measures: list[str]
    record: DatasetRecord | None
    lines: list[SystemLine]
    low: float
    high: float
    best: Cell
    tied: int

    @property
    def measured(self) -> bool:
        """Whether mdrbench scored the systems."""
        return self.kind == "measured"


class ListedTopic(NamedTuple):
    """A topic's query and mean score, all scores as marks on an axis, and the same in words."""

    qid: str
    query: str
    mean: float
    strip: Markup
    words: str


@dataclass(frozen=True)
class TopicLists:
    """Topics of a language by their scores.

    Attributes:
        systems: the systems whose scores are shown.
        zero, full: how many topics every system scores 0 or 1.
    """

    measure: str
    systems: list[Entry]
    count: int
    zero: int
    full: int
    hardest: list[ListedTopic]
    easiest: list[ListedTopic]
    spread: list[ListedTopic]


def pages(model: SiteModel) -> Iterator[Page]:
    """Yield an overview of each collection's languages and a page for each of them."""
    for collection in model.collections:
        boards = list(model.leaderboards[collection].values())
        with_page = {collection.comparison_page(*pair) for pair in choose_pairs(collection)}
        rankings = {lang: _rankings(lang, boards, with_page) for lang in collection.languages}
        for lang, ranked in rankings.items():
            context = _context(model, collection, lang, ranked)
            title = f"{language_name(lang)} on {collection.title}"
            yield Page(collection.language_page(lang), "language.html", title, context, "languages")
        everything = [ranking for ranked in rankings.values() for ranking in ranked]
        context = {
            "collection": collection,
            "measure": collection.measures[0],
            "rankings": rankings,
            "kinds": [kind for kind in ("measured", "published") if any(r.kind == kind for r in everything)],
            "any_data": any(ranking.record for ranking in everything),
        }
        address = f"{collection.folder}languages/index.html"
        yield Page(address, "languages.html", f"Languages of {collection.title}", context, "languages")


def _context(model: SiteModel, collection: Collection, lang: str, rankings: list[LanguageRanking]) -> dict[str, Any]:
    measure = collection.measures[0]
    first = next((ranking for ranking in rankings if ranking.measured), None)
    return {
        "collection": collection,
        "lang": lang,
        "name": language_name(lang),
        "measure": measure,
        "answer": answer(model.leaderboards[collection][measure], lang),
        "rankings": rankings,
        "record": first.record if first else None,
        "topics": _topic_lists(model, measure, lang, [line.entry for line in first.lines]) if first else None,
    }


def _rankings(lang: str, boards: list[Leaderboard], with_page: set[str]) -> list[LanguageRanking]:
    """Return the groups of the leaderboard that have the language, each with the best system first."""
    scores = [
        {row.entry: row.scores[lang] for group in board.groups for row in group.rows if lang in row.scores}
        for board in boards
    ]
    rankings = [_ranking(lang, group, boards[0].collection, scores, with_page) for group in boards[0].groups]
    return [ranking for ranking in rankings if ranking]


def _ranking(
    lang: str,
    group: ComparableGroup,
    collection: Collection,
    scores: list[dict[Entry, RankedScore]],
    with_page: set[str],
) -> LanguageRanking | None:
    """Return a group's ranking in a language; ``scores`` are those of each measure."""
    rows = [row for row in group.rows if lang in row.scores]
    rows.sort(key=lambda row: (row.scores[lang].wrong, row.scores[lang].rank or 0, -row.scores[lang].cell.value))
    if not rows or rows[0].scores[lang].wrong:
        return None
    best = rows[0].entry
    low, high = _axis([row.scores[lang].cell for row in rows])
    shown = [at for at, of_measure in enumerate(scores) if any(row.entry in of_measure for row in rows)]
    lines = []
    for row in rows:
        score = row.scores[lang]
        band, point = _place(score.cell, low, high)
        page = collection.comparison_page(best, row.entry)
        printed = [_printed(scores[at].get(row.entry)) for at in shown]
        against = page if page in with_page else None
        names = row.short_name, row.organisation, _tags(row, score)
        lines.append(SystemLine(row.entry, *names, row.source, score.rank, printed, band, point, against))
    return LanguageRanking(
        title=group.title,
        note=group.note,
        kind=group.kind,
        measures=[collection.measures[at] for at in shown],
        record=best.result.languages[lang].dataset,
        lines=lines,
        low=low,
        high=high,
        best=rows[0].scores[lang].cell,
        tied=sum(row.scores[lang].top for row in rows) - 1,
    )


def _tags(row: LeaderboardRow, score: RankedScore) -> list[str]:
    known = row.properties
    tags: list[str] = []
    if not row.entry.measured:
        if known.kind not in ("single vector", "not stated"):
            tags.append(known.kind)
        tags.append(
            {"trained": "in-domain", "declared not": "zero-shot as declared"}.get(known.training, "training unknown")
        )
    marks = {"probably wrong": score.wrong, "another figure differs": score.disputed}
    return [*tags, *(mark for mark, is_set in {**marks, "not built for it": score.foreign}.items() if is_set)]


def _printed(score: RankedScore | None) -> PrintedScore:
    if score is None:
        return NO_SCORE
    return PrintedScore(number(score.cell.value), score.letters, score.interval, score.top, score.wrong)


def _place(cell: Cell, low: float, high: float) -> tuple[str, str]:
    """Return CSS that places an interval and a value on the axis."""
    width = (high - low) or 1
    band = ""
    if cell.low is not None and cell.high is not None:
        band = f"left:{100 * (cell.low - low) / width:.1f}%;width:{100 * (cell.high - cell.low) / width:.1f}%"
    return band, f"left:{100 * (cell.value - low) / width:.1f}%"


def _axis(cells: list[Cell]) -> tuple[float, float]:
    low = min(cell.value if cell.low is None else cell.low for cell in cells)
    high = max(cell.value if cell.high is None else cell.high for cell in cells)
    return max(0.0, math.floor(low * 10) / 10), min(1.0, math.ceil(high * 10) / 10)


# -- topics ------------------------------------------------------------------------------------------------------------


def _same_topics(model: SiteModel, entries: list[Entry], lang: str, measure: str) -> dict[Entry, ScoreTable]:
    """Return the scores of the systems that have the same topics as the first, in the same order."""
    tables: dict[Entry, ScoreTable] = {}
    first: ScoreTable | None = None
    for entry in entries:
        table = model.scores[entry].get(lang)
        if table is None:
            continue
        first = first or table
        if table.topics == first.topics and measure in table.measures:
            tables[entry] = table.in_order(first.qids)
    return tables


def _topic_lists(model: SiteModel, measure: str, lang: str, entries: list[Entry]) -> TopicLists | None:
    """Sort topics by difficulty and by disagreement; None if there are no topic-level scores."""
    import numpy as np

    tables = _same_topics(model, entries, lang, measure)
    if not tables:
        return None
    values = np.stack([table.of(measure) for table in tables.values()], axis=1)  # (topics, systems)
    first = next(iter(tables.values()))
    mean, low, high = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
    names = [entry.name for entry in tables]

    def listed(order: list[int]) -> list[ListedTopic]:
        return [_listed(first, i, float(mean[i]), names, values[i].tolist()) for i in order[:TOPICS]]

    every = range(len(first.qids))
    by_mean = sorted(every, key=lambda i: (mean[i], first.qids[i]))
    by_spread = sorted(every, key=lambda i: (low[i] - high[i], mean[i], first.qids[i]))
    return TopicLists(
        measure=measure,
        systems=list(tables),
        count=len(every),
        zero=int((high == 0).sum()),
        full=int((low == 1).sum()),
        hardest=listed(by_mean),
        easiest=listed(sorted(by_mean[TOPICS:], key=lambda i: (-mean[i], first.qids[i]))),
        spread=listed([i for i in by_spread if high[i] > low[i]]) if len(tables) > 1 else [],
    )


def _listed(table: ScoreTable, topic: int, mean: float, names: list[str], values: list[float]) -> ListedTopic:
    if len(names) <= NAMED:
        words = ", ".join(f"{name} {number(value)}" for name, value in zip(names, values, strict=True))
    else:
        low, high = min(values), max(values)
        words = f"{len(names)} systems, median {number(median(values))}, lowest {number(low)} "
        words += f"({names[values.index(low)]}), highest {number(high)} ({names[values.index(high)]})"
    strip = "".join(f'<b style="left:{100 * value:.1f}%"></b>' for value in values)
    return ListedTopic(table.qids[topic], table.queries[table.qids[topic]], mean, Markup(strip), words)
