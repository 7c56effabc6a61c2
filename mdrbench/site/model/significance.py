"""Which systems of a column differ: paired t tests of all pairs with Holm's correction, as array operations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mdrbench.evaluation.statistics import EQUAL, FEWEST, PROTOCOL

if TYPE_CHECKING:
    import numpy as np

LEVEL = PROTOCOL.level
"""Two systems differ if the corrected p value is below this."""

AT_ONCE = 1_000_000
"""Differences of topics that are counted together: a few megabytes."""


class Differences(NamedTuple):
    """The differences of all pairs of systems in one language.

    Attributes:
        means: the mean score of each system, shape (systems,).
        difference: the mean difference of each pair, shape (pairs,), in the order of ``numpy.triu_indices``.
        variance: the variance of these mean differences, shape (pairs,).
        wins: on how many topics the first system of a pair is better, shape (pairs,).
        losses: on how many topics it is worse.
        topics: how many topics were averaged, at least two.
    """

    means: np.ndarray
    difference: np.ndarray
    variance: np.ndarray
    wins: np.ndarray
    losses: np.ndarray
    topics: int


def differences(scores: np.ndarray) -> Differences:
    """Compare all pairs of systems in one language.

    Args:
        scores: shape (systems, topics).
    """
    import numpy as np

    topics = scores.shape[1]
    means = scores.mean(axis=1)
    centred = scores - means[:, None]
    products = np.einsum("it,jt->ij", centred, centred)  # the threads of a matrix product cost more than they gain here
    squares = np.diag(products)
    first, second = _pairs(len(scores))
    both = squares[first] + squares[second]
    spread = both - 2 * products[first, second]  # sums of squared centred differences
    spread[spread < 1e-12 * (1 + both)] = 0.0
    wins, losses = _counts(scores, first, second)
    return Differences(means, means[first] - means[second], spread / (topics - 1) / topics, wins, losses, topics)


def _counts(scores: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count for each pair the topics on which its first system is better and worse, both of shape (pairs,)."""
    import numpy as np

    at_once = max(1, AT_ONCE // scores.shape[1])
    wins, losses = np.empty(len(first), dtype=int), np.empty(len(first), dtype=int)
    for start in range(0, len(first), at_once):
        block = slice(start, start + at_once)
        gaps = scores[first[block]] - scores[second[block]]
        wins[block], losses[block] = (gaps > EQUAL).sum(axis=1), (gaps < -EQUAL).sum(axis=1)
    return wins, losses


@lru_cache(maxsize=64)
def _pairs(systems: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of all pairs of this many systems."""
    import numpy as np

    rows, columns = np.triu_indices(systems, 1)
    return rows, columns


def p_values(languages: Sequence[Differences]) -> np.ndarray:
    """Return two-sided p values of Student's paired t test for all pairs of systems, not corrected.

    They are those of :func:`mdrbench.evaluation.inference.differences` for one run of each system, computed for all
    pairs at once. With several languages the test is of the difference of the macro averages: topics are paired within
    each language, the variances of the languages' mean differences are summed, and the degrees of freedom are
    Satterthwaite's. If few topics differ, p is at least that of the exact sign test.

    Args:
        languages: the same systems in each.

    Returns:
        Symmetric, shape (systems, systems), 1 on the diagonal.
    """
    import numpy as np
    from scipy.special import bdtr, stdtr

    mean, variance, weights = (np.zeros_like(languages[0].difference) for _ in range(3))
    for language in languages:
        part = language.variance / len(languages) ** 2
        mean += language.difference / len(languages)
        variance += part
        weights += part**2 / (language.topics - 1)
    varies = variance > EQUAL**2
    freedom = variance[varies] ** 2 / weights[varies]
    constant = 2.0 ** (1 - sum(language.topics for language in languages))
    p_of_pairs = np.where(varies | (np.abs(mean) < EQUAL), 1.0, constant)
    p_of_pairs[varies] = 2 * stdtr(freedom, -np.abs(mean[varies]) / np.sqrt(variance[varies]))
    wins, losses = (sum(getattr(language, side) for language in languages) for side in ("wins", "losses"))
    few = (wins + losses > 0) & (wins + losses < FEWEST)
    sign_test = 2 * bdtr(np.minimum(wins, losses)[few], (wins + losses)[few], 0.5)
    p_of_pairs[few] = np.maximum(p_of_pairs[few], np.minimum(1.0, sign_test))
    systems = len(languages[0].means)
    p = np.ones((systems, systems))
    p[_pairs(systems)] = p_of_pairs
    return np.minimum(p, p.T)


def corrected(p: np.ndarray) -> np.ndarray:
    """Return Holm's correction of symmetric p values over all pairs of systems; same shape, 1 on the diagonal."""
    import numpy as np

    rows, columns = _pairs(len(p))
    values = p[rows, columns]
    order = np.argsort(values, kind="stable")
    adjusted = np.ones(p.shape)
    steps = np.maximum.accumulate(np.minimum(1.0, values[order] * np.arange(len(values), 0, -1)))
    adjusted[rows[order], columns[order]] = steps
    return np.minimum(adjusted, adjusted.T)
