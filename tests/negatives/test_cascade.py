"""A cheap judge before a strong one: who decides, what was saved, and how far they agree."""

from __future__ import annotations

import pytest
from support.chat_server import ChatServer
from support.judging import grades, pairs, verdicts

from mdrbench.core.members import Member
from mdrbench.core.types import Judgment
from mdrbench.negatives.judges import cascade

CHEAP = (0, 0, 1, 2, None, 0)


class Scripted:
    """Gives recorded grades and scores, and remembers what it was asked."""

    reference = "ignored"

    def __init__(self, found: dict[str, tuple[int | None, float | None]]):
        self.found, self.asked = found, []

    def judge(self, asked, progress):
        for number, pair in enumerate(asked, 1):
            self.asked.append(pair.qid)
            grade, score = self.found[pair.qid]
            progress(number)
            yield Judgment(pair.qid, pair.passage.docid, grade, grade, score)

    def facts(self):
        return {"cost": 0.5 * len(self.asked), "stored_cost": 0.0}


def built(monkeypatch, **settings):
    none = {"name": "none"}
    judge = Member.of("judges", {"name": "cascade", "cheap": none, "strong": none, **settings}).build()
    cheap = Scripted({f"q{n}": (grade, n / 10) for n, grade in enumerate(CHEAP)})
    strong = Scripted({f"q{n}": (0, None) for n in range(5)} | {"q3": (2, None), "q5": (1, None)})
    monkeypatch.setattr(cascade.Cascade, "cheap", cheap)
    monkeypatch.setattr(cascade.Cascade, "strong", strong)
    return judge, cheap, strong


def test_the_strong_judge_decides_what_the_cheap_one_would_drop_or_cannot_read(monkeypatch):
    judge, cheap, strong = built(monkeypatch)
    assert [one.grade for one in verdicts(judge, pairs(6))] == [0, 0, 0, 2, 0, 0]
    assert len(cheap.asked) == 6
    assert strong.asked == ["q2", "q3", "q4"]
    facts = judge.facts()
    assert (facts["spared"], facts["asked_strong"], facts["saved_cost"]) == (3, 3, 1.5)
    assert facts["agreement"] == {"1/0": 1, "2/2": 1, "unreadable/0": 1}
    assert facts["grades"] == {"0": 5, "1": 0, "2": 1}


def test_doubtful_scores_and_the_grade_from_which_the_strong_judge_decides(monkeypatch):
    judge, _, strong = built(monkeypatch, from_grade=2, doubts=[0.45, 1.0])
    assert [one.grade for one in verdicts(judge, pairs(6))] == [0, 0, 1, 2, 0, 1]
    assert strong.asked == ["q3", "q4", "q5"]


@pytest.mark.medium
def test_two_real_judges(tmp_path):
    with ChatServer(lambda body: grades(2, 2)).running() as server:
        model = {"name": "llm", "base_url": server.url, "price_input": 1.0, "price_output": 1.0}
        folder = tmp_path / "answers"
        folder.mkdir()
        (folder / "answers-fi-train.tsv").write_text("q0\tKohta 0\nq1\tSaimaa\n", encoding="utf-8")
        strong = {**model, "model": "tiny-chat", "store": str(tmp_path / "a.sqlite"), "check_model": False}
        settings = {"name": "cascade", "cheap": {"name": "answer", "folder": str(folder)}, "strong": strong}
        judge = Member.of("judges", settings).build()
        judge.prepare(print)
        assert judge.estimate(pairs(2)).requests == 2
        assert [one.grade for one in verdicts(judge, pairs(2))] == [2, 0]
        assert len(server.requests) == 1
        facts = judge.facts()
        assert facts["saved_cost"] == pytest.approx(110 / 1e6)
        assert (facts["strong"]["requests"], facts["agreement"]) == (1, {"2/2": 1})
        assert judge.conventions()["strong"]["model"] == "tiny-chat"
        assert "base_url" not in str(Member.of("judges", settings).keyed)
        assert judge.reference == "shown"
        assert judge.holds(pairs(1)[0])
