"""State the one protocol of the statistics; compute bootstrap intervals of scores.

Comparisons of systems are in :mod:`mdrbench.evaluation.inference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from mdrbench.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Protocol:
    """The figures of every interval and test. Commands, results and pages take their defaults from here.

    Attributes:
        confidence: coverage of intervals.
        resamples: bootstrap resamples of the interval of a score.
        flips: random sign flips of a randomisation test, a multiple of 1,000.
        seed: of resamples and flips.
        level: a corrected p value below it is significant.
        test: of a difference; a member of :data:`mdrbench.evaluation.inference.TESTS`.
        correction: for the comparisons of a family; a member of :data:`mdrbench.evaluation.inference.CORRECTIONS`.
        star_seeds: the fewest paired seeds of trained systems whose difference may get a star.
        claim_seeds: the fewest of a difference that may be claimed in words.
        power: the probability with which a detectable difference is found.
    """

    confidence: float = 0.95
    resamples: int = 2000
    flips: int = 10_000
    seed: int = 42
    level: float = 0.05
    test: str = "t"
    correction: str = "holm"
    star_seeds: int = 3
    claim_seeds: int = 5
    power: float = 0.8


PROTOCOL = Protocol()

BOOTSTRAP_BLOCK = 400_000
"""Scores that are resampled at once: a few megabytes, within the processor's cache. No result depends on it."""

FEWEST = 5
"""An interval is bootstrapped if at least so many topics stand away from the edge (see :func:`bootstrap`)."""

EQUAL = 1e-12
"""Differences this close to each other are equal: they differ by rounding alone."""


class Interval(NamedTuple):
    """A mean with the ends of its interval."""

    value: float
    low: float
    high: float


def bootstrap(groups: Sequence[Floats], *, confidence: float, resamples: int, seed: int) -> list[Interval]:
    """Average each group's mean over the groups, with an interval for the same languages and other topics.

    Topics are resampled with replacement within each group (language); the ends are percentiles (Efron and Tibshirani
    1993, chapter 13). Near an edge, where nearly all topics score 1 (or 0), a bootstrap cannot see what it did not
    draw: its interval has little or no width. If fewer than :data:`FEWEST` topics stand away from an edge, the ends
    are those of Clopper and Pearson (1934) for the mean of scores between 0 and 1. They hold for every such score and
    are wide. Topics are counted as (sum of distances)^2 / sum of squared distances from the edge: 5 topics that score
    0 beside 95 that score 1 count as 5.

    Args:
        groups: one array a language, each of shape (topics, measures), of scores between 0 and 1.
        confidence: coverage, such as 0.95.

    Returns:
        One interval for each measure.
    """
    import numpy as np

    found = _percentiles(groups, confidence, resamples, seed)
    size = len(groups) * min(map(len, groups))
    at_edge = np.minimum(_away(groups), _away([1 - scores for scores in groups])) < FEWEST
    return [
        interval._replace(**clopper_pearson(interval.value, size, confidence)) if edge else interval
        for interval, edge in zip(found, at_edge, strict=True)
    ]


def _percentiles(groups: Sequence[Floats], confidence: float, resamples: int, seed: int) -> list[Interval]:
    """Bootstrap the mean over groups of the mean over topics."""
    import numpy as np

    if not all(map(len, groups)):
        raise DataError("no judged topic to average over", mend="check the qrels")
    rng = np.random.default_rng(seed)
    total = np.zeros((resamples, groups[0].shape[1]))
    tables = [np.ascontiguousarray(scores.T) for scores in groups]  # sums of a row do not depend on the other rows
    for columns in tables:
        topics = columns.shape[1]
        at_once = max(1, BOOTSTRAP_BLOCK // columns.size)
        for start in range(0, resamples, at_once):
            picks = rng.integers(0, topics, (min(at_once, resamples - start), topics))
            total[start : start + len(picks)] += np.take(columns, picks, axis=1).mean(axis=2).T
    ends = np.quantile(total / len(groups), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    means = np.mean([columns.mean(axis=1) for columns in tables], axis=0)
    return [Interval(float(m), float(low), float(high)) for m, low, high in zip(means, *ends, strict=True)]


def _away(groups: Sequence[Floats]) -> Floats:
    """Count the topics that stand away from 0, by column; topics of a small language weigh more, as in the mean."""
    import numpy as np

    weighted = [scores / len(scores) for scores in groups]
    total = np.sum([scores.sum(axis=0) for scores in weighted], axis=0)
    squares = np.sum([(scores**2).sum(axis=0) for scores in weighted], axis=0)
    counts: Floats = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    return counts


def clopper_pearson(mean: float, size: int, confidence: float) -> dict[str, float]:
    """Return Clopper and Pearson's ends for the mean of ``size`` scores between 0 and 1."""
    from scipy.special import betainccinv, betaincinv

    mean = min(max(mean, 0.0), 1.0)
    hits, misses, tail = size * mean, size * (1 - mean), (1 - confidence) / 2
    return {
        "low": float(betaincinv(hits, misses + 1, tail)) if mean > 0 else 0.0,
        "high": float(betainccinv(hits + 1, misses, tail)) if mean < 1 else 1.0,
    }
