"""Significance letters: paired tests of all pairs, Holm's correction, and Piepho's letters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mdrbench.evaluation import inference
from mdrbench.site.model import letters, significance


def p_values(*tables: np.ndarray) -> np.ndarray:
    return significance.p_values([significance.differences(table) for table in tables])


def test_p_values_are_those_of_scipy():
    rng = np.random.default_rng(1)
    table = rng.random((5, 40))
    found = p_values(table)
    for i in range(5):
        for j in range(5):
            expected = 1.0 if i == j else stats.ttest_rel(table[i], table[j]).pvalue
            assert found[i, j] == pytest.approx(expected, rel=1e-9)


def test_the_average_of_languages_is_tested_with_their_summed_variances():
    rng = np.random.default_rng(2)
    tables = [rng.random((2, n)) for n in (30, 12)]
    differences = [table[0] - table[1] for table in tables]
    parts = [d.var(ddof=1) / len(d) / 4 for d in differences]
    t = np.mean([d.mean() for d in differences]) / math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(part**2 / (len(d) - 1) for part, d in zip(parts, differences, strict=True))
    assert p_values(*tables)[0, 1] == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-9)


def test_differences_that_do_not_vary_get_the_p_value_of_the_sign_test():
    table = np.array([[0.5, 0.25], [0.5, 0.25], [0.75, 0.5]])
    assert p_values(table).tolist() == [[1, 1, 0.5], [1, 1, 0.5], [0.5, 0.5, 1]]


def test_which_pairs_differ_is_holms_correction_over_all_pairs():
    rng = np.random.default_rng(3)
    p = p_values(rng.random((6, 25)) + np.linspace(0, 0.5, 6)[:, None])
    pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    adjusted = inference.holm([p[pair] for pair in pairs])
    found = significance.corrected(p)
    assert [found[pair] for pair in pairs] == pytest.approx(adjusted)
    assert 0 < sum(found[pair] < 0.05 for pair in pairs) < len(pairs)


def test_letters_of_a_known_case():
    """A and B alike, B and C alike, A and C not; D differs from all (Piepho's chain)."""
    alike = np.eye(4, dtype=bool)
    alike[0, 1] = alike[1, 0] = alike[1, 2] = alike[2, 1] = True
    assert [letters.spelled(x) for x in letters.letter_numbers(~alike, [0, 1, 2, 3])] == ["a", "ab", "b", "c"]
    assert [letters.spelled(x) for x in letters.letter_numbers(~alike, [3, 2, 1, 0])] == ["c", "bc", "b", "a"]
    assert letters.spelled([0, 1, 2, 4]) == "a–ce"
    assert letters.spelled([25, 26]) == "za1"


@pytest.mark.parametrize("seed", range(20))
def test_two_systems_share_a_letter_exactly_when_they_do_not_differ(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 25))
    upper = np.triu(rng.random((size, size)) < rng.random(), 1)
    differing = upper | upper.T
    found = [set(groups) for groups in letters.letter_numbers(differing, rng.permutation(size).tolist())]
    shared = np.array([[bool(a & b) for b in found] for a in found])
    assert (shared == ~differing).all()
