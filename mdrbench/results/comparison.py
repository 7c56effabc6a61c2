"""Two systems side by side: paired tests that count topics and seeds, and the topics that moved most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.core.types import Topics
from mdrbench.evaluation import inference, measures
from mdrbench.evaluation.inference import Difference, PairedTest
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import Result, kept, seeds

Pair = tuple[np.ndarray, np.ndarray]
"""Scores of A and B in one language: both of shape (topics,), or (seeds, topics) with paired seeds.

A system that is not trained may have shape (1, topics) beside several seeds of the other.
"""


@dataclass(frozen=True)
class Moved:
    """One topic and its scores, means over the seeds."""

    lang: str
    qid: str
    query: str
    a: float
    b: float


@dataclass(frozen=True)
class LanguageComparison:
    """A paired test, its p value corrected over the family, and the mark of the difference.

    Attributes:
        mark: see :func:`mdrbench.evaluation.inference.mark`.
    """

    lang: str
    test: PairedTest
    p_corrected: float
    mark: str

    @property
    def significant(self) -> bool:
        """Whether the difference gets a star."""
        return self.mark == inference.STAR


@dataclass(frozen=True)
class Comparison:
    """A against B.

    Attributes:
        average: the mean over languages of A - B; its ``p`` is not corrected.
        average_p: the p value of the average, corrected over the pairs of the leaderboard if that is the family.
        average_mark: the mark of the average.
        seeds: how many paired seeds were counted; None if neither system is trained.
        counted: what the seeds and topics allow to conclude, in words.
        test: the test of the languages, a key of :data:`inference.TESTS`. The average always has ``t``.
        family: the comparisons that are corrected together, in words.
        only_in_one: languages that only one of the two systems has.
    """

    measure: str
    a: str
    b: str
    languages: list[LanguageComparison]
    average: Difference
    average_label: str
    average_p: float
    average_mark: str
    seeds: int | None
    counted: str
    test: str
    correction: str
    family: str
    moved: list[Moved]
    only_in_one: list[str]


def compare(
    path_a: Path,
    path_b: Path,
    measure: str,
    *,
    top: int,
    test: str = PROTOCOL.test,
    correction: str = PROTOCOL.correction,
    one_seed: bool = False,
) -> Comparison:
    """Compare two systems on the languages that both have, over all seeds that both have.

    Args:
        test: how each language is tested, a key of :data:`inference.TESTS`.
        correction: for the languages, a key of :data:`inference.CORRECTIONS`.
        one_seed: compare these two files alone; their other seeds are left out.

    Raises:
        DataError: other data sets, splits, corpora or judged topics; a topic file is missing or was changed.
        UsageError: a test that counts topics alone, on several seeds.
    """
    a, b = results.read(path_a), results.read(path_b)
    shared = comparable(a, b, path_a, path_b, measure)
    runs = [((path_a, a), (path_b, b))] if one_seed else paired_runs(path_a, a, path_b, b, measure)
    drawn = seeds.of(a) is not None or seeds.of(b) is not None
    scored, moved = {}, []
    for lang in shared:
        sides, qids, queries = _scores(runs, lang, measure)
        scored[lang] = sides
        means = [side.mean(axis=0) for side in sides]
        rows = zip(qids, *(mean.tolist() for mean in means), strict=True)
        moved += [Moved(lang, qid, queries[qid], x, y) for qid, x, y in rows if x != y]
    moved.sort(key=lambda m: (-abs(m.a - m.b), m.lang, m.qid))
    names = [" ".join([result.system.name, *result.system.overrides]) for result in (a, b)]
    if names[0] == names[1]:
        names = [f"{name} ({mark})" for name, mark in zip(names, "AB", strict=True)]
    counted = len(runs) if drawn else None
    average = difference(scored.values())
    return Comparison(
        measure=measure,
        a=names[0],
        b=names[1],
        languages=paired_tests(scored, counted=counted, test=test, correction=correction),
        average=average,
        average_label=results.average_label(shared),
        average_p=average.p,
        average_mark=inference.mark(average.p, counted),
        seeds=counted,
        counted=inference.counted(counted),
        test=test,
        correction=correction,
        family=family_of_languages(len(shared)),
        moved=moved[:top],
        only_in_one=sorted(set(a.languages) ^ set(b.languages)),
    )


def family_of_languages(languages: int) -> str:
    """Name the family of a pair that no leaderboard ranks."""
    return f"the {languages} languages of this pair; the average is one test"


Run = tuple[Path, Result]
"""A result file and its content."""


def paired_runs(path_a: Path, a: Result, path_b: Path, b: Result, measure: str) -> list[tuple[Run, Run]]:
    """Return the runs of both systems with the seeds of both; the two results in any case.

    Two results of one recipe are compared as they are.
    """
    alone: list[tuple[Run, Run]] = [((path_a, a), (path_b, b))]
    if seeds.identity(a) == seeds.identity(b):
        return alone

    pairs = seeds.shared(seeds.repeats(path_a, a), seeds.repeats(path_b, b))
    for (one, left), (other, right) in pairs:
        comparable(left, right, one, other, measure)
    return pairs or alone


def _scores(runs: list[tuple[Run, Run]], lang: str, measure: str) -> tuple[Pair, list[str], Topics]:
    """Return the scores of both systems in a language, each of shape (seeds, topics), the topics and their queries."""
    read: dict[Path, tuple[measures.TopicScores, Topics]] = {}
    for path, result in (run for pair in runs for run in pair):
        if path not in read:
            read[path] = topic_scores(path, result, lang)
    first, queries = read[runs[0][0][0]]
    for path, (scores, _) in read.items():
        if scores.keys() != first.keys():
            raise DataError(f"the two results judge different topics of '{lang}'", where=str(path))
    sides = (np.array([[read[pair[side][0]][0][qid][measure] for qid in first] for pair in runs]) for side in (0, 1))
    a, b = sides
    return (a, b), list(first), queries


def paired_tests(
    scored: Mapping[str, Pair],
    *,
    counted: int | None = None,
    test: str = PROTOCOL.test,
    correction: str = PROTOCOL.correction,
) -> list[LanguageComparison]:
    """A paired test of each language's scores of A and B, corrected over the languages.

    Args:
        counted: the paired seeds of the scores; None if neither system is trained.
    """
    [tests] = several_paired_tests([(scored, counted)], test=test, correction=correction)
    return tests


def several_paired_tests(
    several: Sequence[tuple[Mapping[str, Pair], int | None]],
    *,
    test: str = PROTOCOL.test,
    correction: str = PROTOCOL.correction,
) -> list[list[LanguageComparison]]:
    """:func:`paired_tests` of several pairs of systems, each with its paired seeds; faster than one after the other."""
    pairs = [pair for scored, _ in several for pair in scored.values()]
    families = [len(scored) for scored, _ in several for _ in scored]
    tests = iter(inference.paired_tests(pairs, test=test, families=families))
    compared = []
    for scored, counted in several:
        own = [next(tests) for _ in scored]
        corrected = inference.corrected([test.p for test in own], correction)
        rows = zip(scored, own, corrected, strict=True)
        compared.append([LanguageComparison(lang, test, p, inference.mark(p, counted)) for lang, test, p in rows])
    return compared


def difference(scored: Iterable[Pair], *, confidence: float = PROTOCOL.confidence) -> Difference:
    """The mean over languages of A - B, with its interval over topics and seeds."""
    gaps = [np.atleast_2d(x - y)[:, :, None] for x, y in scored]  # (seeds, topics, 1) a language
    [average] = inference.differences(gaps, confidence=confidence)
    return average


def comparable(a: Result, b: Result, path_a: Path, path_b: Path, measure: str) -> list[str]:
    """The languages that both results have; a DataError where they are not of the same split, depth and corpora."""
    for result, path in ((a, path_a), (b, path_b)):
        if result.kind != "measured":
            raise DataError("a published result has no topic-level scores", where=str(path))
        if measure not in result.evaluated.measures:
            raise DataError(
                f"has no {measure}", where=str(path), mend=f"choose among {', '.join(result.evaluated.measures)}"
            )
    if (a.split, a.evaluated.depth) != (b.split, b.evaluated.depth):
        raise DataError("the two results are of different splits or depths", where=str(path_b))
    shared = [lang for lang in a.language_codes() if lang in b.languages]
    if not shared:
        raise DataError("the two results share no language", where=str(path_b))
    for lang in shared:
        one, other = a.languages[lang].dataset, b.languages[lang].dataset
        if one is None or other is None:
            where = str(path_a if one is None else path_b)
            raise DataError(f"does not say which passages of '{lang}' were searched", where=where)
        if one.fingerprint != other.fingerprint:
            raise DataError(
                f"the corpora of '{lang}' differ ({one.passages} and {other.passages} passages)",
                where=str(path_b),
                mend="run both systems on the same data",
            )
    return shared


def topic_scores(path: Path, result: Result, lang: str) -> tuple[measures.TopicScores, Topics]:
    """Return the scores and queries kept beside a result; a DataError if there are none, or other ones."""
    found = kept.topic_scores(path, result.languages[lang])
    if found is None:
        raise DataError(f"keeps no topic-level scores of '{lang}'", where=str(path), mend="run the recipe again")
    return found
