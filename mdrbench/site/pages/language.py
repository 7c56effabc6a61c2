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
from mdrbench.site.model.leaderboard import ComparableGroup, LeaderboardRow, RankedScore
from mdrbench.site.model.number_format import number
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.model.topic_scores import ScoreTable
from mdrbench.site.pages.markup import text
from mdrbench.site.pages.page import Page

TOPICS = 8
"""Topics in each list."""

NAMED = 12
"""Up to this many systems are read out one by one with their score of a topic."""


@dataclass(frozen=True)
class LanguageRanking:
    """Systems that are ranked together, the best first.

    Attributes:
        kind: ``measured``, ``published`` or ``predicted``.
        measures: the measures that at least one system has, the ranking measure first.
        record: the data that measured systems searched.
        body: the table's rows as HTML.
        low, high: the ends of the axis, whole tenths around all values and intervals.
        best: the best score.
        tied: how many other systems are not significantly different from the best.
    """

    title: str
    note: str
    kind: str
    measures: list[str]
    record: DatasetRecord | None
    rows: list[LeaderboardRow]
    body: Markup
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
        tables = _Tables(model, collection)
        rankings = {lang: tables.rankings(lang) for lang in collection.languages}
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
        "topics": _topic_lists(model, measure, lang, [row.entry for row in first.rows]) if first else None,
    }


class _Tables:
    """Writes the tables of a collection's languages. What does not depend on the language is written once."""

    def __init__(self, model: SiteModel, collection: Collection):
        boards = list(model.leaderboards[collection].values())
        self._collection = collection
        self._root = "../" * collection.language_page("").count("/")
        self._groups = boards[0].groups
        self._rows = [{row.entry: row for group in board.groups for row in group.rows} for board in boards]
        self._heads = {row: self._head(row) for row in self._rows[0].values()}
        self._with_page = {pair.address for pair in model.comparisons[collection]}

    def rankings(self, lang: str) -> list[LanguageRanking]:
        """Return the groups of the leaderboard that have the language, each with the best system first."""
        return [ranking for group in self._groups if (ranking := self._ranking(lang, group))]

    def _ranking(self, lang: str, group: ComparableGroup) -> LanguageRanking | None:
        rows = [row for row in group.rows if lang in row.scores]
        rows.sort(key=lambda row: (row.scores[lang].wrong, row.scores[lang].rank or 0, -row.scores[lang].cell.value))
        if not rows or rows[0].scores[lang].wrong:
            return None
        scores = [
            [known[row.entry].scores.get(lang) if row.entry in known else None for row in rows] for known in self._rows
        ]
        shown = [at for at, of_measure in enumerate(scores) if any(of_measure)]
        low, high = _axis([row.scores[lang].cell for row in rows])
        lines = []
        for row, *printed in zip(rows, *(scores[at] for at in shown), strict=True):
            first, *others = (_printed(score) for score in printed)
            axis = _whisker(row.scores[lang].cell, low, high)
            against = self._against(rows[0], row) if group.measured and len(rows) > 1 else ""
            lines.append(
                f"<tr>\n{self._heads[row]}{_source(row, row.scores[lang])}</th>\n"
                f'<td class="quiet">{row.scores[lang].rank or ""}</td>\n{first}{axis}{"".join(others)}{against}</tr>\n'
            )
        return LanguageRanking(
            title=group.title,
            note=group.note,
            kind=group.kind,
            measures=[self._collection.measures[at] for at in shown],
            record=rows[0].entry.result.languages[lang].dataset,
            rows=rows,
            body=Markup("".join(lines)),
            low=low,
            high=high,
            best=rows[0].scores[lang].cell,
            tied=sum(row.scores[lang].top for row in rows) - 1,
        )

    def _head(self, row: LeaderboardRow) -> str:
        """Begin a row: the system's name and organisation."""
        address = self._root + self._collection.system_page(row.entry)
        head = f'<th scope="row" class="left"><a href="{address}"><bdi>{text(row.short_name)}</bdi></a>'
        head += f' <span class="org">{text(row.organisation)}</span>' if row.organisation else ""
        return head + (' <span class="tag">submitted</span>' if row.entry.submitted else "")

    def _against(self, best: LeaderboardRow, row: LeaderboardRow) -> str:
        """Link to the comparison with the best system: its page, or the page that compares any two."""
        if row is best:
            return '<td class="left"><span class="quiet">the best</span></td>\n'
        page = self._collection.comparison_page(best.entry, row.entry)
        if page not in self._with_page:
            page = f"{self._collection.folder}compare/index.html#a={best.entry.slug}&amp;b={row.entry.slug}"
        name = f'<span class="unseen">: {text(row.entry.name)}</span>'
        return f'<td class="left"><a href="{self._root}{page}">with the best{name}</a></td>\n'


def _source(row: LeaderboardRow, score: RankedScore) -> str:
    """Say what a reader must know: the source, the kind of a published system, training data, marks of the audit."""
    words = [row.source] if row.source else []
    known = row.properties
    if not row.entry.measured:
        if known.kind not in ("single vector", "not stated"):
            words.append(known.kind)
        words.append(
            {"trained": "in-domain", "declared not": "zero-shot as declared"}.get(known.training, "training unknown")
        )
    marks = {"probably wrong": score.wrong, "another figure differs": score.disputed}
    words += [mark for mark, is_set in {**marks, "not built for it": score.foreign}.items() if is_set]
    return f'<small class="source">{text(" · ".join(words))}</small>' if words else ""


def _printed(score: RankedScore | None) -> str:
    """Write a score with its letters and interval as a cell."""
    if score is None:
        return '<td><span class="none" aria-label="none">–</span></td>\n'
    value = f"<s>{number(score.cell.value)}</s>" if score.wrong else number(score.cell.value)
    shown = f'<span class="score">{value}</span>'
    if score.letters:
        shown += f' <small class="letters">{score.letters}</small>'
    if score.interval:
        shown += f' <small class="interval">{score.interval}</small>'
    best = ' class="best"' if score.top else ""
    return f"<td{best}>{shown}</td>\n"


def _whisker(cell: Cell, low: float, high: float) -> str:
    """Draw a value and its interval on the axis."""
    width = (high - low) or 1
    band = ""
    if cell.low is not None and cell.high is not None:
        ends = f"left:{100 * (cell.low - low) / width:.1f}%;width:{100 * (cell.high - cell.low) / width:.1f}%"
        band = f'<i style="{ends}"></i>'
    point = f'<b style="left:{100 * (cell.value - low) / width:.1f}%"></b>'
    return f'<td class="axis"><span class="whisker" aria-hidden="true">{band}{point}</span></td>\n'


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
