"""A fast part of benchmarks/attack.py: the whole of it takes half an hour (docs/trust.md has its figures)."""

from __future__ import annotations

import random
import sys

import pytest
from support.project import PROJECT

sys.path.insert(0, str(PROJECT / "benchmarks"))
import attack
import attack_inputs

pytestmark = pytest.mark.medium


def test_every_edit_of_a_stored_file_is_noticed(capsys):
    assert attack.edits(40, random.Random(1)) == []
    assert "edits: 40 of 40 noticed" in capsys.readouterr().out


def test_every_forged_number_is_noticed_though_the_seal_was_computed_again():
    assert attack.forged(3, random.Random(2)) == []


@pytest.mark.slow
def test_writers_that_meet_lose_nothing():
    assert attack.writers(2, random.Random(3), trained=False) == []


@pytest.mark.slow
def test_a_killed_command_leaves_no_trace_after_the_next_one():
    assert attack.kills(4, random.Random(4), trained=False) == []


@pytest.mark.parametrize(
    "hostile", [one for one in attack_inputs.INPUTS if "result" in one.name], ids=lambda one: one.name
)
def test_a_hostile_result_ends_with_its_exit_code(hostile, tmp_path):
    done = attack.run(tmp_path, *hostile.make(tmp_path))
    assert done.returncode == hostile.code, done.stderr
    assert "Traceback" not in done.stderr
