"""Two systems of a collection, compared as ``mdrbench compare`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.evaluation import inference
from mdrbench.evaluation.inference import Difference, PairedTest
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import comparison, seeds
from mdrbench.results.comparison import LanguageComparison, Moved
from mdrbench.site.cache import Cache
from mdrbench.site.model.collection import Collection, Entry
from mdrbench.site.model.leaderboard import AVERAGE
from mdrbench.site.model.ranking import Leaderboard, Repeats, family_of_pairs, repeats_of
from mdrbench.site.model.topic_scores import EntryScores, ScoreTable, mean_of, stacked

FORMAT = 7
"""Raise it if the cached numbers change for the same topic-level scores."""

ALL_PAIRS_OF = 8
"""Up to this many measured systems, every pair has a page."""

MOST_PAIRS = 24
"""The most pairs of a collection that have a page; the browser compares the others."""

ALPHA = PROTOCOL.level
"""A corrected p value below it is called significant."""

SharedScores = dict[str, tuple[ScoreTable, ScoreTable]]
"""Language -> the scores of both systems, with the topics in the same order: means over the paired seeds."""

SharedRuns = dict[str, list[tuple[ScoreTable, ScoreTable]]]
"""Language -> the scores of both systems with each paired seed, with the topics in the same order."""


@dataclass(frozen=True, eq=False)
class SystemComparison:
    """Two measured systems on the languages that both have.

    Attributes:
        languages: paired tests on ``measure`` over topics and paired seeds, corrected over the family.
        average: the mean over the languages of A - B, with its interval.
        macro: for each measure of both systems: the averages of A and B, and the average difference.
        only_in_one: languages that only one of the two systems has.
        scores: the topic-level scores of both.
        average_p: p value of the average, after Holm's correction over the pairs of the leaderboard if it ranks both.
        seeds: the paired seeds that are counted; None if neither system is trained.
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
    average_p: float
    seeds: int | None
    family: str

    def mark(self, column: str) -> str:
        """Return the mark of the difference in a language, or in the average."""
        if column == AVERAGE:
            return inference.mark(self.average_p, self.seeds)
        return next(row.mark for row in self.languages if row.lang == column)

    @property
    def address(self) -> str:
        """The address of its page."""
        return self.collection.comparison_page(self.a, self.b)

    def significant(self, sign: int) -> list[str]:
        """Return the languages in which A (``sign`` 1) or B (-1) is better, with a mark."""
        return [row.lang for row in self.languages if row.mark and row.test.difference * sign > 0]

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

    These are all pairs of a few systems. If there are many, each is paired with its parent, with the best and with
    BM25; of more than :data:`MOST_PAIRS` such pairs, those of the better systems are chosen. Pairs of ranked systems
    come before pairs with variants of recipes.
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
    few = [entry for entry in ranked if not entry.is_variant]
    partners = [
        *(combinations(few, 2) if len(few) <= ALL_PAIRS_OF else ()),
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
    repeats = repeats_of(collection)
    pairs = [(a, b, _shared_runs(a, b, measure, scores, repeats)) for a, b in choose_pairs(collection)]
    pairs = [pair for pair in pairs if pair[2]]
    source = [FORMAT, asdict(PROTOCOL), measure, [_source(*pair, repeats) for pair in pairs]]
    numbers = cache.get("comparisons", source, lambda: _numbers(pairs, measure))
    return [_comparison(collection, *pair, found, board) for pair, found in zip(pairs, numbers, strict=True)]


def _source(a: Entry, b: Entry, shared: SharedRuns, repeats: Mapping[Entry, Repeats]) -> list[Any]:
    """Return what the numbers of a pair depend on."""
    runs = [run for entry in (a, b) for run in repeats[entry].values()]
    files = [file.sha256 for run in runs for lang in shared if (file := run.result.languages[lang].files.get("topics"))]
    return [a.result.evaluated.measures, {lang: len(pairs) for lang, pairs in shared.items()}, files]


def _shared_runs(
    a: Entry, b: Entry, measure: str, scores: Mapping[Entry, EntryScores], repeats: Mapping[Entry, Repeats]
) -> SharedRuns:
    """Return both systems' runs in each language of both, or nothing if the two cannot be compared."""
    try:
        langs = comparison.comparable(a.result, b.result, a.path, b.path, measure)
    except DataError:
        return {}
    pairs = [(a, b)] if b in repeats[a].values() else seeds.shared(repeats[a], repeats[b]) or [(a, b)]
    shared: SharedRuns = {}
    for lang in langs:
        first = scores[pairs[0][0]].get(lang)
        tables = [(scores[one].get(lang), scores[other].get(lang)) for one, other in pairs]
        if first is None or len(first.qids) < 2:
            return {}
        shared[lang] = [
            (one.in_order(first.qids), other.in_order(first.qids))
            for one, other in tables
            if one and other and one.topics == other.topics == first.topics
        ]
        if len(shared[lang]) < len(pairs):
            return {}
    return shared


def _comparison(
    collection: Collection, a: Entry, b: Entry, runs: SharedRuns, numbers: dict[str, Any], board: Leaderboard
) -> SystemComparison:
    measure = collection.measures[0]
    counted = _counted(a, b, runs)
    alone = [LanguageComparison(lang, PairedTest(*t), p, mark) for lang, t, p, mark in numbers["languages"]]
    macro = {name: (x, y, Difference(*interval)) for name, x, y, interval in numbers["macro"]}
    judged = on_leaderboard(board, a, b, alone, macro[measure][2].p)
    languages, average_p, family = judged or (alone, macro[measure][2].p, comparison.family_of_languages(len(alone)))
    return SystemComparison(
        collection=collection,
        a=a,
        b=b,
        measure=measure,
        languages=languages,
        average=macro[measure][2],
        average_label=results.average_label(list(runs)),
        macro=macro,
        only_in_one=sorted(set(a.result.languages) ^ set(b.result.languages)),
        scores={lang: (mean_of([x for x, _ in pairs]), mean_of([y for _, y in pairs])) for lang, pairs in runs.items()},
        average_p=average_p,
        seeds=counted,
        family=family,
    )


def _counted(a: Entry, b: Entry, runs: SharedRuns) -> int | None:
    return len(next(iter(runs.values()))) if seeds.of(a.result) or seeds.of(b.result) else None


def on_leaderboard(
    board: Leaderboard, a: Entry, b: Entry, rows: Sequence[LanguageComparison], average_p: float
) -> tuple[list[LanguageComparison], float, str] | None:
    """Correct the tests of a pair over all pairs of the leaderboard; None if it does not rank both systems.

    Args:
        rows: the tests of the pair's languages.
        average_p: the p value of the pair's average, not corrected.

    Returns:
        The tests with the leaderboard's p values; the p value of the average; the family in words. If the leaderboard's
        average is over other languages than the pair's, the average stays one test.
    """
    verdicts = {row.lang: board.verdict(row.lang, a, b) for row in rows}
    found = {lang: verdict for lang, verdict in verdicts.items() if verdict}
    if len(found) < len(verdicts):
        return None
    judged = [LanguageComparison(row.lang, row.test, found[row.lang].p, found[row.lang].mark) for row in rows]
    pairs = [verdict.pairs for verdict in found.values()]
    averaged = next((group.languages for group in board.groups if any(row.entry is a for row in group.rows)), ())
    average = board.verdict(AVERAGE, a, b) if set(averaged) == found.keys() else None
    if average:
        return judged, average.p, family_of_pairs([*pairs, average.pairs])
    return judged, average_p, f"{family_of_pairs(pairs)}; the average is one test"


def _numbers(pairs: Sequence[tuple[Entry, Entry, SharedRuns]], measure: str) -> list[dict[str, Any]]:
    """Compute for each pair the numbers of :func:`comparison.compare` and the averages of every measure, as JSON."""
    import numpy as np

    numbers: list[dict[str, Any]] = []
    scored: list[tuple[dict[str, comparison.Pair], int | None]] = []
    averaged: dict[tuple[tuple[int, ...], ...], list[tuple[list[Any], list[np.ndarray]]]] = {}
    for a, b, shared in pairs:
        tables = [table for runs in shared.values() for pair in runs for table in pair]
        names = [name for name in a.result.evaluated.measures if all(name in table.measures for table in tables)]
        sides = {lang: stacked(runs, names) for lang, runs in shared.items()}
        ranking = names.index(measure)
        scored.append(
            ({lang: (x[..., ranking], y[..., ranking]) for lang, (x, y) in sides.items()}, _counted(a, b, shared))
        )
        means = (np.mean([side[i].mean(axis=(0, 1)) for side in sides.values()], axis=0).tolist() for i in (0, 1))
        macro = [[name, mean_a, mean_b] for name, mean_a, mean_b in zip(names, *means, strict=True)]
        gaps = [x - y for x, y in sides.values()]  # (seeds, topics, measures) a language
        averaged.setdefault(tuple(gap.shape[:2] for gap in gaps), []).append((macro, gaps))
        numbers.append({"macro": macro})
    for of_pair, tests in zip(numbers, comparison.several_paired_tests(scored), strict=True):
        of_pair["languages"] = [[row.lang, list(row.test), row.p_corrected, row.mark] for row in tests]
    for group in averaged.values():  # pairs over as many topics are computed together
        columns = [np.concatenate(language, axis=2) for language in zip(*(gaps for _, gaps in group), strict=True)]
        rows = [row for macro, _ in group for row in macro]
        for row, interval in zip(rows, inference.differences(columns), strict=True):
            row.append(list(interval))
    return numbers
