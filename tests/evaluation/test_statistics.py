from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mdrbench.evaluation import statistics
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.recipe.schema import Evaluation
from mdrbench.results import ablations

SETTINGS = {"confidence": PROTOCOL.confidence, "resamples": 400, "seed": 3}


def test_recipes_and_ablations_take_their_defaults_from_the_protocol():
    assert (Evaluation().confidence, Evaluation().resamples) == (PROTOCOL.confidence, PROTOCOL.resamples)
    tested = ablations.Tested().model_dump(exclude={"language_family", "average_family"})
    names = ("confidence", "resamples", "seed", "test", "correction", "star_seeds", "claim_seeds")
    assert tested == {name: getattr(PROTOCOL, name) for name in names}


def test_the_bootstrap_interval_agrees_with_scipys_percentile_interval():
    rng = np.random.default_rng(1)
    groups = [rng.beta(2, 3, 80)[:, None], rng.beta(5, 2, 40)[:, None]]
    [found] = statistics.bootstrap(groups, confidence=0.95, resamples=4000, seed=7)
    mean_of_means = stats.bootstrap(
        [g[:, 0] for g in groups],
        lambda x, y, axis=-1: (x.mean(axis=axis) + y.mean(axis=axis)) / 2,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(7),
    ).confidence_interval
    assert found.value == pytest.approx((groups[0].mean() + groups[1].mean()) / 2)
    assert (found.low, found.high) == pytest.approx((mean_of_means.low, mean_of_means.high), abs=0.004)


def test_the_bootstrap_repeats_itself_and_a_constant_has_no_width():
    groups = [np.full((30, 2), [0.25, 0.5])]
    first = statistics.bootstrap(groups, confidence=0.9, resamples=100, seed=3)
    assert first == [(0.25, 0.25, 0.25), (0.5, 0.5, 0.5)]
    noisy = [np.random.default_rng(0).random((50, 1))]
    settings = {"confidence": 0.95, "resamples": 500}
    assert statistics.bootstrap(noisy, seed=1, **settings) == statistics.bootstrap(noisy, seed=1, **settings)
    assert statistics.bootstrap(noisy, seed=1, **settings) != statistics.bootstrap(noisy, seed=2, **settings)


@pytest.mark.medium
@pytest.mark.parametrize("share", [0.98, 0.99, 0.999])
@pytest.mark.parametrize("sizes", [[100], [300], [12] * 16])
def test_intervals_cover_the_truth_near_the_edge(share, sizes):
    """Recall@100 of topics with one passage each: the plain bootstrap covers 10 to 90% here."""
    rng = np.random.default_rng(1)
    rounds = 150
    covered = 0
    for _ in range(rounds):
        groups = [(rng.random((size, 1)) < share).astype(float) for size in sizes]
        [found] = statistics.bootstrap(groups, **SETTINGS)
        covered += found.low <= share <= found.high
        assert found.low < found.high
    assert covered / rounds >= 0.93


def test_all_topics_found_gives_clopper_and_pearsons_interval():
    exact = stats.binomtest(100, 100).proportion_ci(0.95, method="exact")
    [found] = statistics.bootstrap([np.ones((100, 1))], **SETTINGS)
    assert found == pytest.approx((1.0, exact.low, 1.0))
    exact = stats.binomtest(3, 100).proportion_ci(0.95, method="exact")
    [few] = statistics.bootstrap([np.repeat([1.0, 0.0], [3, 97])[:, None]], **SETTINGS)
    assert few == pytest.approx((0.03, exact.low, exact.high))


def test_away_from_the_edge_the_interval_is_the_percentile_bootstraps():
    scores = np.random.default_rng(4).beta(3, 2, (60, 2))
    picks = np.random.default_rng(3).integers(0, 60, (400, 60))
    means = scores[picks].mean(axis=1)
    for column, found in enumerate(statistics.bootstrap([scores], **SETTINGS)):
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means[:, column], [0.025, 0.975])))
