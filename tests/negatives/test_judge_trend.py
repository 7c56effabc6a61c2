"""The first verdicts of a judge are watched: a judge that knows nothing is named while it works."""

from __future__ import annotations

import pytest

from mdrbench.core.types import Judgment, Negative, Passage, TrainingGroup
from mdrbench.negatives.groups import Judging, Keep, everything


class Constant:
    reference = "ignored"

    def __init__(self, grades):
        self.grades = grades

    def judge(self, pairs, progress):
        for number, pair in enumerate(pairs):
            grade = self.grades[number % len(self.grades)]
            yield Judgment(pair.qid, pair.passage.docid, grade, grade)


@pytest.mark.parametrize(
    ("grades", "said"),
    [
        ([0], "sw: none of the first 200 verdicts is above 0; does the judge work?\n"),
        ([2], "sw: the judge drops 200 of the first 200 candidates; does it work?\n"),
        ([0, 2, 1], "sw: the judge drops 133 of the first 200 candidates; does it work?\n"),
        ([0, 0, 2], ""),
        ([None], "sw: none of the first 200 verdicts is above 0; does the judge work?\n"),
    ],
)
def test_verdicts_that_say_nothing_are_told_once(capsys, grades, said):
    passages = {f"{n}#0": Passage(f"{n}#0", "", "x") for n in range(500)}
    group = TrainingGroup("q", ("p",), tuple(Negative(docid, 1.0, "mined", False) for docid in passages))
    judging = Judging(Constant(grades), "sw", {"q": "x"}, passages, False, Keep("irrelevant", "keep"))
    assert len(judging.ask(everything([group]), lambda done: None)["q"]) == 500
    assert capsys.readouterr().err == said
