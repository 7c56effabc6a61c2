"""OpenAI's Batch API, against a server on this machine that behaves as documented."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from support.batch_server import BatchServer
from support.chat_server import Reply
from support.judging import grades, pairs, verdicts

from mdrbench.core.errors import SetupError, StepError
from mdrbench.core.members import Member
from mdrbench.core.types import Source
from mdrbench.llm import batches
from mdrbench.llm.answers import Answers


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(batches, "POLL_S", 0.0)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MDRBENCH_ANSWERS", "MDRBENCH_ANSWERS_OWNER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with BatchServer(lambda body: grades(number(body) % 3, 2)).running() as running:
        yield running


@pytest.fixture
def judge(server, tmp_path):
    common = {"name": "llm", "model": "tiny-chat", "base_url": server.url, "backoff_s": 0.01, "batch_from": 3}
    return lambda **changes: Member.of("judges", {**common, "store": str(tmp_path / "a.sqlite"), **changes}).build()


def number(body: dict) -> int:
    return int(body["messages"][1]["content"].split("Kohta ")[1].split(".")[0])


def judged(judge, count: int = 6) -> list[int | None]:
    return [judgment.grade for judgment in verdicts(judge, pairs(count))]


WANTED = [0, 1, 2, 0, 1, 2]


def test_a_batch_gives_the_answers_that_single_requests_give_under_the_same_keys(server, judge, tmp_path, capsys):
    prices = {"price_input": 10.0, "price_output": 100.0}
    asked = judge(**prices)
    assert judged(asked) == WANTED
    assert len(server.executed) == 6
    assert server.requests == []
    assert {"temperature": 0.0, "max_tokens": 64, "seed": 0}.items() <= server.executed[0].items()
    assert asked.facts() | {"requests": 6, "failed": 0, "stored": 0, "judged": 6} == asked.facts()
    assert asked.facts()["cost"] == pytest.approx(0.5 * 6 * (100 * 10 + 10 * 100) / 1e6)
    assert "batch batch_0: completed, 6 of 6 answered" in capsys.readouterr().err
    single = judge(batch_from=None)
    assert judged(single) == WANTED
    assert (server.requests, single.facts()["stored"]) == ([], 6)
    assert single.conventions() == asked.conventions()
    assert judged(judge(store=str(tmp_path / "b.sqlite"), batch_from=None)) == WANTED
    assert [body for body in server.requests if body not in server.executed] == []


def test_few_questions_are_asked_one_by_one(server, judge):
    said = iter(["what?"])
    respond = server.respond
    server.respond = lambda body: next(said, None) or respond(body)
    asked = judge(price_input=10.0, price_output=100.0)
    assert judged(asked)[1:] == WANTED[1:]
    assert (len(server.executed), len(server.requests)) == (6, 1)  # the unreadable one again
    assert asked.facts()["cost"] == pytest.approx((0.5 * 6 + 1) * (100 * 10 + 10 * 100) / 1e6)
    assert judged(judge(), 2) == WANTED[:2]
    assert asked.facts()["unreadable_answers"] == 1


@pytest.mark.parametrize("killed", ["while it waits", "before the batch is named"])
def test_a_killed_run_waits_for_the_same_batch_and_pays_once(server, judge, monkeypatch, capsys, killed):
    def kill(*words):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if killed == "while it waits":
            patched.setattr(batches.time, "sleep", kill)
        else:
            patched.setattr(Answers, "name_batch", kill)
        with pytest.raises(KeyboardInterrupt):
            judged(judge())
    assert len(server.batches) == 1
    assert judged(judge()) == WANTED
    assert (len(server.batches), len(server.executed)) == (1, 6)
    assert "batch batch_0: made by an earlier run for 6 of the questions" in capsys.readouterr().err
    with closing(Answers(Path(judge().config.store))) as answers:
        assert answers.batched([answer.key for answer in answers.all()]) == {}


def test_a_batch_that_was_never_made_is_made_by_the_next_run(server, judge, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("mdrbench.llm.completions.Endpoint.make_batch", lambda *words: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            judged(judge())
    assert server.batches == {}
    assert judged(judge()) == WANTED
    assert len(server.executed) == 6


def test_what_expired_is_asked_again_and_what_was_answered_is_paid_once(server, judge):
    server.ends = [("expired", 2), ("completed", 4)]
    asked = judge()
    assert judged(asked) == WANTED
    assert (len(server.batches), len(server.executed)) == (2, 6)
    assert asked.facts()["failed"] == 4


def test_single_lines_that_failed_are_asked_again_within_the_limit(server, judge):
    respond, seen = server.respond, Counter()

    def sometimes(body):
        seen[number(body)] += 1
        return Reply(status=500) if number(body) == 4 and seen[4] == 1 else respond(body)

    server.respond = sometimes
    assert judged(judge(max_requests=7)) == WANTED
    server.respond = lambda body: Reply(status=500) if number(body) == 4 else respond(body)
    with pytest.raises(StepError, match="1 questions have no answer after 3 batches: None: scripted"):
        judged(judge(retries=2, seed=1))
    assert [answer is not None for answer in _held(judge(seed=1))] == [True] * 4 + [False, True]


def _held(judge):
    found = [judge.chat.stored(judge._question(pair, 0, 0)) for pair in pairs(6)]
    judge.chat.answers.close()
    return found


def test_limits_are_checked_before_anything_is_uploaded(server, judge):
    with pytest.raises(StepError, match="0 requests of at most 5; 6 more requests"):
        judged(judge(max_requests=5))
    prices = {"price_input": 10.0, "price_output": 100.0}
    with pytest.raises(StepError, match=r"of at most 0\.01; 6 more requests may cost"):
        judged(judge(max_cost=0.01, **prices))
    assert (server.files, server.batches) == ({}, {})
    most = 0.5 * 6 * (3000 * 10 + 64 * 100) / 1e6
    assert judged(judge(max_cost=most, **prices)) == WANTED


def test_the_limits_of_a_file_cut_the_questions_into_several_batches(server, judge, monkeypatch):
    monkeypatch.setattr(batches, "MOST_REQUESTS", 4)
    server.most_requests = 4
    assert judged(judge()) == WANTED
    sizes = [batch["request_counts"]["total"] for batch in server.batches.values()]
    assert sizes == [4, 2]
    line = len(next(iter(server.files.values())).splitlines()[0])
    monkeypatch.setattr(batches, "MOST_BYTES", 2 * line + 50)
    server.most_bytes = 2 * line + 50
    assert judged(judge(seed=1)) == WANTED
    assert [batch["request_counts"]["total"] for batch in server.batches.values()][2:] == [2, 2, 2]


def test_ends_of_a_batch_have_clear_outcomes(server, judge):
    server.ends = [("cancelled", 2)]
    with pytest.raises(StepError, match="batch_0 was cancelled; 2 of 6 questions were answered"):
        judged(judge())
    assert judged(judge()) == WANTED
    assert len(server.executed) == 6
    server.most_requests = 1
    with pytest.raises(SetupError, match=r"refuses batch batch_2: The batch input file is too large\."):
        judged(judge(seed=1))
    server.most_requests = 10
    server.respond = lambda body: Reply(status=400, error="Unsupported value: 'seed' does not support 2")
    with pytest.raises(SetupError, match="Unsupported value") as caught:
        judged(judge(seed=2))
    assert caught.value.mend == "set seed to null, so that it is not sent"
    server.respond = lambda body: Reply(status=400, error="filtered", code="content_filter")
    assert judged(judge(seed=3)) == [None] * 6


def test_replies_that_were_lost_make_no_second_batch(server, judge):
    server.broken = ["POST batches", "GET batches", "GET files"]
    assert judged(judge()) == WANTED
    assert (len(server.batches), len(server.executed)) == (1, 6)


def test_queries_are_generated_in_batches_too(server, judge):
    server.respond = lambda body: f"Mikä on järvi numero {re.findall(r'(?:Kohta|numero) ([0-9])', str(body))[-1]}?"
    settings = judge().config.model_dump(mode="json", include={"model", "base_url", "batch_from", "store"})
    generator = Member.of("generation", {"name": "back-forward", **settings}).build()
    sources = [Source("fi", pair.qid, f"mikä on järvi {pair.qid}", pair.passage) for pair in pairs(3)]
    assert len(list(generator.generate(sources, lambda done: None))) == 3
    assert len(server.batches) >= 2  # summaries, then queries
