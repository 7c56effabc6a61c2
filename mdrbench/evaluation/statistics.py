"""State the one protocol of the statistics; compute intervals, paired tests and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
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
        resamples: bootstrap resamples of an interval.
        flips: random sign flips of a randomisation test, a multiple of 1,000.
        seed: of resamples and flips.
        level: a corrected p value below it is significant.
        correction: for several languages or pairs of systems.
    """

    confidence: float = 0.95
    resamples: int = 2000
    flips: int = 10_000
    seed: int = 42
    level: float = 0.05
    correction: str = "Holm"


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
        interval._replace(**_ends(interval.value, size, confidence)) if edge else interval
        for interval, edge in zip(found, at_edge, strict=True)
    ]


def bootstrap_differences(groups: Sequence[Floats], *, confidence: float, resamples: int, seed: int) -> list[Interval]:
    """Do what :func:`bootstrap` does for differences of scores, which lie between -1 and 1.

    The edge is no difference at all. Near it, gains and losses get the interval of Clopper and Pearson each, and the
    two are combined as Zou and Donner (Statistics in Medicine, 2008) combine the intervals of a difference.

    Args:
        groups: one array a language, each of shape (topics, columns).

    Returns:
        One interval for each column.
    """
    import numpy as np

    found = _percentiles(groups, confidence, resamples, seed)
    size = len(groups) * min(map(len, groups))
    at_edge = _away([np.abs(scores) for scores in groups]) < FEWEST
    gains = np.mean([np.maximum(scores, 0).mean(axis=0) for scores in groups], axis=0)
    losses = np.mean([np.maximum(-scores, 0).mean(axis=0) for scores in groups], axis=0)
    for column in np.flatnonzero(at_edge):
        gain, loss = (_ends(float(part[column]), size, confidence) for part in (gains, losses))
        value = found[column].value
        below = np.hypot(gains[column] - gain["low"], loss["high"] - losses[column])
        above = np.hypot(gain["high"] - gains[column], losses[column] - loss["low"])
        found[column] = Interval(value, float(value - below), float(value + above))
    return found


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


def _ends(mean: float, size: int, confidence: float) -> dict[str, float]:
    """Return Clopper and Pearson's ends for the mean of ``size`` scores between 0 and 1."""
    from scipy.stats import beta

    mean = min(max(mean, 0.0), 1.0)
    hits, misses, tail = size * mean, size * (1 - mean), (1 - confidence) / 2
    return {
        "low": float(beta.ppf(tail, hits, misses + 1)) if mean > 0 else 0.0,
        "high": float(beta.isf(tail, hits + 1, misses)) if mean < 1 else 1.0,
    }


class PairedTest(NamedTuple):
    """A against B over the same topics: means, their difference (A - B), topic counts and p values."""

    topics: int
    mean_a: float
    mean_b: float
    difference: float
    wins: int
    ties: int
    losses: int
    p_t: float
    p_randomisation: float


def paired_test(a: Floats, b: Floats, *, seed: int = PROTOCOL.seed, resamples: int = PROTOCOL.flips) -> PairedTest:
    """Test per-topic scores of shape (topics,) with a paired t test and Fisher's randomisation test, two-sided.

    The randomisation test flips the signs of the differences at random. Its p value counts the observed assignment
    among the resampled ones, so it is never 0 (Smucker, Allan and Carterette, CIKM 2007; Phipson and Smyth 2010).
    If all differences are equal, t is undefined: ``p_t`` is 1 if they are zero, otherwise the p value of the exact sign
    test, 2^(1 - topics).

    Raises:
        DataError: fewer than two topics.
    """
    import numpy as np

    d = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if len(d) < 2:
        raise DataError(f"a paired test needs two topics, but there are {len(d)}", mend="compare on more topics")
    nonzero = d[d != 0]
    batches = -(-resamples // 1000) * 1000
    extreme = int((np.abs(_flipped(nonzero, seed, batches)) >= abs(nonzero.sum()) - 1e-12).sum())
    p_r = (extreme + 1) / (batches + 1)
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    means = float(np.mean(a)), float(np.mean(b))
    return PairedTest(len(d), *means, float(d.mean()), wins, len(d) - wins - losses, losses, _t_test(d), p_r)


def _t_test(d: Floats) -> float:
    """Return the two-sided p value of Student's t test of differences against 0.

    The same as ``scipy.stats.ttest_1samp(d, 0)``, which takes 1 ms a call; the site makes thousands.
    """
    import numpy as np
    from scipy.special import stdtr

    if np.ptp(d) < EQUAL:
        return 1.0 if abs(d[0]) < EQUAL else 2.0 ** (1 - len(d))
    n = len(d)
    t = d.mean() / np.sqrt(d.var() * (n / (n - 1)) / n)
    return float(2 * stdtr(n - 1, -abs(t)))


def _flipped(d: Floats, seed: int, resamples: int) -> Floats:
    """Sum ``d`` with signs flipped at random, shape (resamples,); the sums of eight neighbours come from a table."""
    import numpy as np

    flips = _flips(seed, resamples, len(d))
    padded = np.zeros((len(flips), 8))
    padded.flat[: len(d)] = d
    cases = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float64) * 2 - 1
    total = np.zeros(resamples)
    for case, sums in zip(flips, padded @ cases.T, strict=True):
        total += sums.take(case)
    return total


@lru_cache(maxsize=32)
def _flips(seed: int, resamples: int, topics: int) -> NDArray[np.uint8]:
    """Draw the random bits of a randomisation test, eight topics a byte, shape (bytes, resamples)."""
    import numpy as np

    rng = np.random.default_rng(seed)
    batches = range(0, resamples, 1000)
    drawn = [np.packbits(rng.integers(0, 2, (1000, topics), dtype=np.int8).view(np.uint8), axis=1) for _ in batches]
    return np.ascontiguousarray(np.concatenate(drawn).T)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return step-down adjusted p values that bound the family-wise error (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, running = [0.0] * len(p_values), 0.0
    for step, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = running
    return adjusted
