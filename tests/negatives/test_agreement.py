"""Judge against qrels, held against scikit-learn."""

from __future__ import annotations

import random

import pytest

from mdrbench.core.errors import UsageError
from mdrbench.core.types import Judgment
from mdrbench.negatives.agreement import Agreement, agreement, pooled

QRELS = {"q1": {"a": 1, "b": 0, "c": 1, "d": 0}, "q2": {"a": 2, "b": 0}}


def test_the_table_by_hand():
    judgments = [
        Judgment("q1", "a", 2, 1),  # both
        Judgment("q1", "b", 1, 1),  # judge only
        Judgment("q1", "c", 2, 0),  # qrels only: the lower grade counts
        Judgment("q1", "d", None, None),  # unreadable
        Judgment("q2", "a", 2, 2),  # both
        Judgment("q2", "b", 0, 0),  # neither
        Judgment("q2", "z", 2, 2),  # not in the qrels
        Judgment("q3", "a", None, None),  # not in the qrels either
    ]
    found = agreement(judgments, QRELS)
    assert found == Agreement(both=2, judge_only=1, qrels_only=1, neither=1, unreadable=1, unjudged=2)
    assert found.as_dict() == {
        **{"n": 5, "both": 2, "judge_only": 1, "qrels_only": 1, "neither": 1, "unreadable": 1, "unjudged": 2},
        **{"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "accuracy": 3 / 5, "kappa": pytest.approx(1 / 6)},
    }
    strict = agreement(judgments, QRELS, threshold=2)
    assert strict[:4] == (1, 0, 2, 2)


@pytest.mark.parametrize("seed", range(20))
def test_ratios_are_scikit_learns(seed):
    from sklearn import metrics

    chance = random.Random(seed)
    grades = [(chance.randint(0, 2), chance.randint(0, 2), chance.randint(0, 1)) for _ in range(chance.randint(30, 90))]
    judgments = [Judgment("q", str(i), a, c) for i, (a, c, _) in enumerate(grades)]
    found = agreement(judgments, {"q": {str(i): grade for i, (_, _, grade) in enumerate(grades)}})
    truth, said = [grade for *_, grade in grades], [int(min(a, c) >= 1) for a, c, _ in grades]
    assert found.precision == pytest.approx(metrics.precision_score(truth, said), abs=1e-12)
    assert found.recall == pytest.approx(metrics.recall_score(truth, said), abs=1e-12)
    assert found.f1 == pytest.approx(metrics.f1_score(truth, said), abs=1e-12)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, said), abs=1e-12)
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(truth, said), abs=1e-12)


def test_what_is_undefined_is_none_and_not_zero():
    nothing = agreement([], QRELS)
    assert nothing.n == 0
    assert {nothing.precision, nothing.recall, nothing.f1, nothing.accuracy, nothing.kappa} == {None}
    all_irrelevant = agreement([Judgment("q1", "b", 0, 0), Judgment("q1", "d", 0, 1)], QRELS)
    assert (all_irrelevant.accuracy, all_irrelevant.precision, all_irrelevant.recall) == (1.0, None, None)
    assert all_irrelevant.kappa is None  # both are constant: chance explains all


def test_languages_are_pooled_by_their_pairs():
    assert pooled([Agreement(1, 2, 3, 4, 5, 6), Agreement(10, 0, 0, 0, 0, 1)]) == Agreement(11, 2, 3, 4, 5, 7)
    assert pooled([]).n == 0


def test_a_threshold_that_is_no_grade_is_refused():
    with pytest.raises(UsageError, match="no threshold 0"):
        agreement([], QRELS, threshold=0)
