"""The numbers of an ablation, from the topic-level scores beside the results that it names.

The statistics are those of ``mdrbench compare``: for each language a randomisation test paired by topic, Holm's
correction over the languages of one variant and measure, bootstrap intervals of the differences. With several seeds a
topic's score is its mean over the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdrbench import results
from mdrbench.core import console
from mdrbench.core.errors import DataError
from mdrbench.evaluation import measures, statistics
from mdrbench.results import comparison
from mdrbench.results.ablations import Ablation, Complete, Effect, Score, SeedRun, Variant, read
from mdrbench.results.verified import Problem, Verified

if TYPE_CHECKING:
    import numpy as np

CLOSE = 1e-9
"""Two computations of a mean agree within this."""


class _Scores(NamedTuple):
    """One recipe's topic-level scores by language, (topics, measures), means over the seeds; averages of each seed."""

    topics: dict[str, list[str]]
    matrices: dict[str, np.ndarray]
    averages: np.ndarray  # (seeds, measures)


def derive(found: Ablation, folder: Path) -> None:
    """Compute every number of an ablation from the results in the data set's folder.

    Raises:
        DataError: a result is missing, is another recipe's, or cannot be compared with the complete one.
    """
    names = tuple(found.measures)
    settings = found.tested.model_dump(include={"confidence", "resamples", "seed"})
    complete = _scores(found, found.complete.runs, folder)
    spread = _spread(complete, names)
    for lang in found.languages:
        intervals = statistics.bootstrap([complete.matrices[lang]], **settings)
        found.complete.languages[lang] = {n: Score(**i._asdict()) for n, i in zip(names, intervals, strict=True)}
    intervals = statistics.bootstrap([complete.matrices[lang] for lang in found.languages], **settings)
    found.complete.average = {n: Score(**i._asdict(), spread=spread[n]) for n, i in zip(names, intervals, strict=True)}
    for variant in found.variants:
        scores = _scores(found, variant.runs, folder)
        for lang in found.languages:
            if scores.topics[lang] != complete.topics[lang]:
                raise DataError(f"'{variant.label}' judges other topics of '{lang}' than the complete recipe")
        variant.languages, variant.average = _effects(found, scores, complete)


def _scores(found: Ablation, runs: list[SeedRun], folder: Path) -> _Scores:
    first = folder / found.complete.runs[0].result
    complete = results.read(first, ("sealed",))
    per_run = []
    for run in runs:
        path = folder / run.result
        result = results.read(path, ("sealed",))
        if result.system.recipe_digest != run.digest:
            raise DataError(
                f"is not of the recipe {run.digest[:10]} that the ablation names",
                where=str(path),
                mend="run `mdrbench ablate` again",
            )
        for measure in found.measures:
            shared = comparison.comparable(result, complete, path, first, measure)
        if lacking := [lang for lang in found.languages if lang not in shared]:
            raise DataError(f"lacks {', '.join(lacking)}", where=str(path), mend="run `mdrbench ablate` again")
        per_run.append({lang: comparison.topic_scores(path, result, lang)[0] for lang in found.languages})
    return _means(per_run, found)


def _means(per_run: list[dict[str, measures.TopicScores]], found: Ablation) -> _Scores:
    import numpy as np

    names = tuple(found.measures)
    topics = {lang: list(per_run[0][lang]) for lang in found.languages}
    stacks = {}
    for lang, qids in topics.items():
        if any(list(one[lang]) != qids for one in per_run):
            raise DataError(f"the seeds judge different topics of '{lang}'", mend="run `mdrbench ablate` again")
        stacks[lang] = np.stack([measures.matrix(one[lang], names) for one in per_run])  # (seeds, topics, measures)
    averages = np.mean([stack.mean(axis=1) for stack in stacks.values()], axis=0)
    return _Scores(topics, {lang: stack.mean(axis=0) for lang, stack in stacks.items()}, averages)


def _spread(scores: _Scores, names: tuple[str, ...]) -> dict[str, float | None]:
    if len(scores.averages) < 2:
        return dict.fromkeys(names)
    return dict(zip(names, scores.averages.std(axis=0, ddof=1).tolist(), strict=True))


def _effects(
    found: Ablation, scores: _Scores, complete: _Scores
) -> tuple[dict[str, dict[str, Effect]], dict[str, Effect]]:
    names, tested = tuple(found.measures), found.tested
    settings = tested.model_dump(include={"confidence", "resamples", "seed"})
    differences = {lang: scores.matrices[lang] - complete.matrices[lang] for lang in found.languages}
    ends = {lang: statistics.bootstrap_differences([differences[lang]], **settings) for lang in found.languages}
    rows: dict[str, dict[str, Effect]] = {lang: {} for lang in found.languages}
    for at, name in enumerate(names):
        both = {lang: (scores.matrices[lang][:, at], complete.matrices[lang][:, at]) for lang in found.languages}
        for row in comparison.paired_tests(both, seed=tested.seed, resamples=tested.randomisations):
            p, p_holm = row.test.p_randomisation, row.p_randomisation_holm
            rows[row.lang][name] = _effect(row.test.mean_a, ends[row.lang][at], p=p, p_holm=p_holm)
    spread = _spread(scores, names)
    intervals = statistics.bootstrap_differences(list(differences.values()), **settings)
    means = scores.averages.mean(axis=0).tolist()
    return rows, {
        name: _effect(mean, interval, spread=spread[name])
        for name, mean, interval in zip(names, means, intervals, strict=True)
    }


def _effect(score: float, interval: statistics.Interval, **more: float | None) -> Effect:
    return Effect(score=score, difference=interval.value, low=interval.low, high=interval.high, **more)


def verified(path: Path) -> Verified:
    """Derive every number of a stored ablation again from the results that it names."""
    found = Verified(path)
    try:
        stored = read(path, ("sealed", "unsealed", "missing", "broken"))
        derived = stored.model_copy(deep=True)
        for one in derived.entries:
            one.languages, one.average = {}, {}
        derive(derived, path.parent.parent)
    except DataError as error:
        file = console.shown(Path(error.where)) if error.where else console.shown(path)
        found.problems.append(Problem(file, error.message, mend=error.mend or ""))
        return found
    for one, other in zip(stored.entries, derived.entries, strict=True):
        place = one.label if isinstance(one, Variant) else "complete"
        was, now = dict(_numbers(one)), dict(_numbers(other))
        found.cells += len(now)
        for key in {**now, **was}:
            if not _close(was.get(key), now.get(key)):
                lang, measure, part = key
                what = f"{place}: {part}"
                found.problems.append(Problem(console.shown(path), what, lang, measure, was.get(key), now.get(key)))
    return found


def _numbers(one: Complete | Variant) -> Iterator[tuple[tuple[str, str, str], float]]:
    for lang, cells in [*one.languages.items(), ("average", one.average)]:
        for measure, cell in cells.items():
            for part, value in cell.model_dump(exclude_none=True).items():
                yield (lang, measure, part), value


def _close(stored: float | None, derived: float | None) -> bool:
    return stored is not None and derived is not None and math.isclose(stored, derived, rel_tol=0, abs_tol=CLOSE)
