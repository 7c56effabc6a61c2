"""Which results are ranked together, and their ranks, colours and significance letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from mdrbench.core.languages import ALL
from mdrbench.site.model import letters
from mdrbench.site.model.collection import Collection, Entry, in_table_order
from mdrbench.site.model.disputes import Dispute, find_disputes
from mdrbench.site.model.leaderboard import AVERAGE, ComparableGroup, LeaderboardRow, RankedScore
from mdrbench.site.model.significance import Differences
from mdrbench.site.model.topic_scores import EntryScores, ScoreTable


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """All systems of a collection by one measure.

    Attributes:
        scale: a cell that is this far below the best of its column, or further, has no colour.
        tested: whether any cell has significance letters.
        intervals: whether any cell has an interval.
    """

    collection: Collection
    measure: str
    languages: list[str]
    groups: list[ComparableGroup]
    disputes: list[Dispute]
    scale: float
    tested: bool
    intervals: bool


def leaderboard(collection: Collection, measure: str, scores: Mapping[Entry, EntryScores]) -> Leaderboard:
    """Rank the systems of a collection by a measure; ``scores`` are the topic-level scores that letters come from."""
    groups = [*_measured_groups(collection, measure), *_published_groups(collection, measure)]
    for group in groups:
        _order(group)
        _rank(group)
        if group.measured:
            _set_letters(group, measure, scores)
    ranked = [(lang, score) for group in groups for row in group.rows for lang, score in row.scores.items()]
    return Leaderboard(
        collection=collection,
        measure=measure,
        languages=in_table_order({lang for lang, _ in ranked} - {AVERAGE}),
        groups=groups,
        disputes=find_disputes([row for group in groups if not group.measured for row in group.rows]),
        scale=_set_colours(groups),
        tested=any(score.letters for _, score in ranked),
        intervals=any(score.cell.low is not None for _, score in ranked),
    )


def _row(entry: Entry, measure: str) -> LeaderboardRow:
    scores = {lang: RankedScore(cell) for lang in entry.result.languages if (cell := entry.cell(lang, measure))}
    averaged = entry.average(measure)
    if averaged is None:
        return LeaderboardRow(entry, measure, scores)
    average, cell = averaged
    scores[AVERAGE] = RankedScore(cell)
    return LeaderboardRow(entry, measure, scores, tuple(sorted(average.languages)), average.label)


# -- groups ------------------------------------------------------------------------------------------------------------


@dataclass
class _Pool:
    """Measured rows with the same rules and the same data in each language."""

    rules: tuple[int, str, str]
    data: dict[str, object]
    rows: list[LeaderboardRow]

    def holds(self, rules: tuple[int, str, str], data: dict[str, object]) -> bool:
        return self.rules == rules and all(self.data.get(lang, facts) == facts for lang, facts in data.items())


def _measured_groups(collection: Collection, measure: str) -> list[ComparableGroup]:
    """Group measured rows by depth, tie rule and denominator, then by corpora and judgments."""
    rows = [row for entry in collection.measured if (row := _row(entry, measure)).scores]
    pools: list[_Pool] = []
    for row in sorted(rows, key=lambda r: (-len(r.scores), r.name, r.entry.slug)):
        evaluated, data = row.entry.result.evaluated, _data(row.entry)
        rules = (evaluated.depth, evaluated.tie_rule, evaluated.denominator)
        pool = next((pool for pool in pools if pool.holds(rules, data)), None)
        if pool is None:
            pools.append(_Pool(rules, data, [row]))
        else:
            pool.data.update(data)
            pool.rows.append(row)
    pools.sort(key=lambda pool: -len(pool.rows))
    return [
        ComparableGroup(
            title=f"Measured, pool {number}" if number > 1 else "Measured by mdrbench",
            note=_why_apart(pools[0], pool) if number > 1 else "",
            measured=True,
            rows=pool.rows,
        )
        for number, pool in enumerate(pools, 1)
    ]


def _data(entry: Entry) -> dict[str, object]:
    """Return for each language what identifies its passages and judgments."""
    records = ((lang, language.dataset) for lang, language in entry.result.languages.items())
    return {lang: (d.fingerprint, d.judged_topics, d.judgments, d.positives) for lang, d in records if d}


def _why_apart(first: _Pool, pool: _Pool) -> str:
    """Say why a pool is not ranked with the first."""
    if pool.rules != first.rules:
        other_depth = pool.rules[0] != first.rules[0]
        reason = f"depth {pool.rules[0]}" if other_depth else "another tie rule or denominator"
    else:
        differing = sorted(lang for lang, facts in pool.data.items() if first.data.get(lang, facts) != facts)
        reason = f"other passages or judgments in {', '.join(differing)}"
    return f"{reason}: not ranked with the systems above"


def _published_groups(collection: Collection, measure: str) -> list[ComparableGroup]:
    """Group published rows by depth; tables of one publication that print the same figures share a row."""
    by_depth: dict[int, list[LeaderboardRow]] = {}
    for entry in collection.published:
        row = _row(entry, measure)
        if not row.scores:
            continue
        rows = by_depth.setdefault(entry.result.evaluated.depth, [])
        same = next((other for other in rows if _reprinted(other, row)), None)
        if same is None:
            rows.append(row)
        else:
            same.reprints.append(entry)
    note = "figures from publications, as printed; they are not ranked with measured systems"
    return [
        ComparableGroup("Published", f"{note}; depth {depth}" if number else note, False, by_depth[depth])
        for number, depth in enumerate(sorted(by_depth, key=lambda depth: (-len(by_depth[depth]), depth)))
    ]


def _reprinted(a: LeaderboardRow, b: LeaderboardRow) -> bool:
    if (a.name, a.origin, a.scores.keys()) != (b.name, b.origin, b.scores.keys()):
        return False
    return all(a.scores[lang].cell.value == score.cell.value for lang, score in b.scores.items())


# -- order, ranks, letters, colours ------------------------------------------------------------------------------------


def _order(group: ComparableGroup) -> None:
    """Sort systems with the average of most languages by it; the others follow, those with more languages first."""
    averages = [row.average_languages for row in group.rows if row.average_languages]
    group.languages = max(averages, key=lambda langs: (len(langs), sorted(ALL) == list(langs)), default=())
    for row in group.rows:
        row.complete = bool(group.languages) and row.average_languages == group.languages
    group.rows.sort(key=_place)


def _place(row: LeaderboardRow) -> tuple[bool, int, float, str, str]:
    average = row.scores[AVERAGE].cell.value if AVERAGE in row.scores else 0.0
    return not row.complete, 0 if row.complete else -len(row.scores), -average, row.name, row.entry.slug


def _rank(group: ComparableGroup) -> None:
    """Set each rank to 1 plus the number of better systems. A system that is printed twice counts once."""
    for lang, rows in group.columns():
        ordered = sorted(rows, key=lambda row: -row.scores[lang].cell.value)
        better: set[str] = set()
        for _, equal in groupby(ordered, key=lambda row: row.scores[lang].cell.value):
            same = list(equal)
            for row in same:
                score = row.scores[lang]
                score.rank = 1 + len(better) - (_identity(row) in better)
                score.top = score.rank == 1
            better |= {_identity(row) for row in same}


def _identity(row: LeaderboardRow) -> str:
    return row.entry.slug if row.entry.measured else row.name


def _set_letters(group: ComparableGroup, measure: str, scores: Mapping[Entry, EntryScores]) -> None:
    """Set significance letters; a score that shares a letter with the best of its column is ``top``."""
    known: dict[tuple[ScoreTable, ...], Differences] = {}
    for lang, rows in group.columns():
        langs = group.languages if lang == AVERAGE else (lang,)
        tested = [row for row in rows if all(code in scores[row.entry] for code in langs)]
        tables = [[scores[row.entry][code] for code in langs] for row in tested]
        numbers = letters.of_column(tables, measure, known)
        lettered = [(row.scores[lang], own) for row, own in zip(tested, numbers, strict=True) if own]
        if not lettered:
            continue
        best = set(max(lettered, key=lambda pair: pair[0].cell.value)[1])
        for score, own in lettered:
            score.letters = letters.spelled(own)
            score.top = not best.isdisjoint(own)


def _set_colours(groups: list[ComparableGroup]) -> float:
    """Set colours by the distance to the best of a column; return the distance at which colour ends."""
    distances = []
    for group in groups:
        for lang, rows in group.columns():
            best = max((row.scores[lang].cell.value for row in rows), default=0.0)
            distances += [(best - row.scores[lang].cell.value, row.scores[lang]) for row in rows]
    ordered = sorted(distance for distance, _ in distances)
    scale = max(0.05, round(ordered[int(0.9 * (len(ordered) - 1))], 2)) if ordered else 0.05
    for distance, score in distances:
        score.heat = round(9 * (1 - min(1.0, distance / scale)))
    return scale
