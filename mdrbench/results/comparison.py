"""Two results side by side: paired tests per language with Holm's correction, and the topics that moved most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.core.types import Topics
from mdrbench.evaluation import measures, statistics
from mdrbench.evaluation.statistics import PROTOCOL, PairedTest
from mdrbench.results import Result, kept

Pair = tuple[np.ndarray, np.ndarray]
"""Topic-level scores of A and B in one language, both of shape (topics,)."""


@dataclass(frozen=True)
class Moved:
    """One topic and its scores."""

    lang: str
    qid: str
    query: str
    a: float
    b: float


@dataclass(frozen=True)
class LanguageComparison:
    """A paired test with its corrected p values."""

    lang: str
    test: PairedTest
    p_t_holm: float
    p_randomisation_holm: float


@dataclass(frozen=True)
class Comparison:
    """A against B. ``average`` is the mean over languages of the differences, with its bootstrap interval."""

    measure: str
    a: str
    b: str
    languages: list[LanguageComparison]
    average: statistics.Interval
    average_label: str
    moved: list[Moved]
    only_in_one: list[str]


def compare(
    path_a: Path, path_b: Path, measure: str, *, top: int, seed: int, resamples: int = PROTOCOL.flips
) -> Comparison:
    """Compare two result files on the languages that both have.

    Raises:
        DataError: other data sets, splits, corpora or judged topics; a topic file is missing or was changed.
    """
    a, b = results.read(path_a), results.read(path_b)
    shared = comparable(a, b, path_a, path_b, measure)
    scored, moved = {}, []
    for lang in shared:
        scores_a, queries = topic_scores(path_a, a, lang)
        scores_b, _ = topic_scores(path_b, b, lang)
        if scores_a.keys() != scores_b.keys():
            raise DataError(f"the two results judge different topics of '{lang}'", where=str(path_b))
        x = np.array([scores_a[qid][measure] for qid in scores_a])
        y = np.array([scores_b[qid][measure] for qid in scores_a])
        scored[lang] = x, y
        moved += [Moved(lang, qid, queries[qid], x[i], y[i]) for i, qid in enumerate(scores_a) if x[i] != y[i]]
    moved.sort(key=lambda m: (-abs(m.a - m.b), m.lang, m.qid))
    names = [" ".join([result.system.name, *result.system.overrides]) for result in (a, b)]
    if names[0] == names[1]:
        names = [f"{name} ({mark})" for name, mark in zip(names, "AB", strict=True)]
    return Comparison(
        measure=measure,
        a=names[0],
        b=names[1],
        languages=paired_tests(scored, seed=seed, resamples=resamples),
        average=difference(scored.values(), seed=seed),
        average_label=results.average_label(shared),
        moved=moved[:top],
        only_in_one=sorted(set(a.languages) ^ set(b.languages)),
    )


def paired_tests(scored: Mapping[str, Pair], *, seed: int, resamples: int) -> list[LanguageComparison]:
    """A paired test of each language's topic-level scores of A and B, Holm-corrected over the languages."""
    tests = [statistics.paired_test(x, y, seed=seed, resamples=resamples) for x, y in scored.values()]
    corrected_t = statistics.holm([test.p_t for test in tests])
    corrected_r = statistics.holm([test.p_randomisation for test in tests])
    return [LanguageComparison(*row) for row in zip(scored, tests, corrected_t, corrected_r, strict=True)]


def difference(scored: Iterable[Pair], *, seed: int) -> statistics.Interval:
    """The mean over languages of A - B, with its interval over topics."""
    [average] = differences([scored], seed=seed)
    return average


def differences(several: Iterable[Iterable[Pair]], *, seed: int) -> list[statistics.Interval]:
    """:func:`difference` of each, all over as many topics; faster than one after the other."""
    columns = [[x - y for x, y in scored] for scored in several]
    groups = [np.stack(column, axis=1) for column in zip(*columns, strict=True)]  # (topics, several) a language
    return statistics.bootstrap_differences(
        groups, confidence=PROTOCOL.confidence, resamples=PROTOCOL.resamples, seed=seed
    )


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
