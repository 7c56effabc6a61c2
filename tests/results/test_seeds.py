from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy import stats
from support.project import PROJECT

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.results import seeds, training_check
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
    same = seeds.identity(result)
    assert [seeds.identity(each) == same for each in (other, untrained, slower)] == [True, False, False]


def test_a_repeat_of_a_newer_mdrbench_records_more_settings():
    result = results.read(SAMPLE)
    older, changed = copy.deepcopy(result), copy.deepcopy(result)
    del older.system.recipe["negatives"]["canaries"], older.system.recipe["negatives"]["round_trip"]
    older.system.recipe["retriever"]["encoder"] = {
        key: value for key, value in result.system.recipe["retriever"]["encoder"].items() if value is not None
    }
    changed.system.recipe["negatives"]["round_trip"] = 10
    assert seeds.identity(older) == seeds.identity(reseeded(result, 1))
    assert seeds.identity(changed) != seeds.identity(result)


def test_a_system_of_a_member_that_is_not_here_has_repeats_too():
    result = results.read(SAMPLE)
    result.system.recipe["training"]["sampler"]["name"] = "of-somebody-else"
    other = copy.deepcopy(result)
    other.system.recipe["training"]["sampler"]["name"] = "another"
    assert seeds.identity(reseeded(result, 1)) == seeds.identity(result) != seeds.identity(other)


def test_a_repeat_of_a_newer_mdrbench_records_settings_that_are_not_set():
    result = results.read(SAMPLE)
    newer = reseeded(result, 1)
    newer.system.recipe["retriever"]["encoder"]["came_later"] = None
    assert seeds.identity(newer) == seeds.identity(result)
    newer.system.recipe["retriever"]["encoder"]["came_later"] = 0
    assert seeds.identity(newer) != seeds.identity(result)


def test_repeats_are_paired_by_seed_and_what_is_not_trained_with_each():
    a = {Seeds(42, 0): "a0", Seeds(43, 1): "a1", Seeds(44, 2): "a2"}
    b = {Seeds(44, 2): "b2", Seeds(42, 0): "b0"}
    assert seeds.shared(a, b) == [("a0", "b0"), ("a2", "b2")]
    assert seeds.shared({None: "x"}, b) == [("x", "b2"), ("x", "b0")]
    assert seeds.shared(a, {None: "x"}) == [("a0", "x"), ("a1", "x"), ("a2", "x")]
    assert seeds.shared({None: "x"}, {None: "y"}) == [("x", "y")]
    assert seeds.shared({Seeds(1, 1): "a"}, b) == []


def trainings(root, averages, steps=4):
    """Results of one recipe with other seeds, whose scores of two languages are set."""
    paths = []
    for seed, score in enumerate(averages):
        result = reseeded(results.read(SAMPLE), seed)
        result.languages = {lang: result.languages[lang] for lang in ("fi", "sw")}
        for lang in ("fi", "sw"):
            result.languages[lang].scores["nDCG@10"].value = score
        for training in result.trainings.values():
            training.facts["steps"] = steps
        result.averages = []
        folder = root / "sample" / ("variants" if seed else "")
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(folder / (f"boosted-sample-{seed}.json" if seed else "boosted-sample.json"))
        paths[-1].write_text(results.dump(result))
    return paths


def test_a_training_is_checked_against_the_spread_of_reference_trainings(tmp_path, cli):
    reference, *_ = trainings(tmp_path / "reference", [0.50, 0.52, 0.51, 0.53])
    [_, _, _, _, good] = trainings(tmp_path / "good", [0, 0, 0, 0, 0.52])
    [_, _, _, _, bad] = trainings(tmp_path / "bad", [0, 0, 0, 0, 0.40])
    [_, _, _, _, short] = trainings(tmp_path / "short", [0, 0, 0, 0, 0.52], steps=2)
    known = np.array([0.50, 0.52, 0.51, 0.53])
    half = stats.t.ppf(0.975, 3) * known.std(ddof=1) * np.sqrt(1 + 1 / 4)
    found = training_check.check(good, reference, "nDCG@10")
    assert (found.seeds, found.steps, found.expected, found.passed) == (4, 4, [4], True)
    assert [score.place for score in found.scores] == ["average", "fi", "sw"]
    assert (found.scores[0].low, found.scores[0].high) == pytest.approx((known.mean() - half, known.mean() + half))
    assert not training_check.check(bad, reference, "nDCG@10").passed
    assert not training_check.check(short, reference, "nDCG@10").passed
    with pytest.raises(DataError, match="has 1 reference trainings"):
        training_check.check(good, trainings(tmp_path / "one", [0.5])[0], "nDCG@10")
    done = cli("compare", str(bad), str(reference), "--as-training")
    assert done.returncode == 6
    assert "FAILED: not as the reference trainings" in done.stdout
