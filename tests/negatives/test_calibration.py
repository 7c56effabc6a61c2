"""Cut-offs by kappa, on pairs that people judged."""

from __future__ import annotations

import pytest
import yaml

from mdrbench.core.errors import UsageError
from mdrbench.core.members import Member
from mdrbench.negatives import calibration
from mdrbench.negatives.calibration import Scored


def scored(relevant: int, others: int, border: float) -> list[Scored]:
    """Relevant pairs score above the border, others below, but for one of either kind."""
    high = [Scored(border + 0.1 + n / 1000, True) for n in range(relevant - 1)]
    low = [Scored(border - 0.1 - n / 1000, False) for n in range(others - 1)]
    return [*high, *low, Scored(border - 0.05, True), Scored(border + 0.05, False)]


def test_each_language_gets_its_own_cut_off_if_it_has_enough_zeros():
    chosen = calibration.choose({"fi": scored(60, 60, 0.5), "ar": scored(60, 60, 0.8), "th": scored(10, 5, 0.2)})
    assert list(chosen) == ["default", "fi", "ar"]
    assert 0.4 <= chosen["fi"].cutoff <= 0.6
    assert 0.7 <= chosen["ar"].cutoff <= 0.9
    assert chosen["fi"].kappa == pytest.approx(1 - 2 / 120, abs=0.01)
    assert (chosen["fi"].pairs, chosen["fi"].zeros, chosen["default"].zeros) == (120, 60, 125)
    assert chosen["default"].taken_by == ["th"]


def test_the_yaml_is_what_a_judge_takes():
    text = calibration.as_yaml(calibration.choose({"fi": scored(60, 60, 0.5), "th": scored(10, 5, 0.2)}))
    assert "taken by th" in text
    cutoffs = yaml.safe_load(text)["cutoffs"]
    judge = Member.of("judges", {"name": "llm", "model": "x", "answer": "logprob", "cutoffs": cutoffs})
    assert set(judge.config.cutoffs) == {"default", "fi"}


def test_without_scores_of_both_kinds_there_is_nothing_to_choose_on():
    with pytest.raises(UsageError, match="no scores of both"):
        calibration.choose({"fi": [Scored(0.5, True)]})
    with pytest.raises(UsageError, match="no scores of both"):
        calibration.choose({"fi": []})
