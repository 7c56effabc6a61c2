"""Two systems of a collection, compared as ``mdrbench compare`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.evaluation.inference import Difference, PairedTest
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import comparison, seeds
from mdrbench.results.comparison import LanguageComparison, Moved
from mdrbench.site.cache import Cache
from mdrbench.site.model.collection import Collection, Entry
from mdrbench.site.model.leaderboard import AVERAGE
from mdrbench.site.model.ranking import Leaderboard
from mdrbench.site.model.topic_scores import EntryScores, ScoreTable

FORMAT = 5
"""Raise it if the cached numbers change for the same topic-level scores."""

ALL_PAIRS_OF = 8
"""Up to this many measured systems, every pair has a page."""

MOST_PAIRS = 24
"""The most pairs of a collection that have a page; the browser compares the others."""

ALPHA = PROTOCOL.level
"""A corrected p value below it is called significant."""

SharedScores = dict[str, tuple[ScoreTable, ScoreTable]]
"""Language -> the scores of both systems, with the topics in the same order."""


@dataclass(frozen=True, eq=False)
class SystemComparison:
    """Two measured systems on the languages that both have.

    Attributes:
        languages: paired tests on ``measure``, Holm-corrected over the languages.
        average: the mean over the languages of A - B, with its interval.
        macro: for each measure of both systems: the averages of A and B, and the average difference.
        only_in_one: languages that only one of the two systems has.
        scores: the topic-level scores of both.
        p_values: language, or :data:`AVERAGE` -> p value of the paired t test after Holm's correction over the family.
        family: the tests that the correction is over, in words. Two systems of a leaderboard have its verdict.
    """

    collection: Collection
    a: Entry
    b: Entry
    measure: str
    languages: list[LanguageComparison]
    average: Difference
    average_label: str
    macro: dict[str, tuple[float, float, Difference]]
    only_in_one: list[str]
    scores: SharedScores
    p_values: dict[str, float]
    family: str

    @property
    def trained(self) -> bool:
        """Whether one of the systems is trained: a test of one training each counts topics alone."""
        return bool(seeds.of(self.a.result) or seeds.of(self.b.result))

    def differs(self, column: str) -> bool:
        """Whether the two differ significantly in a language, or in the average."""
        return self.p_values[column] < ALPHA

    @property
    def address(self) -> str:
        """The address of its page."""
        return self.collection.comparison_page(self.a, self.b)

    def significant(self, sign: int) -> list[str]:
        """Return the languages in which A (``sign`` 1) or B (-1) is significantly better."""
        rows = (row for row in self.languages if self.differs(row.lang))
        return [row.lang for row in rows if row.test.difference * sign > 0]

    def moved(self, most: int, per_language: int = 0) -> list[Moved]:
        """Return topics whose scores differ, the largest difference first.

        Args:
            most: topics of all languages together.
            per_language: topics of each language that are listed in any case.
        """
        differing = []
        for lang, (one, other) in self.scores.items():
            x, y = one.of(self.measure).tolist(), other.of(self.measure).tolist()
            differing += [(-abs(a - b), lang, qid, a, b) for qid, a, b in zip(one.qids, x, y, strict=True) if a != b]
        listed = dict.fromkeys(self.scores, 0)
        moved = []
        for rank, (_, lang, qid, a, b) in enumerate(sorted(differing)):
            if rank < most or listed[lang] < per_language:
                listed[lang] += 1
                moved.append(Moved(lang, qid, self.scores[lang][0].queries[qid], a, b))
        return moved


def choose_pairs(collection: Collection) -> list[tuple[Entry, Entry]]:
    """Choose the pairs that get a page.

    These are all pairs of a few systems. If there are many systems, each is paired with its parent, with the best and
    with BM25; of more than :data:`MOST_PAIRS` such pairs, those of the better systems are chosen.
    """
    by_slug = {entry.slug: entry for entry in sorted(collection.measured, key=lambda entry: entry.slug)}
    if len(by_slug) <= ALL_PAIRS_OF:
        return list(combinations(by_slug.values(), 2))
    ranked = sorted(by_slug.values(), key=lambda entry: _strength(entry, collection.measures[0]), reverse=True)
    originals: dict[str, list[Entry]] = {}
    for entry in ranked:
        if not entry.result.system.overrides:
            originals.setdefault(entry.result.system.name, []).append(entry)
    best, bm25 = ranked[:1], originals.get("bm25", [])
    partners = [
        *((entry, other) for entry in ranked for name in _parents(entry) for other in originals.get(name, [])),
        *((entry, other) for entry in ranked for other in best),
        *((entry, other) for entry in ranked for other in bm25),
    ]
    pairs = dict.fromkeys(tuple(sorted((a.slug, b.slug))) for a, b in partners if a is not b)
    return [(by_slug[a], by_slug[b]) for a, b in sorted(list(pairs)[:MOST_PAIRS])]


def _parents(entry: Entry) -> list[str]:
    """Return the names of the recipes that a system is a variant or an extension of."""
    names = [entry.result.system.variant_of, (entry.result.system.recipe or {}).get("extends")]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _strength(entry: Entry, measure: str) -> tuple[int, float, str]:
    average = entry.average(measure)
    return (len(average[0].languages), average[1].value, entry.slug) if average else (0, 0.0, entry.slug)


def compare_systems(
    collection: Collection, scores: Mapping[Entry, EntryScores], cache: Cache, board: Leaderboard
) -> list[SystemComparison]:
    """Compare the chosen pairs; pairs that are not comparable or lack topic-level scores are left out.

    Args:
        board: the leaderboard of the first measure, which has the verdict on the systems that it ranks.
    """
    measure = collection.measures[0]
    pairs = [(a, b, _shared_scores(a, b, measure, scores)) for a, b in choose_pairs(collection)]
    pairs = [pair for pair in pairs if pair[2]]
    source = [FORMAT, asdict(PROTOCOL), measure, [_source(*pair) for pair in pairs]]
    numbers = cache.get("comparisons", source, lambda: _numbers(pairs, measure))
    return [_comparison(collection, *pair, found, board) for pair, found in zip(pairs, numbers, strict=True)]


def _source(a: Entry, b: Entry, shared: SharedScores) -> list[Any]:
    """Return what the numbers of a pair depend on."""
    files = [entry.result.languages[lang].files["topics"].sha256 for entry in (a, b) for lang in shared]
    return [a.result.evaluated.measures, list(shared), files]


def _shared_scores(a: Entry, b: Entry, measure: str, scores: Mapping[Entry, EntryScores]) -> SharedScores:
    """Return both systems' scores of each language of both, or nothing if the two cannot be compared."""
    try:
        langs = comparison.comparable(a.result, b.result, a.path, b.path, measure)
    except DataError:
        return {}
    shared = {}
    for lang in langs:
        one, other = scores[a].get(lang), scores[b].get(lang)
        if one is None or other is None or one.topics != other.topics or len(one.qids) < 2:
            return {}
        shared[lang] = one, other.in_order(one.qids)
    return shared


def _comparison(
    collection: Collection, a: Entry, b: Entry, shared: SharedScores, numbers: dict[str, Any], board: Leaderboard
) -> SystemComparison:
    measure = collection.measures[0]
    languages = [LanguageComparison(lang, PairedTest(*t), p, star) for lang, t, p, star in numbers["languages"]]
    macro = {name: (x, y, Difference(*interval)) for name, x, y, interval in numbers["macro"]}
    p_values, family = _verdict(board, a, b, languages, macro[measure][2])
    return SystemComparison(
        collection=collection,
        a=a,
        b=b,
        measure=measure,
        languages=languages,
        average=macro[measure][2],
        average_label=results.average_label(list(shared)),
        macro=macro,
        only_in_one=sorted(set(a.result.languages) ^ set(b.result.languages)),
        scores=shared,
        p_values=p_values,
        family=family,
    )


def _verdict(
    board: Leaderboard, a: Entry, b: Entry, rows: Sequence[LanguageComparison], alone: Difference
) -> tuple[dict[str, float], str]:
    """Return corrected p values by column and the family: that of the leaderboard, if it ranks both systems."""
    found = {column: board.verdict(column, a, b) for column in (AVERAGE, *(row.lang for row in rows))}
    known = {column: verdict.p for column, verdict in found.items() if verdict}
    average = found[AVERAGE]
    if average and len(known) == len(found):
        pairs = f"the {average.pairs} pairs" if average.pairs > 1 else "the one pair"
        return known, f"{pairs} of the {average.systems} systems of the leaderboard, in each column"
    p_values = {AVERAGE: alone.p, **{row.lang: row.p_corrected for row in rows}}
    return p_values, f"the {len(rows)} languages of this pair; the average is one test"


def _numbers(pairs: Sequence[tuple[Entry, Entry, SharedScores]], measure: str) -> list[dict[str, Any]]:
    """Compute for each pair the numbers of :func:`comparison.compare` and the averages of every measure, as JSON."""
    numbers: list[dict[str, Any]] = []
    columns: dict[tuple[int, ...], list[tuple[list[Any], list[comparison.Pair]]]] = {}
    for a, b, shared in pairs:
        tables = list(shared.values())
        scored = {lang: (x.of(measure), y.of(measure)) for lang, (x, y) in shared.items()}
        tests = comparison.paired_tests(scored, counted=1 if seeds.of(a.result) or seeds.of(b.result) else None)
        languages = [[row.lang, list(row.test), row.p_corrected, row.significant] for row in tests]
        macro = []
        for name in a.result.evaluated.measures:
            if all(name in x.measures and name in y.measures for x, y in tables):
                column = [(x.of(name), y.of(name)) for x, y in tables]
                means = [sum(float(side[i].mean()) for side in column) / len(column) for i in (0, 1)]
                macro.append([name, *means])
                columns.setdefault(tuple(len(x.qids) for x, _ in tables), []).append((macro[-1], column))
        numbers.append({"languages": languages, "macro": macro})
    for group in columns.values():  # intervals over as many topics share their resamples
        intervals = comparison.differences([column for _, column in group])
        for (row, _), interval in zip(group, intervals, strict=True):
            row.append(list(interval))
    return numbers
