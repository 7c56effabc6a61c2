"""Which results are ranked together, and their ranks, colours and significance letters."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from mdrbench.core.languages import ALL
from mdrbench.evaluation import inference
from mdrbench.results import seeds
from mdrbench.results.comparable import PublishedGroup, published_group
from mdrbench.results.seeds import Seeds
from mdrbench.site.model import letters
from mdrbench.site.model.audit_marks import AuditMarks
from mdrbench.site.model.collection import Collection, Entry, in_table_order
from mdrbench.site.model.leaderboard import AVERAGE, DECIMALS, ComparableGroup, LeaderboardRow, RankedScore
from mdrbench.site.model.letters import ColumnTest
from mdrbench.site.model.significance import Differences
from mdrbench.site.model.topic_scores import EntryScores, ScoreTable

HEAT = (0.0005, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
"""Distances to the best of a column at which the colour of a cell becomes one step paler."""

SOURCES_IN_ORDER = ("mteb", "pyserini-2cr", "chen2024m3", "cohere-notebooks", "flagembedding-rerankers")
"""If several sources have figures of a system in as many languages, the first of these speaks for it."""


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """All systems of a collection by one measure.

    Attributes:
        tested: whether any cell has significance letters.
        few_seeds: whether any letters hold for topics alone.
        intervals: whether any cell has an interval.
        tests: the tests of each column of each group, with the slugs of their systems.
    """

    collection: Collection
    measure: str
    languages: list[str]
    groups: list[ComparableGroup]
    tested: bool
    few_seeds: bool
    intervals: bool
    tests: list[tuple[str, list[str], ColumnTest]]

    def verdict(self, column: str, a: Entry, b: Entry) -> Verdict | None:
        """Return the verdict about two systems in a column; None if they were not tested together."""
        for name, slugs, test in self.tests:
            if name == column and a.slug in slugs and b.slug in slugs and test.rows and test.p_values is not None:
                first, second = (test.rows.get(slugs.index(entry.slug)) for entry in (a, b))
                if first is not None and second is not None and test.seeds is not None:
                    return Verdict(
                        float(test.p_values[first, second]), int(test.seeds[first, second]) or None, test.pairs
                    )
        return None


class Verdict(NamedTuple):
    """What a leaderboard's column says of two systems.

    Attributes:
        p: p value after Holm's correction over all pairs of the column.
        seeds: the paired seeds that were counted, 1 for topics alone; None if neither system is trained.
        pairs: the pairs of the column.
    """

    p: float
    seeds: int | None
    pairs: int

    @property
    def mark(self) -> str:
        """The mark of the difference, as ``mdrbench compare`` prints it."""
        return inference.mark(self.p, self.seeds)

    @property
    def words(self) -> str:
        """The verdict in words."""
        return VERDICTS[self.mark]


VERDICTS = {inference.STAR: "real", inference.DAGGER: "real in topics alone", "": "not significant"}
"""Mark of a difference -> the verdict in words."""


def leaderboard(
    collection: Collection,
    measure: str,
    scores: Mapping[Entry, EntryScores],
    marks: AuditMarks | None = None,
    predicted: Sequence[Entry] = (),
) -> Leaderboard:
    """Rank the systems of a collection by a measure.

    Args:
        scores: the topic-level scores that letters come from.
        marks: what the audit says about published rows.
        predicted: figures of the same measure that were predicted; they get a group without ranks.
    """
    marks = marks or AuditMarks()
    repeats = repeats_of(collection)
    groups = [*_measured_groups(collection, measure), *_published_groups(collection, measure, marks)]
    tests: list[tuple[str, list[str], ColumnTest]] = []
    for group in groups:
        _order(group)
        _rank(group)
        if group.measured:
            _set_letters(group, measure, scores, tests, repeats)
    if predicted:
        groups.append(_predicted_group([_row(entry, measure) for entry in predicted]))
    for group in groups:
        _set_colours(group)
    ranked = [(lang, score) for group in groups for row in group.rows for lang, score in row.scores.items()]
    return Leaderboard(
        collection=collection,
        measure=measure,
        languages=in_table_order({lang for lang, _ in ranked} - {AVERAGE}),
        groups=groups,
        tested=any(score.letters for _, score in ranked),
        few_seeds=any(score.letters.endswith(inference.DAGGER) for _, score in ranked),
        intervals=any(score.cell.low is not None for _, score in ranked),
        tests=tests,
    )


def _row(entry: Entry, measure: str, marks: AuditMarks | None = None) -> LeaderboardRow:
    scores = {lang: RankedScore(cell) for lang in entry.result.languages if (cell := entry.cell(lang, measure))}
    for lang in entry.foreign & scores.keys():
        scores[lang].foreign = True
    if marks and entry.row_id:
        for lang, score in scores.items():
            score.wrong = (entry.row_id, lang) in marks.wrong
            score.disputed = (entry.row_id, measure, lang) in marks.disputed
    averaged = entry.average(measure)
    if averaged is None:
        return LeaderboardRow(entry, measure, scores)
    average, cell = averaged
    wrong = any(scores[lang].wrong for lang in average.languages if lang in scores)
    return LeaderboardRow(
        entry,
        measure,
        {**scores, AVERAGE: RankedScore(cell, wrong=wrong)},
        tuple(sorted(average.languages)),
        average.label,
    )


Repeats = dict[Seeds | None, Entry]
"""The runs of a system by their seeds; the system's own run comes first."""


def repeats_of(collection: Collection) -> dict[Entry, Repeats]:
    """Return for each measured system its runs with other seeds, as :func:`mdrbench.results.seeds.repeats` finds them.

    A run counts if it has every language of the system, with the same data and rules.
    """
    ordered = sorted(collection.measured, key=lambda entry: entry.path)
    alike: dict[str, list[Entry]] = {}
    for entry in ordered:
        if seeds.of(entry.result):
            alike.setdefault(seeds.identity(entry.result), []).append(entry)
    found: dict[Entry, Repeats] = {entry: {seeds.of(entry.result): entry} for entry in ordered}
    for group in alike.values():
        for own in group:
            for other in group:
                if _rules(other) == _rules(own) and _data(own).items() <= _data(other).items():
                    found[own].setdefault(seeds.of(other.result), other)
    return found


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
    """Group measured rows by depth, tie rule and denominator, then by corpora and judgments.

    Variants of recipes join the group of their data without being ranked. If there are variants alone, they are ranked.
    """
    entries = collection.systems or collection.measured
    rows = [row for entry in entries if (row := _row(entry, measure)).scores]
    pools: list[_Pool] = []
    for row in sorted(rows, key=lambda r: (-len(r.scores), r.name, r.entry.slug)):
        rules, data = _rules(row.entry), _data(row.entry)
        pool = next((pool for pool in pools if pool.holds(rules, data)), None)
        if pool is None:
            pools.append(_Pool(rules, data, [row]))
        else:
            pool.data.update(data)
            pool.rows.append(row)
    pools.sort(key=lambda pool: -len(pool.rows))
    ranked = set(entries)
    others = [_row(entry, measure) for entry in collection.measured if entry not in ranked]
    return [
        ComparableGroup(
            title=f"Measured, pool {number}" if number > 1 else "Measured by mdrbench",
            note=_why_apart(pools[0], pool) if number > 1 else "",
            kind="measured",
            rows=pool.rows,
            variants=[row for row in others if row.scores and pool.holds(_rules(row.entry), _data(row.entry))],
        )
        for number, pool in enumerate(pools, 1)
    ]


def _rules(entry: Entry) -> tuple[int, str, str]:
    evaluated = entry.result.evaluated
    return evaluated.depth, evaluated.tie_rule, evaluated.denominator


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


def _published_groups(collection: Collection, measure: str, marks: AuditMarks) -> list[ComparableGroup]:
    """Group published rows as :func:`mdrbench.results.comparable.published_group` says; a system has one row."""
    groups: dict[PublishedGroup, dict[str, list[LeaderboardRow]]] = {}
    for entry in collection.published:
        if measure in entry.result.evaluated.measures:
            row = _row(entry, measure, marks)
            if row.scores:
                systems = groups.setdefault(published_group(entry.result, measure), {})
                systems.setdefault(entry.identity, []).append(row)
    note = f"figures from publications, ranked at {DECIMALS} decimals; they are not ranked with measured systems"
    return [
        ComparableGroup(
            title="Published",
            note=f"{note}; depth {group.depth}" if number else note,
            kind="published",
            rows=[_with_sources(rows) for rows in groups[group].values()],
        )
        for number, group in enumerate(sorted(groups, key=lambda group: (-len(groups[group]), group.depth)))
    ]


def _with_sources(rows: list[LeaderboardRow]) -> LeaderboardRow:
    """Return the row that speaks for a system: the one with most languages, then of the most exact source."""
    first, *others = sorted(rows, key=_authority)
    first.others = others
    return first


def _authority(row: LeaderboardRow) -> tuple[int, bool, int, tuple[int, ...], str]:
    entry = row.entry
    version = tuple(-int(number) for number in re.findall(r"[0-9]+", entry.result.evaluated.software or ""))
    place = SOURCES_IN_ORDER.index(entry.source) if entry.source in SOURCES_IN_ORDER else len(SOURCES_IN_ORDER)
    wrong = any(score.wrong for score in row.scores.values())
    return -len(row.scores), wrong, place, version, entry.row_id


def _predicted_group(rows: list[LeaderboardRow]) -> ComparableGroup:
    """Return predicted rows, the highest average first; nobody measured them, so they have no ranks."""
    group = ComparableGroup(
        title="Predicted from the pool",
        note="nobody measured these figures: each was predicted from the model's figure on the pool of hard negatives, "
        "and carries its 95% interval; not ranked",
        kind="predicted",
        rows=rows,
    )
    _order(group)
    return group


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
    """Set each rank to 1 plus the number of better systems. A copy of a system does not count.

    Published figures are compared at the coarsest precision that publications print, three decimals.
    """

    identities = {row: _identity(row) for row in group.rows}
    for lang, rows in group.columns():
        exact = ((row.scores[lang].cell.value, row) for row in rows)
        values = [(value if group.measured else round(value, DECIMALS), row) for value, row in exact]
        better: set[object] = set()
        for _, equal in groupby(sorted(values, key=lambda pair: -pair[0]), key=lambda pair: pair[0]):
            same = [row for _, row in equal]
            for row in same:
                score = row.scores[lang]
                score.rank = 1 + len(better) - (identities[row] in better)
                score.top = score.rank == 1
            better |= {identities[row] for row in same}


def _identity(row: LeaderboardRow) -> object:
    """Return the same for a measured system and its copies: those with the same files of topic-level scores."""
    if not row.entry.measured:
        return row.name
    files = [language.files.get("topics") for language in row.entry.result.languages.values()]
    return tuple(file.sha256 for file in files if file) if files and all(files) else row.entry.slug


def _set_letters(
    group: ComparableGroup,
    measure: str,
    scores: Mapping[Entry, EntryScores],
    tests: list[tuple[str, list[str], ColumnTest]],
    repeats: Mapping[Entry, Repeats],
) -> None:
    """Set significance letters; a score that shares a letter with the best of its column is ``top``."""
    known: dict[tuple[ScoreTable, ...], Differences] = {}
    before = len(tests)
    for lang, rows in group.columns():
        langs = group.languages if lang == AVERAGE else (lang,)
        tested = [row for row in rows if all(code in scores[row.entry] for code in langs)]
        runs = [
            {
                drawn: tuple(scores[run][code] for code in langs)
                for drawn, run in repeats[row.entry].items()
                if all(code in scores[run] for code in langs)
            }
            for row in tested
        ]
        column = letters.of_column(runs, measure, known)
        cells = [row.scores[lang] for row in tested]
        lettered = [cell for cell in zip(cells, column.letters, column.few, strict=True) if cell[1]]
        if not lettered:
            continue
        best = set(max(lettered, key=lambda scored: scored[0].cell.value)[1])
        for score, own, few in lettered:
            score.letters = letters.spelled(own) + inference.DAGGER * few
            score.top = not best.isdisjoint(own)
        tests.append((lang, [row.entry.slug for row in tested], column))
    pairs = [column.pairs for lang, _, column in tests[before:]]
    group.family = family_of_pairs(pairs) if pairs else ""


def family_of_pairs(pairs: Sequence[int]) -> str:
    """Name the family of a leaderboard's columns, which have so many pairs."""
    few, many = min(pairs), max(pairs)
    return f"all pairs of the leaderboard’s systems in each column ({f'{few} to {many}' if few < many else many} pairs)"


def _set_colours(group: ComparableGroup) -> None:
    """Set colours by the distance to the best of a column."""
    for lang, rows in group.columns():
        best = max(row.scores[lang].cell.value for row in rows)
        for row in rows:
            score = row.scores[lang]
            score.heat = heat(best - score.cell.value)


def heat(distance: float) -> int:
    """Return a colour: 9 for the best score; the steps are the limits in :data:`HEAT`."""
    return 9 - bisect_left(HEAT, distance)
