"""Which systems of a column differ: paired tests of all pairs, Holm's correction, and letters that say it compactly.

Two systems share a letter exactly when the test does not tell them apart (Piepho 2004, "An algorithm for a letter-based
representation of all-pairwise comparisons"). Everything over pairs is numpy; 100 systems take milliseconds a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from string import ascii_lowercase
from typing import TYPE_CHECKING, NamedTuple

from mdrbench.evaluation.statistics import EQUAL, PROTOCOL

if TYPE_CHECKING:
    import numpy as np

LEVEL = PROTOCOL.level
"""Two systems differ where the corrected p value is below this."""


class Spread(NamedTuple):
    """What the test needs of one language.

    Attributes:
        means: mean score of each system, shape (systems,).
        difference: mean difference of each two systems, shape (pairs,), in the order of ``numpy.triu_indices``.
        variance: the variance of these differences.
        topics: how many were averaged, at least two.
    """

    means: np.ndarray
    difference: np.ndarray
    variance: np.ndarray
    topics: int


def spread(scores: np.ndarray) -> Spread:
    """The means of a language's scores, shape (systems, topics), and how much their differences vary."""
    import numpy as np

    topics = scores.shape[1]
    means = scores.mean(axis=1)
    centred = scores - means[:, None]
    products = np.einsum("it,jt->ij", centred, centred)  # threads, as of a product of matrices, cost more here
    squares = np.diag(products)
    one, other = _pairs(len(scores))
    both = squares[one] + squares[other]
    found = both - 2 * products[one, other]  # sums of squared centred differences
    found[found < 1e-12 * (1 + both)] = 0.0
    return Spread(means, means[one] - means[other], found / (topics - 1) / topics, topics)


@lru_cache(maxsize=64)
def _pairs(systems: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pairs of so many systems."""
    import numpy as np

    return np.triu_indices(systems, 1)


def p_values(languages: Sequence[Spread], exact_below: float = 1.0) -> np.ndarray:
    """Two-sided p values of Student's paired t test for all pairs of systems, not corrected.

    With one language it is the test of ``mdrbench compare``. With several the tested quantity is the difference of the
    macro averages: topics are paired within each language, the variances of the languages' mean differences are summed,
    and the degrees of freedom are Satterthwaite's. If no difference varies, p is 1 for equal means, otherwise that of
    the exact sign test (see :func:`mdrbench.evaluation.statistics.paired_test`).

    Args:
        languages: the same systems in each.
        exact_below: p values of at least this may come out as 1, which saves most of the time.

    Returns:
        Symmetric, shape (systems, systems), 1 on the diagonal.
    """
    import numpy as np
    from scipy.special import ndtri, stdtr

    mean, variance, weights = (np.zeros_like(languages[0].difference) for _ in range(3))
    for language in languages:
        part = language.variance / len(languages) ** 2
        mean += language.difference / len(languages)
        variance += part
        weights += part**2 / (language.topics - 1)
    varies = variance > EQUAL**2
    freedom = np.divide(variance**2, weights, out=np.ones_like(variance), where=varies)
    t = np.divide(np.abs(mean), np.sqrt(variance), out=np.zeros_like(mean), where=varies)
    # a t as small as the normal distribution's quantile has a larger p than that, whatever its degrees of freedom
    asked = varies & (t >= -ndtri(exact_below / 2))
    constant = 2.0 ** (1 - sum(language.topics for language in languages))
    found = np.where(varies | (np.abs(mean) < EQUAL), 1.0, constant)
    found[asked] = 2 * stdtr(freedom[asked], -t[asked])
    count = len(languages[0].means)
    p = np.ones((count, count))
    p[_pairs(count)] = found
    return np.minimum(p, p.T)


def differ(p: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Which pairs differ after Holm's correction over all pairs of the column; boolean, as ``p``'s shape."""
    import numpy as np

    rows, columns = np.nonzero(np.triu(p < level, 1))  # no other can differ, and none of them is behind another
    values = p[rows, columns]
    order = np.argsort(values, kind="stable")
    pairs = len(p) * (len(p) - 1) // 2
    adjusted = np.maximum.accumulate(values[order] * (pairs - np.arange(len(values))))
    found = np.zeros(p.shape, dtype=bool)
    kept = order[adjusted < level]
    found[rows[kept], columns[kept]] = True
    return found | found.T


def groups(differing: np.ndarray, order: Sequence[int]) -> list[list[int]]:
    """Sets of systems that do not differ from one another and together hold every pair that does not differ.

    Args:
        differing: as :func:`differ` gives it.
        order: the systems, best first.

    Returns:
        One set a letter, each in ``order``, that of the best system first. A system that differs from all others is a
        set by itself.
    """
    import numpy as np

    order = [int(system) for system in order]
    packed = np.packbits(~differing[np.ix_(order, order)], axis=1, bitorder="little")
    # bits: systems by their place in order; each has those that it does not differ from, without itself
    others = [int.from_bytes(row.tobytes(), "little") & ~(1 << place) for place, row in enumerate(packed)]
    missing = others.copy()  # pairs that no set holds yet
    held = [False] * len(others)
    found: list[list[int]] = []
    for first in range(len(others)):
        while missing[first] or not held[first]:
            partner = _lowest(missing[first]) if missing[first] else first
            places = [first] if partner == first else [first, partner]
            members, shared = 1 << first | 1 << partner, others[first] & others[partner]
            while shared:
                lowest = shared & -shared
                other = lowest.bit_length() - 1
                places.append(other)
                members |= lowest
                shared &= others[other]
            for place in places:
                missing[place] &= ~members
                held[place] = True
            found.append(sorted(places))
    return [[order[place] for place in places] for places in sorted(found)]


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def letters(differing: np.ndarray, order: Sequence[int]) -> list[list[int]]:
    """For each system the numbers of its groups, 0 for that of the best."""
    held: list[list[int]] = [[] for _ in range(len(differing))]
    for letter, group in enumerate(groups(differing, order)):
        for system in group:
            held[system].append(letter)
    return held


def spelled(numbers: Sequence[int]) -> str:
    """Group numbers as letters: ``ab``; three or more in a row are shortened to ``b–e``."""
    found, first = [], 0
    while first < len(numbers):
        last = first
        while last + 1 < len(numbers) and numbers[last + 1] == numbers[last] + 1:
            last += 1
        if last > first + 1:
            found.append(f"{_name(numbers[first])}–{_name(numbers[last])}")
        else:
            found += [_name(letter) for letter in numbers[first : last + 1]]
        first = last + 1
    return "".join(found)


def _name(letter: int) -> str:
    """a to z, then a1 to z1, a2 ..."""
    turn, letter = divmod(letter, len(ascii_lowercase))
    return ascii_lowercase[letter] + (str(turn) if turn else "")
