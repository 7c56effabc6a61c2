"""Bootstrap intervals, paired tests and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mdrbench.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np


BOOTSTRAP_BLOCK = 400_000
"""Scores that are resampled at once: a few megabytes, within the processor's cache. No result depends on it."""


class Interval(NamedTuple):
    """A mean with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap(groups: list[np.ndarray], *, confidence: float, resamples: int, seed: int) -> list[Interval]:
    """Mean over groups of the mean over each group's topics, with percentile bootstrap intervals.

    Topics are resampled with replacement within each group (language), so the interval of a macro average speaks of
    these languages and other topics. Efron and Tibshirani 1993, chapter 13.

    Args:
        groups: one array a language, each of shape (topics, measures).

    Returns:
        One interval for each measure.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    total = np.zeros((resamples, groups[0].shape[1]))
    for scores in groups:
        if not len(scores):
            raise DataError("no judged topic to average over", mend="check the qrels")
        at_once = max(1, BOOTSTRAP_BLOCK // scores.size)
        for start in range(0, resamples, at_once):
            picks = rng.integers(0, len(scores), (min(at_once, resamples - start), len(scores)))
            total[start : start + len(picks)] += scores[picks].mean(axis=1)
    ends = np.quantile(total / len(groups), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    means = np.mean([scores.mean(axis=0) for scores in groups], axis=0)
    return [Interval(float(m), float(low), float(high)) for m, low, high in zip(means, *ends, strict=True)]


def bootstrap_each(
    columns: Sequence[Sequence[np.ndarray]], *, confidence: float, resamples: int, seed: int
) -> list[Interval]:
    """What :func:`bootstrap` gives for each column by itself, to the last bit; topics are drawn once for all of them.

    Args:
        columns: for each its scores by language, arrays of shape (topics,); every column has as many topics.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    total = np.zeros((resamples, len(columns)))
    for scores in zip(*columns, strict=True):  # of one language
        topics = len(scores[0])
        if not topics:
            raise DataError("no judged topic to average over", mend="check the qrels")
        table = np.stack(scores, axis=1)
        at_once = max(1, BOOTSTRAP_BLOCK // table.size)
        for start in range(0, resamples, at_once):
            picks = rng.integers(0, topics, (min(at_once, resamples - start), topics))
            total[start : start + len(picks)] += _row_sums(table, picks) / topics
    means = [np.mean([values[:, None].mean(axis=0) for values in column], axis=0)[0] for column in columns]
    ends = [np.quantile(row / len(columns[0]), [(1 - confidence) / 2, (1 + confidence) / 2]) for row in total.T.copy()]
    return [Interval(float(m), float(low), float(high)) for m, (low, high) in zip(means, ends, strict=True)]


def _row_sums(table: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """``table[picks].sum(axis=1)``, added up as numpy adds up each column by itself: eight partial sums, then theirs.

    Args:
        table: shape (topics, columns).
        picks: rows of it, shape (resamples, topics).
    """
    import numpy as np

    whole = picks.shape[1] // 8 * 8
    if not 8 <= picks.shape[1] <= 128:  # other orders
        return np.stack([column.take(picks, mode="clip").sum(axis=1) for column in table.T.copy()], axis=1)
    values = table.take(picks.T, axis=0, mode="clip")  # (topics, resamples, columns)
    part = values[:8].copy()
    for start in range(8, whole, 8):
        part += values[start : start + 8]
    pairs = part[0::2] + part[1::2]
    total = (pairs[0] + pairs[1]) + (pairs[2] + pairs[3])
    for last in range(whole, len(values)):
        total += values[last]
    return total


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


def paired_test(a: np.ndarray, b: np.ndarray, *, seed: int, resamples: int = 10_000) -> PairedTest:
    """Two-sided paired t test and Fisher's randomisation test on per-topic scores of shape (topics,).

    The randomisation test flips the signs of the differences at random; its p value counts the observed assignment
    among the resampled ones, so it is never 0 (Smucker, Allan and Carterette, CIKM 2007; Phipson and Smyth 2010).
    Where all differences are equal, t is undefined: p is 1 when they are all zero, and otherwise 0.
    """
    import numpy as np

    d = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if len(d) < 2:
        raise DataError(f"a paired test needs two topics, there are {len(d)}", mend="compare on more topics")
    p_t = _t_test(d) if np.ptp(d) else float(d[0] == 0)
    nonzero = d[d != 0]
    batches = -(-resamples // 1000) * 1000
    extreme = int((np.abs(_flipped(nonzero, seed, batches)) >= abs(nonzero.sum()) - 1e-12).sum())
    p_r = (extreme + 1) / (batches + 1)
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    means = float(np.mean(a)), float(np.mean(b))
    return PairedTest(len(d), *means, float(d.mean()), wins, len(d) - wins - losses, losses, p_t, p_r)


def _t_test(d: np.ndarray) -> float:
    """The two-sided p of ``scipy.stats.ttest_1samp(d, 0)``, to the last bit; its module takes a second to load."""
    import numpy as np
    from scipy.special import stdtr

    n, mean = len(d), d.mean()
    variance = ((d - mean) ** 2).mean() * (n / (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(2 * stdtr(n - 1, -np.abs(mean / np.sqrt(variance / n))))


def _flipped(d: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """The sums of ``d`` with signs flipped at random, shape (resamples,): what eight neighbours add up to is looked up
    in a table of their 256 cases."""
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
def _flips(seed: int, resamples: int, topics: int) -> np.ndarray:
    """The random bits of a randomisation test, eight topics a byte, shape (bytes, resamples); drawn once for tests
    alike."""
    import numpy as np

    rng = np.random.default_rng(seed)
    batches = range(0, resamples, 1000)
    drawn = [np.packbits(rng.integers(0, 2, (1000, topics), dtype=np.int8).view(np.uint8), axis=1) for _ in batches]
    return np.ascontiguousarray(np.concatenate(drawn).T)


def holm(p_values: list[float]) -> list[float]:
    """Step-down adjusted p values that bound the family-wise error (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, running = [0.0] * len(p_values), 0.0
    for step, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = running
    return adjusted
