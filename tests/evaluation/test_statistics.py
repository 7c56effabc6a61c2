from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mdrbench.core.errors import DataError
from mdrbench.evaluation import statistics
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.recipe.schema import Evaluation
from mdrbench.results import ablations

SETTINGS = {"confidence": PROTOCOL.confidence, "resamples": 400, "seed": 3}


def test_recipes_and_ablations_take_their_defaults_from_the_protocol():
    assert (Evaluation().confidence, Evaluation().resamples) == (PROTOCOL.confidence, PROTOCOL.resamples)
    assert ablations.Tested().model_dump() == {
        "confidence": PROTOCOL.confidence,
        "resamples": PROTOCOL.resamples,
        "randomisations": PROTOCOL.flips,
        "seed": PROTOCOL.seed,
    }


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


def test_paired_tests_agree_with_scipy():
    rng = np.random.default_rng(5)
    a = np.round(rng.random(40), 1)
    b = np.clip(a + np.round(rng.normal(0.05, 0.15, 40), 1), 0, 1)
    found = statistics.paired_test(a, b, seed=1, resamples=20_000)
    assert found.p_t == pytest.approx(stats.ttest_rel(a, b).pvalue)
    reference = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", n_resamples=20_000,
        vectorized=True, rng=np.random.default_rng(2),
    ).pvalue  # fmt: skip
    assert found.p_randomisation == pytest.approx(reference, abs=0.01)
    assert (found.wins, found.ties, found.losses) == (int((a > b).sum()), int((a == b).sum()), int((a < b).sum()))
    assert found.difference == pytest.approx(found.mean_a - found.mean_b)


def test_identical_systems_do_not_differ():
    scores = np.array([0.1, 0.5, 0.9])
    found = statistics.paired_test(scores, scores, seed=0, resamples=1000)
    assert (found.p_t, found.p_randomisation, found.ties) == (1.0, 1.0, 3)


def test_holm_on_a_worked_example():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]


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


@pytest.mark.parametrize("sizes", [[100], [12] * 16])
def test_intervals_of_differences_cover_the_truth_where_few_topics_change(sizes):
    rng = np.random.default_rng(2)
    rounds = 150
    covered = 0
    for _ in range(rounds):
        changes = [rng.random((size, 1)) for size in sizes]
        groups = [(change < 0.02).astype(float) - (change > 0.99) for change in changes]
        [found] = statistics.bootstrap_differences(groups, **SETTINGS)
        covered += found.low <= 0.01 <= found.high
    assert covered / rounds >= 0.93


def test_systems_that_never_differed_get_an_interval_with_a_width():
    [found] = statistics.bootstrap_differences([np.zeros((100, 1))], **SETTINGS)
    assert found.value == 0
    assert found.low == -found.high
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))  # no change among 100 topics: Clopper and Pearson


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


@pytest.mark.parametrize(("topics", "p"), [(2, 0.5), (3, 0.25), (11, 2**-10)])
def test_a_constant_difference_gets_the_p_value_of_the_sign_test(topics, p):
    a = np.full(topics, 0.3) + np.linspace(0, 0.5, topics)
    found = statistics.paired_test(a, a - 0.1, seed=1, resamples=1000)  # equal but for rounding
    assert found.p_t == pytest.approx(p)
    assert found.p_t == pytest.approx(stats.binomtest(topics, topics).pvalue)
    assert found.p_randomisation >= p / 2


def test_one_topic_cannot_be_tested():
    with pytest.raises(DataError, match="a paired test needs two topics, but there are 1"):
        statistics.paired_test(np.ones(1), np.zeros(1))
