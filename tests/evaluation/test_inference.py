from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mdrbench.core.errors import DataError, UsageError
from mdrbench.evaluation import inference, power


def one(groups):
    [found] = inference.differences([group[..., None] for group in groups])
    return found


def test_without_seeds_it_is_the_paired_t_test_and_its_interval():
    rng = np.random.default_rng(5)
    a = rng.random(40)
    b = np.clip(a + rng.normal(0.05, 0.15, 40), 0, 1)
    found = inference.paired_test(a, b)
    reference = stats.ttest_rel(a, b)
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.wins, found.ties, found.losses) == (int((a > b).sum()), 0, int((a < b).sum()))
    assert found.difference == pytest.approx(found.mean_a - found.mean_b)


def test_the_average_over_languages_is_welchs_test_of_two_samples():
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.02, 0.3, 60), rng.normal(-0.05, 0.1, 25)
    found = one([x, y])  # (mean x + mean y) / 2, so the test of x against -y
    welch = stats.ttest_ind(x, -y, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    assert found.freedom == pytest.approx(welch.df)
    assert found.value == pytest.approx((x.mean() + y.mean()) / 2)


def test_where_only_the_seeds_differ_it_is_the_t_test_over_the_seeds():
    per_seed = np.array([0.01, 0.03, 0.05, 0.02])
    found = one([np.repeat(per_seed[:, None], 50, axis=1), np.repeat(per_seed[:, None], 30, axis=1)])
    reference = stats.ttest_1samp(per_seed, 0)
    assert found.p == pytest.approx(reference.pvalue)
    assert found.seeds_spread == pytest.approx(per_seed.std(ddof=1))
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))


def test_the_interval_adds_the_squares_of_both_half_widths_and_p_is_where_it_reaches_0():
    rng = np.random.default_rng(8)
    scores = rng.normal(0.03, 0.2, (1, 80)) + rng.normal(0, 0.01, (3, 1)) + rng.normal(0, 0.05, (3, 80))
    found = one([scores])
    topics, per_seed = scores.mean(axis=0), scores.mean(axis=1)
    rest = scores - topics - per_seed[:, None] + scores.mean()
    residual = (rest**2).sum() / (2 * 79) / (3 * 80)
    errors = [math.sqrt(stats.sem(topics) ** 2 - residual), stats.sem(per_seed)]
    halves = [error * stats.t.ppf(0.975, df) for error, df in zip(errors, (79, 2), strict=True)]
    assert found.high - found.value == pytest.approx(math.hypot(*halves))
    [again] = inference.differences([scores[..., None]], confidence=1 - found.p)
    assert min(abs(again.low), abs(again.high)) < 1e-9


SPREADS = [(0.0, 0.0), (0.012, 0.008), (0.025, 0.015)]
"""Standard deviations of the paired seeds' differences that all languages share, and of those of each language."""


@pytest.mark.parametrize(("shared", "own"), SPREADS)
@pytest.mark.parametrize("seeds", [3, 5])
def test_systems_that_do_not_differ_are_starred_in_at_most_the_nominal_share(seeds, shared, own):
    """The spreads are those of trainings of six layers on bn, fi and te; topics differ by 0.2, with heavy tails."""
    rng, rounds = np.random.default_rng(seeds), 1500
    average = rng.normal(0, shared, (seeds, 1, rounds))
    groups = [
        average
        + rng.normal(0, own, (seeds, 1, rounds))
        + 0.2 * rng.standard_t(4, (1, topics, rounds)) / math.sqrt(2)
        + 0.1 * rng.normal(0, 1, (seeds, topics, rounds))
        for topics in (24, 60, 66)
    ]
    by_both = np.mean([found.p < 0.05 for found in inference.differences(groups)])
    assert 0.01 <= by_both <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / rounds)
    by_topics = np.mean([found.p < 0.05 for found in inference.differences([g.mean(axis=0) for g in groups])])
    assert by_topics > 0.1 or shared < 0.02  # what counting topics alone gives


def test_the_detectable_difference_is_found_with_the_power_it_states():
    rng, rounds, seeds = np.random.default_rng(1), 800, 5
    noise = rng.normal(0, 0.2, (1, 150, rounds)) + rng.normal(0, 0.01, (seeds, 1, rounds))
    least = inference.detectable(0.2 / math.sqrt(150), 149, 0.01 / math.sqrt(seeds), seeds - 1)
    found = np.mean([one.p < 0.05 for one in inference.differences([noise + least])])
    assert 0.74 <= found <= 0.92


def test_seeds_needed_grow_with_the_spread_and_are_none_where_topics_are_too_few():
    found = inference.Difference(0.02, 0, 0.04, 0.2, topics_error=0.004, freedom=500, seeds_error=0.01, seeds=3)
    needed = found.seeds_needed()
    assert needed is not None
    spread = found.seeds_spread / math.sqrt(needed)
    assert inference.detectable(0.004, 500, spread, needed - 1) <= 0.02
    assert found._replace(seeds_error=0.02).seeds_needed() > needed
    assert found._replace(topics_error=0.02).seeds_needed() is None


@pytest.mark.parametrize("sizes", [[100], [12] * 16])
def test_intervals_cover_the_truth_where_few_topics_change(sizes):
    rng, rounds = np.random.default_rng(2), 150
    covered = 0
    for _ in range(rounds):
        changes = [rng.random((size, 1)) for size in sizes]
        [found] = inference.differences([(change < 0.02).astype(float) - (change > 0.99) for change in changes])
        covered += found.low <= 0.01 <= found.high
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    assert covered / rounds >= 0.93


def test_systems_that_never_differed_get_an_interval_with_a_width():
    found = one([np.zeros(100)])
    assert (found.value, found.p) == (0, 1)
    assert found.low == -found.high
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))  # no change among 100 topics: Clopper and Pearson


@pytest.mark.parametrize(("topics", "p"), [(5, 2**-4), (11, 2**-10)])
def test_a_constant_difference_gets_the_p_value_of_the_sign_test(topics, p):
    a = np.full(topics, 0.3) + np.linspace(0, 0.5, topics)
    assert inference.paired_test(a, a - 0.1).p == pytest.approx(p)  # equal but for rounding


def test_the_tests_over_topics_agree_with_scipy():
    rng = np.random.default_rng(5)
    a = np.round(rng.random(40), 1)
    b = np.clip(a + np.round(rng.normal(0.05, 0.15, 40), 1), 0, 1)
    reference = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", n_resamples=20_000,
        vectorized=True, rng=np.random.default_rng(2),
    ).pvalue  # fmt: skip
    assert inference.paired_test(a, b, test="randomisation").p == pytest.approx(reference, abs=0.01)
    moved = (np.round(a - b, 1))[np.round(a - b, 1) != 0]
    assert inference.wilcoxon_p(np.round(a - b, 1)) == pytest.approx(stats.wilcoxon(moved).pvalue)
    assert inference.wilcoxon_p(np.zeros(9)) == inference.randomisation_p(np.zeros(9), flips=1000) == 1


def test_a_test_over_topics_refuses_several_seeds_and_one_topic_cannot_be_tested():
    with pytest.raises(UsageError, match="counts topics alone, but there are 3 seeds"):
        inference.paired_test(np.ones((3, 8)), np.zeros((3, 8)), test="wilcoxon")
    with pytest.raises(DataError, match="a paired test needs two topics, but there are 1"):
        inference.paired_test(np.ones(1), np.zeros(1))


def test_corrections_on_worked_examples():
    assert inference.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert inference.holm([0.6, 0.7]) == [1.0, 1.0]
    assert inference.corrected([0.01, 0.04, 0.03, 0.005], "benjamini-hochberg") == pytest.approx(
        [0.02, 0.04, 0.04, 0.02]
    )
    assert inference.corrected([], "benjamini-hochberg") == inference.corrected([]) == []


def test_a_star_needs_three_seeds_of_what_is_trained():
    stars = {seeds: inference.starred(0.001, seeds) for seeds in (None, 1, 2, 3, 5)}
    assert stars == {None: True, 1: False, 2: False, 3: True, 5: True}
    assert not inference.starred(0.05, None)
    assert "† in place of * below 3 seeds" in inference.counted(1)
    assert "claim nothing in words below 5" in inference.counted(3)
    assert inference.counted(5) == "counts topics and 5 paired seeds"


def test_power_before_a_run_agrees_with_the_test_and_grows_with_topics_and_seeds():
    rows = power.plan({"bn": 71, "te": 212}, 3, power.Spread(topics=0.2, seeds=0.02))
    assert rows["bn"].alone == pytest.approx(inference.detectable(0.2 / math.sqrt(71), 70, 0.02 / math.sqrt(3), 2))
    assert rows["te"].alone < rows["te"].corrected < rows["bn"].corrected
    assert rows["average"].alone < rows["bn"].alone
    more = power.plan({"bn": 71, "te": 212}, 10, power.Spread(topics=0.2, seeds=0.02))
    assert all(more[lang].alone < rows[lang].alone for lang in rows)
    with pytest.raises(UsageError, match="one seed says nothing about other seeds"):
        power.plan({"bn": 71}, 1, power.Spread())
