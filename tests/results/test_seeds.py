from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy import stats
from support.project import PROJECT

from mdrbench import results
from mdrbench.evaluation import inference
from mdrbench.results import comparison, seeds
from mdrbench.results.seeds import Seeds

SAMPLE = PROJECT / "results" / "sample" / "boosted-sample.json"


def reseeded(result, seed):
    """The same result as if it had been run with another seed."""
    other = copy.deepcopy(result)
    other.system.recipe["seed"], other.system.recipe["training"]["seed"] = 42 + seed, seed
    return other


def test_results_that_differ_in_seeds_alone_are_repeats_of_one_system():
    result = results.read(SAMPLE)
    other, untrained = reseeded(result, 1), results.read(SAMPLE.with_name("bm25.json"))
    slower = copy.deepcopy(result)
    slower.system.recipe["training"]["learning_rate"] = 1e-6
    assert (seeds.of(result), seeds.of(other), seeds.of(untrained)) == (Seeds(42, 0), Seeds(43, 1), None)
    named = {"first": result, "untrained": untrained, "second": other, "slower": slower}
    assert seeds.grouped(named.items()) == [
        {Seeds(42, 0): "first", Seeds(43, 1): "second"},
        {None: "untrained"},
        {Seeds(42, 0): "slower"},
    ]


def test_repeats_are_paired_by_seed_and_what_is_not_trained_with_each():
    a = {Seeds(42, 0): "a0", Seeds(43, 1): "a1", Seeds(44, 2): "a2"}
    b = {Seeds(44, 2): "b2", Seeds(42, 0): "b0"}
    assert seeds.shared(a, b) == [("a0", "b0"), ("a2", "b2")]
    assert seeds.shared({None: "x"}, b) == [("x", "b2"), ("x", "b0")]
    assert seeds.shared(a, {None: "x"}) == [("a0", "x"), ("a1", "x"), ("a2", "x")]
    assert seeds.shared({None: "x"}, {None: "y"}) == [("x", "y")]
    assert seeds.shared({Seeds(1, 1): "a"}, b) == []


def test_all_pairs_are_tested_over_topics_and_shared_seeds():
    rng = np.random.default_rng(4)
    sizes = (30, 20)
    plain = {None: [rng.random(n) for n in sizes]}
    once = {Seeds(42, 0): [rng.random(n) for n in sizes]}
    thrice = {Seeds(42 + s, s): [rng.random(n) for n in sizes] for s in range(3)}
    found = comparison.all_pairs([plain, once, thrice])
    assert found.seeds.tolist() == [[0, 1, 3], [1, 0, 1], [3, 1, 0]]
    gaps = [np.stack([plain[None][n] - run[n] for run in thrice.values()])[..., None] for n in (0, 1)]
    assert found.p[0, 2] == found.p[2, 0] == inference.differences(gaps)[0].p
    alone = [{None: [x]} for x in (plain[None][0], once[Seeds(42, 0)][0])]
    reference = stats.ttest_rel(plain[None][0], once[Seeds(42, 0)][0]).pvalue
    assert comparison.all_pairs(alone).p[0, 1] == pytest.approx(reference)
