"""Which systems of a column differ: paired tests of all pairs, Holm's correction, and letters that say it compactly.

Two systems share a letter exactly when the test does not tell them apart (Piepho 2004, "An algorithm for a letter-based
representation of all-pairwise comparisons"). Everything over pairs is numpy; 100 systems take milliseconds a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05
"""Two systems differ where the corrected p value is below this."""


def p_values(languages: Sequence[np.ndarray], exact_below: float = 1.0) -> np.ndarray:
    """Two-sided p values of Student's paired t test for all pairs of systems, not corrected.

    With one language it is the test of ``mdrbench compare``. With several the tested quantity is the difference of the
    macro averages: topics are paired within each language, the variances of the languages' mean differences are summed,
    and the degrees of freedom are Satterthwaite's. Where no difference varies, p is 1 for equal means and otherwise 0.

    Args:
        languages: for each language scores of shape (systems, topics), at least two topics.
        exact_below: p values of at least this may come out as 1, which saves most of the time.

    Returns:
        Symmetric, shape (systems, systems), 1 on the diagonal.
    """
    import numpy as np
    from scipy.special import ndtri, stdtr

    count = len(languages[0])
    mean, variance, weights = (np.zeros((count, count)) for _ in range(3))
    for scores in languages:
        topics = scores.shape[1]
        means = scores.mean(axis=1)
        centred = scores - means[:, None]
        products = np.einsum("it,jt->ij", centred, centred)  # threads, as of a product of matrices, cost more here
        squares = np.diag(products)
        spread = squares[:, None] + squares[None, :] - 2 * products  # sums of squared centred differences
        spread[spread < 1e-12 * (1 + squares[:, None] + squares[None, :])] = 0.0
        part = spread / (topics - 1) / topics / len(languages) ** 2
        mean += (means[:, None] - means[None, :]) / len(languages)
        variance += part
        weights += part**2 / (topics - 1)
    upper = np.triu_indices(count, 1)
    mean, variance, weights = mean[upper], variance[upper], weights[upper]
    varies = variance > 0
    freedom = np.divide(variance**2, weights, out=np.ones_like(variance), where=varies)
    t = np.divide(np.abs(mean), np.sqrt(variance), out=np.zeros_like(mean), where=varies)
    # a t as small as the normal distribution's quantile has a larger p than that, whatever its degrees of freedom
    asked = varies & (t >= -ndtri(exact_below / 2))
    found = np.where(varies, 1.0, np.abs(mean) < 1e-12)
    found[asked] = 2 * stdtr(freedom[asked], -t[asked])
    p = np.ones((count, count))
    p[upper] = found
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
    alike = [int.from_bytes(row.tobytes(), "little") for row in packed]  # bits: systems by their place in order
    missing = [bits & ~(1 << place) for place, bits in enumerate(alike)]  # pairs that no set holds yet
    held = [False] * len(alike)
    found: list[int] = []
    for first in range(len(alike)):
        while missing[first] or not held[first]:
            partner = _lowest(missing[first]) if missing[first] else first
            members, shared = 1 << first | 1 << partner, alike[first] & alike[partner]
            while rest := shared & ~members:
                other = _lowest(rest)
                members |= 1 << other
                shared &= alike[other]
            for place in _places(members):
                missing[place] &= ~members
                held[place] = True
            found.append(members)
    return [[order[place] for place in places] for places in sorted(_places(members) for members in found)]


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _places(bits: int) -> list[int]:
    return [place for place in range(bits.bit_length()) if bits >> place & 1]


def letters(differing: np.ndarray, order: Sequence[int]) -> list[list[int]]:
    """For each system the numbers of its groups, 0 for that of the best."""
    held: list[list[int]] = [[] for _ in range(len(differing))]
    for letter, group in enumerate(groups(differing, order)):
        for system in group:
            held[system].append(letter)
    return held


def spelled(numbers: Sequence[int]) -> str:
    """Group numbers as letters: ``ab``; three or more in a row are shortened to ``b–e``."""
    runs: list[list[int]] = []
    for letter in numbers:
        if runs and letter == runs[-1][-1] + 1:
            runs[-1].append(letter)
        else:
            runs.append([letter])
    return "".join(f"{_name(run[0])}–{_name(run[-1])}" if len(run) > 2 else "".join(map(_name, run)) for run in runs)


def _name(letter: int) -> str:
    """a to z, then a1 to z1, a2 ..."""
    turn, letter = divmod(letter, len(ascii_lowercase))
    return ascii_lowercase[letter] + (str(turn) if turn else "")
