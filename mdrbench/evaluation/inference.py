"""Compare systems: differences of means with intervals and p values that count topics and training seeds.

A difference of two trained systems varies with the topics and with the seeds of the trainings. Its error has two parts:
that of the topics, from each topic's mean over the seeds, and that of the seeds, from the macro averages of the paired
seeds. The residual of topic and seed is in both and is taken out of the first. The t interval of each part gives a
half-width, and the squares of the two half-widths are added. This interval covers at least the nominal share for every
size of the two parts and every number of seeds (Banerjee, Sankhya 22, 1960); Welch and Satterthwaite's approximation
covers less with few seeds. The p value is the level at which the interval reaches 0. Without seeds it is the paired t
interval; averages over languages take Satterthwaite's degrees of freedom. ``benchmarks/calibration.py`` measures how
often systems that do not differ are told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mdrbench.core.errors import DataError, UsageError
from mdrbench.evaluation.statistics import EQUAL, FEWEST, PROTOCOL, Interval, clopper_pearson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mdrbench.evaluation.statistics import Floats

TESTS = {
    "t": "Student's paired t over topics, and over the paired seeds of trained systems",
    "randomisation": "Fisher's randomisation test over topics",
    "wilcoxon": "Wilcoxon's signed-rank test over topics",
}
"""The tests of a difference. All but ``t`` count topics alone."""

CORRECTIONS = {
    "holm": "Holm's correction (family-wise error)",
    "benjamini-hochberg": "Benjamini and Hochberg's correction (false discovery rate)",
}
"""The corrections for the comparisons of a family."""

SMALLEST_P = 1e-300
"""No p value is smaller."""


class Difference(NamedTuple):
    """The mean difference of two systems, with its interval.

    Attributes:
        p: two-sided, not corrected.
        topics_error: standard error due to the topics.
        freedom: degrees of freedom of ``topics_error``.
        seeds_error: standard error due to the seeds; 0 if they are not counted.
        seeds: how many paired seeds are averaged; 1 if the seeds are not counted.
    """

    value: float
    low: float
    high: float
    p: float
    topics_error: float
    freedom: float
    seeds_error: float = 0.0
    seeds: int = 1

    @property
    def seeds_spread(self) -> float | None:
        """The standard deviation of the paired seeds' differences; None with one seed."""
        return self.seeds_error * math.sqrt(self.seeds) if self.seeds > 1 else None

    def detectable(self, level: float = PROTOCOL.level, power: float = PROTOCOL.power) -> float:
        """Return the smallest difference that as many topics and seeds find with this power.

        Args:
            level: of the test; divide it by the size of the family for Holm's correction.
        """
        return detectable(self.topics_error, self.freedom, self.seeds_error, self.seeds - 1, level=level, power=power)

    def seeds_needed(self, most: int = 100) -> int | None:
        """Return how many seeds find this difference on these topics; None if ``most`` do not suffice."""
        spread = self.seeds_spread
        if spread is None:
            return None
        for seeds in range(2, most + 1):
            error = spread / math.sqrt(seeds)
            if detectable(self.topics_error, self.freedom, error, seeds - 1) <= abs(self.value):
                return seeds
        return None


def detectable(
    topics_error: float,
    freedom: float,
    seeds_error: float = 0.0,
    seeds_freedom: int = 0,
    *,
    level: float = PROTOCOL.level,
    power: float = PROTOCOL.power,
) -> float:
    """Return the smallest difference that is found with a power, given the standard errors of its two parts."""
    from scipy.special import stdtrit

    parts = [(topics_error, freedom)] + [(seeds_error, seeds_freedom)] * (seeds_freedom > 0)
    return sum(
        math.hypot(*(error * float(stdtrit(df, share)) for error, df in parts)) for share in (1 - level / 2, power)
    )


def differences(groups: Sequence[Floats], *, confidence: float = PROTOCOL.confidence) -> list[Difference]:
    """Average the differences of two systems over topics, then over languages.

    If fewer than :data:`FEWEST` topics differ, t cannot see what was not drawn. Then gains and losses of topics get the
    interval of Clopper and Pearson each, the two are combined as Zou and Donner (Statistics in Medicine, 2008) combine
    the intervals of a difference, and p is at least that of the exact sign test.

    Args:
        groups: one array a language, of shape (topics, columns), or (seeds, topics, columns) with the same paired seeds
            in each. The seeds are counted if there are at least two.

    Returns:
        One difference for each column.

    Raises:
        DataError: a language has fewer than two topics.
    """
    import numpy as np
    from scipy.special import stdtrit

    stacks = [group if group.ndim == 3 else group[None] for group in groups]
    if few := [stack.shape[1] for stack in stacks if stack.shape[1] < 2]:
        raise DataError(f"a paired test needs two topics, but there are {few[0]}", mend="compare on more topics")
    seeds, count = len(stacks[0]), len(stacks)
    topics = [stack.mean(axis=0) for stack in stacks]  # (topics, columns) each
    value = np.mean([scores.mean(axis=0) for scores in topics], axis=0)
    parts = np.stack([_variance_of_mean(scores) for scores in topics])
    if seeds > 1:
        parts = np.maximum(parts - np.stack([_residual(stack) for stack in stacks]), 0.0)
    parts /= count**2
    variance = parts.sum(axis=0)
    sizes = np.array([len(scores) for scores in topics])[:, None]
    freedom = _satterthwaite(variance, (parts**2 / (sizes - 1)).sum(axis=0), int((sizes - 1).sum()))
    seeds_variance = np.zeros_like(variance)
    if seeds > 1:
        seeds_variance = _variance_of_mean(np.mean([stack.mean(axis=1) for stack in stacks], axis=0))
    error, seeds_error = np.sqrt(variance), np.sqrt(seeds_variance)
    p = p_values(value, error, freedom, seeds_error, seeds - 1)
    constant = (variance == 0) & (seeds_variance == 0) & (np.abs(value) > EQUAL)
    p[constant] = 2.0 ** (1 - int(sizes.sum()))
    tail = (1 + confidence) / 2
    below = above = error * stdtrit(freedom, tail)
    at_edge = np.sum([(np.abs(scores) > EQUAL).sum(axis=0) for scores in topics], axis=0) < FEWEST
    below, above = below.copy(), above.copy()
    for column in np.flatnonzero(at_edge):
        own = [scores[:, column] for scores in topics]
        below[column], above[column] = _edge(own, confidence)
        p[column] = max(p[column], _sign_test(own))
    if seeds > 1:
        of_seeds = seeds_error * stdtrit(seeds - 1, tail)
        below, above = np.hypot(below, of_seeds), np.hypot(above, of_seeds)
    ends = zip(*(part.tolist() for part in (value - below, value + above, p, error, freedom, seeds_error)), strict=True)
    return [
        Difference(mean, low, high, p_value, topics_error, df, of_seeds, seeds)
        for mean, (low, high, p_value, topics_error, df, of_seeds) in zip(value.tolist(), ends, strict=True)
    ]


def with_seeds(intervals: Sequence[Interval], per_seed: Floats, *, confidence: float) -> list[Interval]:
    """Widen intervals over topics, of means over seeds, by the t intervals over the seeds.

    Args:
        per_seed: the mean of each seed, of shape (seeds, columns); with one seed nothing is widened.
    """
    import numpy as np
    from scipy.special import stdtrit

    if len(per_seed) < 2:
        return list(intervals)
    halves = np.sqrt(_variance_of_mean(per_seed)) * stdtrit(len(per_seed) - 1, (1 + confidence) / 2)
    return [
        Interval(value, value - math.hypot(value - low, half), value + math.hypot(high - value, half))
        for (value, low, high), half in zip(intervals, halves.tolist(), strict=True)
    ]


def _variance_of_mean(scores: Floats) -> Floats:
    """Estimate the variance of the mean over the first axis; 0 if the values differ by rounding alone."""
    import numpy as np

    variance: Floats = scores.var(axis=0, ddof=1) / len(scores)
    variance[np.ptp(scores, axis=0) < EQUAL] = 0.0
    return variance


def _residual(stack: Floats) -> Floats:
    """Estimate what the residual of topic and seed adds to the variance of the mean.

    It is in the variance of the topics' means and in that of the seeds' means, and counts once.
    """
    seeds, topics = stack.shape[:2]
    rest = stack - stack.mean(axis=0) - stack.mean(axis=1)[:, None] + stack.mean(axis=(0, 1))
    found: Floats = (rest**2).sum(axis=(0, 1)) / ((seeds - 1) * (topics - 1)) / (seeds * topics)
    return found


def _satterthwaite(variance: Floats, weights: Floats, otherwise: float) -> Floats:
    """Return degrees of freedom of a sum of variances; ``otherwise`` if it is 0."""
    import numpy as np

    freedom: Floats = np.full_like(variance, float(otherwise))
    return np.divide(variance**2, weights, out=freedom, where=weights > 0)


def p_values(value: Floats, error: Floats, freedom: Floats, seeds_error: Floats, seeds_freedom: Floats | int) -> Floats:
    """Return the level at which the interval of each difference reaches 0; 1 if nothing varies.

    Args:
        seeds_freedom: paired seeds less one; the seeds are not counted if it is below one.
    """
    import numpy as np
    from scipy.special import stdtr, stdtrit

    value, seeds_freedom = np.abs(value), np.broadcast_to(np.asarray(seeds_freedom, dtype=float), value.shape)
    found = np.ones_like(value)
    plain = (error > 0) & ((seeds_error <= 0) | (seeds_freedom < 1))
    found[plain] = np.maximum(2 * stdtr(freedom[plain], -value[plain] / error[plain]), SMALLEST_P)
    both = (seeds_error > 0) & (seeds_freedom >= 1) & (value > 0)
    if not both.any():
        return found
    low, high = np.full(int(both.sum()), math.log(SMALLEST_P)), np.zeros(int(both.sum()))
    for _ in range(50):  # the width falls with p: bisect its logarithm
        middle = (low + high) / 2
        half = np.exp(middle) / 2
        width = np.hypot(
            error[both] * stdtrit(freedom[both], half), seeds_error[both] * stdtrit(seeds_freedom[both], half)
        )
        wide = width > value[both]
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    found[both] = np.exp(high)
    return found


def _edge(groups: Sequence[Floats], confidence: float) -> tuple[float, float]:
    """Return how far the interval of a mean difference reaches below and above it, where few topics differ."""
    import numpy as np

    size = len(groups) * min(map(len, groups))
    gains, losses = (float(np.mean([np.maximum(sign * scores, 0).mean() for scores in groups])) for sign in (1, -1))
    gain, loss = (clopper_pearson(part, size, confidence) for part in (gains, losses))
    return (
        math.hypot(gains - gain["low"], loss["high"] - losses),
        math.hypot(gain["high"] - gains, losses - loss["low"]),
    )


def _sign_test(groups: Sequence[Floats]) -> float:
    """Return the p value of the exact sign test over the topics that differ; 1 if none does."""
    from scipy.special import bdtr

    wins, losses = (sum(int((sign * scores > EQUAL).sum()) for scores in groups) for sign in (1, -1))
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))) if wins + losses else 1.0


class PairedTest(NamedTuple):
    """A against B over the same topics of one language; ``difference`` is A - B, ``p`` is not corrected."""

    topics: int
    mean_a: float
    mean_b: float
    wins: int
    ties: int
    losses: int
    p: float
    difference: float
    low: float
    high: float
    detectable: float


def paired_test(a: Floats, b: Floats, *, test: str = PROTOCOL.test, family: int = 1) -> PairedTest:
    """Test topic-level scores of one language, of shape (topics,) or (seeds, topics), two-sided.

    Args:
        test: a member of :data:`TESTS`.
        family: the number of comparisons that are corrected together, for what is detectable.

    Raises:
        DataError: fewer than two topics.
        UsageError: a test that counts topics alone, on several seeds.
    """
    return paired_tests([(a, b)], test=test, families=[family])[0]


def paired_tests(
    pairs: Sequence[tuple[Floats, Floats]], *, test: str = PROTOCOL.test, families: Sequence[int]
) -> list[PairedTest]:
    """Do :func:`paired_test` for each pair; pairs over as many topics and seeds are computed together.

    Args:
        families: the family of each pair.
    """
    import numpy as np

    gaps = [np.atleast_2d(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)) for a, b in pairs]
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, gap in enumerate(gaps):
        shapes.setdefault(gap.shape, []).append(place)
    found: dict[int, Difference] = {}
    for places in shapes.values():
        together = differences([np.stack([gaps[place] for place in places], axis=2)])
        found |= dict(zip(places, together, strict=True))
    return [_tested(*pairs[i], gaps[i], found[i], test, families[i]) for i in range(len(gaps))]


def _tested(a: Floats, b: Floats, gap: Floats, found: Difference, test: str, family: int) -> PairedTest:
    """Complete the test of one pair; ``gap`` is a - b, of shape (seeds, topics)."""
    topics = gap.mean(axis=0)
    if test != "t":
        if len(gap) > 1:
            raise UsageError(
                f"the test '{test}' counts topics alone, but there are {len(gap)} seeds", mend="use --test t"
            )
        found = found._replace(p=randomisation_p(topics) if test == "randomisation" else wilcoxon_p(topics))
    wins, losses = int((topics > EQUAL).sum()), int((topics < -EQUAL).sum())
    counts = wins, len(topics) - wins - losses, losses
    least = found.detectable(PROTOCOL.level / family)
    return PairedTest(
        len(topics), float(a.mean()), float(b.mean()), *counts, found.p, found.value, found.low, found.high, least
    )


def randomisation_p(d: Floats, *, seed: int = PROTOCOL.seed, flips: int = PROTOCOL.flips) -> float:
    """Return the p value of Fisher's randomisation test of differences, shape (topics,), two-sided.

    The signs of the differences are flipped at random. The p value counts the observed assignment among the resampled
    ones, so it is never 0 (Smucker, Allan and Carterette, CIKM 2007; Phipson and Smyth 2010).
    """
    import numpy as np

    nonzero = d[np.abs(d) > EQUAL]
    batches = -(-flips // 1000) * 1000
    extreme = int((np.abs(_flipped(nonzero, seed, batches)) >= abs(nonzero.sum()) - EQUAL).sum())
    return (extreme + 1) / (batches + 1)


def wilcoxon_p(d: Floats) -> float:
    """Return the p value of Wilcoxon's signed-rank test of differences, shape (topics,), two-sided.

    Topics without a difference are left out, as Wilcoxon did.
    """
    import numpy as np
    from scipy.stats import wilcoxon

    nonzero = d[np.abs(d) > EQUAL]
    return float(wilcoxon(nonzero).pvalue) if len(nonzero) else 1.0


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


def corrected(p_values: Sequence[float], correction: str = PROTOCOL.correction) -> list[float]:
    """Return the p values of a family, corrected by a member of :data:`CORRECTIONS`, in the order given."""
    if correction == "benjamini-hochberg":
        from scipy.stats import false_discovery_control

        return [float(p) for p in false_discovery_control(p_values)] if p_values else []
    return holm(p_values)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return step-down adjusted p values that bound the family-wise error (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, running = [0.0] * len(p_values), 0.0
    for step, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = running
    return adjusted


def starred(p: float, seeds: int | None, level: float = PROTOCOL.level) -> bool:
    """Whether a difference gets a star.

    Args:
        p: corrected.
        seeds: the paired seeds that were counted; None if neither system is trained.
    """
    return mark(p, seeds, level) == STAR


STAR, DAGGER = "*", "†"


def mark(p: float, seeds: int | None, level: float = PROTOCOL.level) -> str:
    """Return the mark of a difference, the same on the terminal and on every page.

    :data:`STAR` if it is significant. :data:`DAGGER` if it is significant over the topics, but its seeds are too few
    to be counted: these trainings differ on such topics, and trainings with other seeds may not. Nothing otherwise.

    Args:
        p: corrected.
        seeds: the paired seeds that were counted; None if neither system is trained.
    """
    if p >= level:
        return ""
    return STAR if seeds is None or seeds >= PROTOCOL.star_seeds else DAGGER


def counted(seeds: int | None) -> str:
    """Say what an inference over so many paired seeds counts, and what may be concluded from it."""
    if seeds is None:
        return "counts topics; nothing was trained, so no seed changes a score"
    if seeds == 1:
        return (
            f"counts topics alone: one training says nothing about other seeds; {DAGGER} in place of {STAR} below "
            f"{PROTOCOL.star_seeds} seeds"
        )
    if seeds < PROTOCOL.star_seeds:
        return f"counts topics and {seeds} paired seeds; {DAGGER} in place of {STAR} below {PROTOCOL.star_seeds} seeds"
    few = f"; claim nothing in words below {PROTOCOL.claim_seeds} seeds" if seeds < PROTOCOL.claim_seeds else ""
    return f"counts topics and {seeds} paired seeds{few}"
