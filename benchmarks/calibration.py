"""How often are two systems told apart that do not differ? A table of tests, spreads of seeds and numbers of seeds.

Run: python benchmarks/calibration.py [--rounds 4000]

Two trained systems are simulated that are equally good: paired seeds differ by chance, by an amount that all languages
share and one of each language, and topics differ by chance, with heavy tails. The languages have as many topics as bn,
fi and te of wiki16. The spreads are those of docs/experiments.md. A test should find a difference in 5% of rounds.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import stdtrit

from mdrbench.evaluation import inference

TOPICS = (71, 202, 212)
SPREADS = ((0.0, 0.0), (0.01, 0.005), (0.018, 0.01), (0.025, 0.015))
"""Standard deviations of the differences of paired seeds: shared by all languages, and of each language."""
TOPIC, RESIDUAL = 0.2, 0.15
"""Standard deviation of topics' differences, and of what a seed changes on a single topic."""
COLUMNS = (
    "topics alone, bootstrap",
    "topics alone, t",
    "two-way bootstrap",
    "Welch and Satterthwaite",
    "mdrbench",
)


def simulate(rng: np.random.Generator, seeds: int, shared: float, own: float) -> list[np.ndarray]:
    """Draw the differences of two equal systems in each language, shape (seeds, topics)."""
    average = rng.normal(0, shared, (seeds, 1))
    return [
        average
        + rng.normal(0, own, (seeds, 1))
        + TOPIC * rng.standard_t(4, topics) / np.sqrt(2)
        + RESIDUAL * rng.standard_t(4, (seeds, topics)) / np.sqrt(2)
        for topics in TOPICS
    ]


def bootstrap(
    rng: np.random.Generator, groups: list[np.ndarray], *, resample_seeds: bool, resamples: int = 400
) -> bool:
    """Return whether the percentile interval of the average leaves out 0."""
    seeds = len(groups[0])
    weights = np.full((resamples, seeds), 1 / seeds)
    if resample_seeds:
        weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
    total = np.zeros(resamples)
    for group in groups:
        picks = rng.integers(0, group.shape[1], (resamples, group.shape[1]))
        total += np.take_along_axis(weights @ group, picks, axis=1).mean(axis=1)
    low, high = np.quantile(total, [0.025, 0.975])
    return bool(low > 0 or high < 0)


def satterthwaite(found: inference.Difference) -> bool:
    """Return whether the usual approximation for a sum of two variances finds a difference."""
    parts = [(found.topics_error**2, found.freedom), (found.seeds_error**2, found.seeds - 1)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / df for part, df in parts if df)
    return bool(abs(found.value) > np.sqrt(variance) * stdtrit(freedom, 0.975))


def measure(seeds: int, shared: float, own: float, rounds: int) -> list[float]:
    """Return the share of rounds in which each column finds a difference, in percent."""
    rng = np.random.default_rng([seeds, round(1e4 * shared)])
    found = np.zeros(len(COLUMNS))
    for _ in range(rounds):
        groups = simulate(rng, seeds, shared, own)
        [alone] = inference.differences([group.mean(axis=0)[:, None] for group in groups])
        [both] = inference.differences([group[..., None] for group in groups])
        found += [
            bootstrap(rng, groups, resample_seeds=False),
            alone.p < 0.05,
            bootstrap(rng, groups, resample_seeds=True),
            satterthwaite(both),
            both.p < 0.05,
        ]
    return (100 * found / rounds).tolist()


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    print("| seeds | spread of paired seeds: shared, of a language | " + " | ".join(COLUMNS) + " |")
    print("|---" * (2 + len(COLUMNS)) + "|")
    for seeds in (3, 5, 10):
        for shared, own in SPREADS:
            row = " | ".join(f"{share:.1f}" for share in measure(seeds, shared, own, rounds))
            print(f"| {seeds} | {shared:g}, {own:g} | {row} |", flush=True)


if __name__ == "__main__":
    main()
