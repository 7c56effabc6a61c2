"""Check a training against reference trainings of the same recipe: are score and steps within their spread?

A training that was handed in, or run on another machine, should be one more draw of the trainings that its recipe
gives. Each score is compared with the prediction interval of one more seed: the mean of the reference seeds ± t times
their standard deviation times sqrt(1 + 1 / seeds).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.evaluation.inference import corrected
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import Result, comparison, seeds


@dataclass(frozen=True)
class Score:
    """A score of the training in a language or on average, and where the reference seeds predict one more seed."""

    place: str
    value: float
    mean: float
    low: float
    high: float
    p_corrected: float

    @property
    def within(self) -> bool:
        """Whether it may be one more seed of the reference."""
        return self.p_corrected >= PROTOCOL.level


@dataclass(frozen=True)
class TrainingCheck:
    """A training against the reference trainings with other seeds.

    Attributes:
        seeds: how many reference trainings there are.
        scores: the average first, then the languages; the p values are corrected over all of them.
        steps: of the training; None if it records none, as a system that was handed in as run files.
        expected: the steps of the references, sorted, without repetition.
    """

    measure: str
    seeds: int
    scores: list[Score]
    steps: int | None
    expected: list[int]

    @property
    def passed(self) -> bool:
        """Whether all scores, and the steps if they are known, are as in the reference."""
        inside = self.steps is None or not self.expected or self.expected[0] <= self.steps <= self.expected[-1]
        return inside and all(score.within for score in self.scores)


def check(handed_in: Path, reference: Path, measure: str) -> TrainingCheck:
    """Check a result against the reference result and the runs of its recipe with other seeds.

    Raises:
        DataError: the two cannot be compared, or the reference has fewer than three seeds beside the training's own.
    """
    one, other = results.read(handed_in), results.read(reference)
    langs = comparison.comparable(one, other, handed_in, reference, measure)
    own = seeds.of(one) if seeds.identity(one) == seeds.identity(other) else None
    runs = {seed: run for seed, (_, run) in seeds.repeats(reference, other).items() if seed is not None and seed != own}
    whole = [run for run in runs.values() if {*langs} <= {*run.languages}]
    if len(whole) < PROTOCOL.star_seeds:
        raise DataError(
            f"has {len(whole)} reference trainings of these languages; their spread needs {PROTOCOL.star_seeds}",
            where=str(reference),
            mend="run the recipe with more seeds: mdrbench ablate RECIPE --seeds 5 ...",
        )
    places = {"average": langs, **{lang: [lang] for lang in langs}}
    rows = [_row(place, one, whole, covered, measure) for place, covered in places.items()]
    p_values = corrected([p for *_, p in rows], PROTOCOL.correction)
    scores = [Score(*row[:5], p) for row, p in zip(rows, p_values, strict=True)]
    expected = sorted({steps for run in whole if (steps := _steps(run)) is not None})
    return TrainingCheck(measure, len(whole), scores, _steps(one), expected)


def _row(
    place: str, one: Result, whole: Sequence[Result], langs: Sequence[str], measure: str
) -> tuple[str, float, float, float, float, float]:
    from scipy.special import stdtr, stdtrit

    def score(run: Result) -> float:
        return fmean(run.languages[lang].scores[measure].value for lang in langs)

    known = [score(run) for run in whole]
    mean, error, df = fmean(known), stdev(known) * math.sqrt(1 + 1 / len(known)), len(known) - 1
    gap, half = score(one) - mean, error * float(stdtrit(df, (1 + PROTOCOL.confidence) / 2))
    p = 2 * float(stdtr(df, -abs(gap) / error)) if error else float(gap == 0)
    return place, score(one), mean, mean - half, mean + half, p


def _steps(run: Result) -> int | None:
    found = [int(training.facts["steps"]) for training in run.trainings.values() if "steps" in training.facts]
    return max(found, default=None)
