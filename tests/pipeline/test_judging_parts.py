"""Judging in parts: the bits of one process, one store of answers for all workers, one limit, nothing paid twice."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing, nullcontext

import pytest
from support.chat_server import ChatServer, Reply
from support.judging import grades
from support.workers import Processes, Threads

from mdrbench import recipe
from mdrbench.core.members import Member
from mdrbench.core.store import Store
from mdrbench.data.access import open_dataset
from mdrbench.llm.answers import Answers
from mdrbench.negatives.judges import together
from mdrbench.pipeline import coordinator, runner
from mdrbench.pipeline.plan import steps
from mdrbench.pipeline.plan.negatives import plan_negatives

RECIPE = """
summary: drawn passages, judged by a language model
retriever: bm25
negatives:
  mining: {{name: random, k: 5}}
  judge: {{name: llm, model: tiny-chat, base_url: "{url}", backoff_s: 0.01, concurrency: 2, timeout_s: 2}}
  canaries: {{below: continue}}
  size: 5
"""
PAIRS = 12 * 5


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MDRBENCH_ANSWERS_OWNER", "")
    monkeypatch.delenv("MDRBENCH_ANSWERS", raising=False)
    monkeypatch.setattr(steps, "QUERIES", 5)
    monkeypatch.setattr(coordinator, "POLL_S", 0.02)


@pytest.fixture
def server():
    def verdict(body):
        return Reply(text=grades(len(str(body["messages"])) % 3, 1), seconds=running.pause)

    running = ChatServer(verdict)
    running.pause = 0.0
    with running.running():
        yield running


@pytest.fixture
def plan_of(server, tmp_path):
    def make(store, *changes):
        path = tmp_path / "r.yaml"
        path.write_text(RECIPE.format(url=server.url))
        return plan_negatives(recipe.load(str(path), list(changes)), open_dataset("sample"), "sw", store)

    return make


def run(plan, store, executor, targets=()):
    wanted = list(targets) or [plan.groups]
    outcome = runner.run(plan.steps, wanted, store, executor, lambda planned: nullcontext(lambda event: None))
    return outcome.failures


def content(store, plan):
    return {name: row["sha256"] for name, row in store.find(*plan.groups.ref).manifest["files"].items()}


@pytest.mark.medium
def test_two_workers_on_parts_write_what_one_process_writes(server, plan_of, tmp_path):
    alone, together_ = Store(tmp_path / "alone"), Store(tmp_path / "together")
    plan = plan_of(alone)
    assert plan.groups.stage == "judge"
    assert run(plan, alone, Member.of("executors", {"name": "local"}).build()) == {}
    asked = len(server.requests)
    os.replace(tmp_path / "cache" / "answers.sqlite", tmp_path / "first.sqlite")
    assert run(plan, together_, Threads(tmp_path / "queue")) == {}
    assert content(alone, plan) == content(together_, plan)
    assert sorted(content(alone, plan)) == ["groups.jsonl.gz", "judgments.jsonl.gz"]
    facts = [store.find(*plan.groups.ref).facts for store in (alone, together_)]
    assert facts[0]["judge"]["requests"] == PAIRS
    guesses = [one.pop("guess") for one in facts]  # parts know the length of earlier answers
    assert [guess["requests"] for guess in guesses] == [PAIRS] * 2
    assert facts[0] == facts[1]
    assert len(server.requests) == 2 * asked
    with closing(Answers(tmp_path / "cache" / "answers.sqlite")) as answers:
        assert len(answers) == asked


def test_the_size_of_parts_is_in_the_key_unless_an_endpoint_judges(tmp_path, monkeypatch):
    def keys(judge):
        path = tmp_path / "r.yaml"
        path.write_text(f"summary: s\nretriever: bm25\nnegatives: {{mining: {{name: random}}, judge: {judge}}}\n")
        loaded, found = recipe.load(str(path), []), []
        for size in (500, 5):
            monkeypatch.setattr(steps, "QUERIES", size)
            plan = plan_negatives(loaded, open_dataset("sample"), "sw", Store(tmp_path / "store"))
            [step] = [step for step in plan.steps if step.stage == "judge"]
            assert {**step.params, **step.run_only}["window"] == size
            found.append(step.key)
        return found

    assert len(set(keys("{name: replay}"))) == 2
    assert len(set(keys("{name: llm, model: m}"))) == 1


@pytest.mark.medium
def test_a_killed_worker_costs_what_was_under_way_and_the_limit_holds_for_all(server, plan_of, tmp_path):
    def judged():
        return [str(body["messages"]) for body in server.requests]

    store = Store(tmp_path / "store")
    plan = plan_of(store)
    assert run(plan, store, Member.of("executors", {"name": "local"}).build(), plan.steps[:-1]) == {}
    plan = plan_of(store, "negatives.judge.max_requests=40")
    trial, server.pause = len(judged()), 0.1
    variables = {"MDRBENCH_PART_QUERIES": "5"}
    limited = Processes(tmp_path / "queue", lambda: len(judged()) >= trial + 10, **variables)
    (failure,) = run(plan, store, limited).values()
    assert "the budget ends here: 40 requests of at most 40" in str(failure)
    assert limited.processes[0].returncode == -9
    assert trial + 30 < len(judged()) <= trial + 40
    server.pause = 0.0
    assert run(plan_of(store), store, Threads(tmp_path / "queue")) == {}
    repeated = Counter(judged())
    assert len(repeated) == trial + PAIRS
    assert len(judged()) - len(repeated) <= 2  # those under way at the death
    assert store.find(*plan.groups.ref).facts["judge"]["judged"] == PAIRS


def test_facts_of_parts_are_merged():
    least = {"fewest_at_once": 4, "batch_tokens": 9}
    one = {"requests": 3, "cost": 0.5, **least, "served": {"a": 2}, "servers": ["x"], "device": "cpu"}
    two = {"requests": 1, "cost": None, "fewest_at_once": 8, "batch_tokens": 9, "served": {"b": 1}, "servers": ["w"]}
    two |= {"device": "cuda"}
    assert together([one, two]) == {
        **{"requests": 4, "cost": 0.5, **least, "served": {"a": 2, "b": 1}},
        **{"servers": ["w", "x"], "device": "cpu, cuda"},
    }
    assert together([{"cost": None}, {"cost": None}]) == {"cost": None}
