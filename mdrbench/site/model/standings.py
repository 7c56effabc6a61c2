"""Who stands where: rows of one measure in groups of what may be ranked together, with ranks, letters and doubts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from weakref import WeakKeyDictionary

from mdrbench.core.languages import ALL
from mdrbench.results import Cell, average_label, published
from mdrbench.site.engine import parallel
from mdrbench.site.engine.parallel import Job
from mdrbench.site.model import disputes, lettering, traits
from mdrbench.site.model.board import Collection, Entry
from mdrbench.site.model.disputes import Dispute
from mdrbench.site.model.numbers import number
from mdrbench.site.model.scores import ScoreReader
from mdrbench.site.model.traits import Traits

AVERAGE = "average"
"""The column of averages; no language is called so."""


@dataclass
class Mark:
    """A cell and what is said of it in its group. ``top``: the best, or not to be told from it."""

    cell: Cell
    rank: int | None = None
    letters: str = ""
    top: bool = False
    heat: int = 0
    disputed: bool = False

    @property
    def shown(self) -> str:
        """The score in three decimals."""
        return number(self.cell.value)

    @property
    def full(self) -> str:
        """The score for scripts."""
        return number(self.cell.value, 6)

    @property
    def interval(self) -> str:
        """Both ends; nothing where there is none."""
        low, high = self.cell.low, self.cell.high
        return "" if low is None or high is None else f"{number(low)}–{number(high)}"


@dataclass(eq=False)
class Row:
    """A system; ``also`` are other tables of the same publication that print the same figures."""

    entry: Entry
    measure: str
    marks: dict[str, Mark]
    average_languages: tuple[str, ...] = ()
    average_said: str = ""
    complete: bool = False
    also: list[Entry] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.entry.name

    @cached_property
    def traits(self) -> Traits:
        return traits.of(self.entry)

    @cached_property
    def origin(self) -> str:
        """``measured``, ``submitted`` or the citation key of the publication."""
        if self.entry.measured:
            return "submitted" if self.entry.submitted else "measured"
        return self.entry.path.parent.name

    @cached_property
    def source(self) -> str:
        """The publication with its tables; nothing for a measured row."""
        if self.entry.measured:
            return ""
        cells = [c for entry in [self.entry, *self.also] if (c := _any_cell(entry, self.measure))]
        tables = list(dict.fromkeys(cell.table for cell in cells if cell.table))
        known = published.SOURCES.get(cells[0].source or "") if cells else None
        return ", ".join([known.short, *tables]) if known and known.short else self.entry.result.system.summary


@dataclass(eq=False)
class Group:
    """Rows that may be ranked together; ``languages`` are those of the average that ranks them."""

    title: str
    note: str
    measured: bool
    rows: list[Row]
    languages: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What its averages cover."""
        return average_label(list(self.languages)) if self.languages else "no average"


@dataclass(frozen=True, eq=False)
class Standings:
    """One measure of a collection. A cell ``scale`` or more below the best of its column has no colour."""

    collection: Collection
    measure: str
    groups: list[Group]
    disputes: list[Dispute]
    scale: float

    @cached_property
    def languages(self) -> list[str]:
        covered = {lang for group in self.groups for row in group.rows for lang in row.marks} - {AVERAGE}
        return [c for c in ALL if c in covered] + sorted(covered - set(ALL))

    @property
    def tested(self) -> bool:
        """Whether any cell has letters."""
        return any(mark.letters for group in self.groups for row in group.rows for mark in row.marks.values())

    @property
    def intervals(self) -> bool:
        """Whether any cell has an interval."""
        return any(m.cell.low is not None for g in self.groups for row in g.rows for m in row.marks.values())


_KNOWN: WeakKeyDictionary[Collection, dict[str, Standings]] = WeakKeyDictionary()
_LETTERED: WeakKeyDictionary[Collection, set[str]] = WeakKeyDictionary()


def of(collection: Collection, measure: str, reader: ScoreReader, cache: Path) -> Standings:
    """The standings of a measure; ``reader`` and ``cache`` are for letters, where :func:`letters` was not asked before.

    Raises:
        DataError: a topic file is not the one that its result was recorded with.
    """
    if measure not in _LETTERED.get(collection, ()):
        parallel.run(letters([collection], reader, cache, [measure]))
    return _KNOWN[collection][measure]


def prepare(collections: Sequence[Collection], only: Sequence[str] = ()) -> None:
    """Group and rank the systems by all measures, or by these, for :func:`letters`."""
    for collection in collections:
        known = _KNOWN.setdefault(collection, {})
        for measure in only or collection.measures:
            groups = [*_measured(collection, measure), *_published(collection, measure)]
            for group in groups:
                _order(group)
                _rank(group)
            printed = [row for group in groups if not group.measured for row in group.rows]
            known[measure] = Standings(collection, measure, groups, disputes.found(printed, AVERAGE), _scale(groups))


def letters(collections: Sequence[Collection], reader: ScoreReader, cache: Path, only: Sequence[str] = ()) -> list[Job]:
    """What gives the standings of all measures, or of these, their letters.

    Raises:
        DataError: a topic file is not the one that its result was recorded with.
    """
    jobs = []
    for collection in collections:
        for measure in only or collection.measures:
            if measure not in _KNOWN.get(collection, {}):
                prepare([collection], [measure])
            _LETTERED.setdefault(collection, set()).add(measure)
            for group in _KNOWN[collection][measure].groups:
                if group.measured and len(group.rows) > 1:
                    columns = {lang: rows for lang, rows in _columns(group) if len(rows) > 1}
                    entries = _entries(columns, group.languages)
                    jobs.append(lettering.job(measure, entries, reader, cache, partial(_letter, columns)))
    return jobs


def _row(entry: Entry, measure: str) -> Row:
    marks = {lang: Mark(cell) for lang in entry.result.languages if (cell := entry.cell(lang, measure))}
    found = entry.average(measure)
    if not found:
        return Row(entry, measure, marks)
    average, cell = found
    return Row(entry, measure, {**marks, AVERAGE: Mark(cell)}, tuple(sorted(average.languages)), average.label)


# -- groups ------------------------------------------------------------------------------------------------------------


def _measured(collection: Collection, measure: str) -> list[Group]:
    """Measured rows by depth, tie rule and denominator, then by the corpora and judgments they were measured on."""
    rows = [row for entry in collection.measured if (row := _row(entry, measure)).marks]
    pools: list[tuple[tuple[object, ...], dict[str, object], list[Row]]] = []
    for row in sorted(rows, key=lambda r: (-len(r.marks), r.name, r.entry.slug)):
        evaluated, data = row.entry.result.evaluated, _data(row.entry)
        rules = (evaluated.depth, evaluated.tie_rule, evaluated.denominator)
        for known, corpora, members in pools:
            if known == rules and all(corpora.get(lang, mark) == mark for lang, mark in data.items()):
                corpora.update(data)
                members.append(row)
                break
        else:
            pools.append((rules, data, [row]))
    pools.sort(key=lambda pool: -len(pool[2]))
    return [
        Group("Measured by mdrbench" if not n else f"Measured, pool {n + 1}", _apart(pools[0], pool), True, pool[2])
        for n, pool in enumerate(pools)
    ]


def _data(entry: Entry) -> dict[str, object]:
    """For each language what was searched and judged."""
    found = ((lang, language.dataset) for lang, language in entry.result.languages.items())
    return {lang: (d.fingerprint, d.judged_topics, d.judgments, d.positives) for lang, d in found if d}


def _apart(first: tuple, pool: tuple) -> str:
    """Why a pool is not ranked with the first."""
    if pool is first:
        return ""
    if pool[0] != first[0]:
        depth = f"depth {pool[0][0]}" if pool[0][0] != first[0][0] else "another tie rule or denominator"
        return f"{depth}: not ranked with the systems above"
    differing = [lang for lang, mark in pool[1].items() if first[1].get(lang, mark) != mark]
    return f"other passages or judgments in {', '.join(sorted(differing))}: not ranked with the systems above"


def _published(collection: Collection, measure: str) -> list[Group]:
    """Published rows by depth; tables of one publication that print the same figures share a row."""
    pools: dict[int, list[Row]] = {}
    for entry in collection.published:
        row = _row(entry, measure)
        if row.marks:
            rows = pools.setdefault(entry.result.evaluated.depth, [])
            same = next((other for other in rows if _reprinted(other, row)), None)
            if same:
                same.also.append(entry)
            else:
                rows.append(row)
    largest = sorted(pools, key=lambda depth: (-len(pools[depth]), depth))
    title, note = (
        "Published",
        "figures of the literature, as printed; not measured here and not ranked with measured ones",
    )
    return [Group(title, note if n == 0 else f"{note}; depth {d}", False, pools[d]) for n, d in enumerate(largest)]


def _reprinted(a: Row, b: Row) -> bool:
    if (a.name, a.origin, a.marks.keys()) != (b.name, b.origin, b.marks.keys()):
        return False
    return all(a.marks[lang].cell.value == mark.cell.value for lang, mark in b.marks.items())


# -- order, ranks, colours ---------------------------------------------------------------------------------------------


def _order(group: Group) -> None:
    """Systems with the average of most languages by it; then the others, more languages first."""
    averages = [row.average_languages for row in group.rows if row.average_languages]
    group.languages = max(averages, key=lambda found: (len(found), sorted(ALL) == list(found)), default=())
    for row in group.rows:
        row.complete = bool(group.languages) and row.average_languages == group.languages
    group.rows.sort(key=_place)


def _place(row: Row) -> tuple[bool, int, float, str, str]:
    average = row.marks[AVERAGE].cell.value if AVERAGE in row.marks else 0.0
    return not row.complete, 0 if row.complete else -len(row.marks), -average, row.name, row.entry.slug


def _columns(group: Group) -> Iterable[tuple[str, list[Row]]]:
    """Each column with the rows that are ranked in it."""
    for lang in dict.fromkeys(lang for row in group.rows for lang in row.marks):
        yield lang, [row for row in group.rows if lang in row.marks and (lang != AVERAGE or row.complete)]


def _rank(group: Group) -> None:
    """1 and the number of systems that are better; a system that publications print twice counts once."""
    for lang, rows in _columns(group):
        ordered = sorted(rows, key=lambda row: -row.marks[lang].cell.value)
        better: set[str] = set()
        for _, equal in groupby(ordered, key=lambda row: row.marks[lang].cell.value):
            same = list(equal)
            for row in same:
                mark = row.marks[lang]
                mark.rank = 1 + len(better) - (_identity(row) in better)
                mark.top = mark.rank == 1
            better |= {_identity(row) for row in same}


def _identity(row: Row) -> str:
    return row.entry.slug if row.entry.measured else row.name


def _scale(groups: list[Group]) -> float:
    """Colours cells by their distance to the best of their column, and says at which distance colour ends."""
    behind = []
    for group in groups:
        for lang, rows in _columns(group):
            best = max((row.marks[lang].cell.value for row in rows), default=0.0)
            behind += [(best - row.marks[lang].cell.value, row.marks[lang]) for row in rows]
    distances = sorted(distance for distance, _ in behind)
    scale = max(0.05, round(distances[int(0.9 * (len(distances) - 1))], 2)) if distances else 0.05
    for distance, mark in behind:
        mark.heat = round(9 * (1 - min(1.0, distance / scale)))
    return scale


def _entries(columns: dict[str, list[Row]], average: tuple[str, ...]) -> dict[str, lettering.Column]:
    """The systems of each column, and the languages of its values."""
    return {
        lang: ([row.entry for row in rows], average if lang == AVERAGE else (lang,)) for lang, rows in columns.items()
    }


def _letter(columns: dict[str, list[Row]], letters: lettering.Lettered) -> None:
    """Letters from the topic-level scores; those that share one with the best are ``top``."""
    for lang, found in letters.items():
        rows = {row.entry: row for row in columns[lang]}
        best = set(found[max(found, key=lambda entry: rows[entry].marks[lang].cell.value)][0])
        for entry, (groups, spelled) in found.items():
            mark = rows[entry].marks[lang]
            mark.letters = spelled
            mark.top = not best.isdisjoint(groups)


def _any_cell(entry: Entry, measure: str) -> Cell | None:
    return next((cell for lang in entry.result.languages if (cell := entry.cell(lang, measure))), None)
