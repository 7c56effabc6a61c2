"""The language model as a judge, against a real server on this machine: prompts, reading, votes, the store, money."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.chat_server import ChatServer, Reply
from support.judging import grades, pairs, verdicts
from support.project import PROJECT

from mdrbench.core.errors import SetupError, StepError
from mdrbench.core.members import Member
from mdrbench.core.types import Judgment, Passage
from mdrbench.llm.answers import Answers
from mdrbench.negatives.judges import llm


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MDRBENCH_ANSWERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with ChatServer(lambda body: grades(0, 1)).running() as running:
        yield running


@pytest.fixture
def settings(server, tmp_path):
    common = {"name": "llm", "model": "tiny-chat", "base_url": server.url, "backoff_s": 0.01}
    return lambda **changes: {**common, "store": str(tmp_path / "a.sqlite"), **changes}


@pytest.fixture
def judge(settings):
    return lambda **changes: Member.of("judges", settings(**changes)).build()


def number(body: dict) -> int:
    """Which of the pairs a request is about."""
    return int(re.search(r"Kohta (\d+)", body["messages"][1]["content"]).group(1))


# -- what is asked ----------------------------------------------------------------------------------------------------


def test_the_prompt_names_language_query_passage_and_reference(server, judge):
    verdicts(judge(), pairs(1))
    (body,) = server.requests
    system, user = (message["content"] for message in body["messages"])
    assert "Finnish" in system
    assert "<query>\nmikä on suurin järvi\n</query>" in user
    assert "<passage>\nJärvi\nKohta 0.\n</passage>" in user
    assert "<reference>\nSaimaa\nSaimaa on Suomen suurin järvi.\n</reference>" in user
    assert body["response_format"] == {"type": "json_object"}
    assert (body["temperature"], body["seed"]) == (0, 0)


def test_without_reference(server, judge):
    asked = judge()
    assert verdicts(asked, [pairs(1)[0]._replace(reference=None)]) == [Judgment("q0", "0#0", 0, 1)]
    assert "eference" not in server.requests[0]["messages"][1]["content"]
    assert asked.facts()["without_reference"] == 1
    verdicts(asked, pairs(1))
    assert len(server.requests) == 2  # another question


def test_braces_and_long_passages(server, judge):
    pair = pairs(1)[0]
    pair = pair._replace(query="{x} {0}", passage=Passage("1#0", "", "{" + "a" * 100))
    asked = judge(passage_chars=20)
    verdicts(asked, [pair])
    user = server.requests[0]["messages"][1]["content"]
    assert "{x} {0}" in user
    assert "<passage>\n{" + "a" * 19 + "\n</passage>" in user
    assert asked.facts()["shortened"] == 1


def test_guided_decoding(server, judge):
    verdicts(judge(response_format="json_schema"), pairs(1))
    schema = server.requests[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["accuracy"] == {"type": "integer", "enum": [0, 1, 2]}
    verdicts(judge(response_format="text"), pairs(1))
    assert "response_format" not in server.requests[1]


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"accuracy": 2, "completeness": 1}',
        '```json\n{"accuracy": 2,\n "completeness": 1}\n```',
        'It agrees. {"accuracy": "2", "completeness": 1.0, "why": {"a": 1}} Hope that helps!',
        '<think>{"accuracy": 0, "completeness": 0}?</think>{"completeness": 1, "accuracy": 2}',
        'First {"accuracy": 0, "completeness": 0}; no, {"accuracy": 2, "completeness": 1}',
        '{not json} {"accuracy": 2, "completeness": 1}',
    ],
)
def test_readable(text):
    found = llm.read_grades(text)
    assert (found.accuracy, found.completeness) == (2, 1)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2 1", "{}", "[2, 1]", '{"accuracy": 2}', '{"accuracy": 3, "completeness": 1}', "{" * 5000),
        *(
            '{"accuracy": -1, "completeness": 1}',
            '{"accuracy": 1.5, "completeness": 1}',
            '"accuracy": 2, "completeness": 1',
        ),
        *('{"accuracy": true, "completeness": 1}', '{"accuracy": null, "completeness": 1}', '{"accuracy": 2, "comple'),
        '{"accuracy": 2, "completeness": 1} {"accuracy": 7, "completeness": 1}',
        '<think>{"accuracy": 2, "completeness": 1}',
    ],
)
def test_unreadable(text):
    assert llm.read_grades(text) is None


def test_an_unreadable_answer_is_asked_for_again(server, judge):
    server.script = ["Sorry!", "{}", grades(2, 2)]
    asked = judge()
    assert verdicts(asked, pairs(1)) == [Judgment("q0", "0#0", 2, 2)]
    assert [body["seed"] for body in server.requests] == [0, 1, 2]
    said = [body["messages"][1]["content"] for body in server.requests]
    assert ["could not be read" in text for text in said] == [False, True, True]
    assert asked.facts() | {"unreadable_answers": 2, "unreadable": 0, "requests": 3} == asked.facts()


def test_what_stays_unreadable_has_no_grades_and_is_paid_once(server, judge):
    server.respond = lambda body: Reply(text='{"accuracy": 2, "co', finish="length")
    first = judge(reasks=1)
    assert verdicts(first, pairs(2)) == [Judgment("q0", "0#0", None, None), Judgment("q1", "1#0", None, None)]
    assert len(server.requests) == 4
    facts = first.facts()
    assert (facts["judged"], facts["unreadable"], facts["truncated_answers"]) == (2, 2, 4)
    again = judge(reasks=1)
    assert [judgment.grade for judgment in verdicts(again, pairs(2))] == [None, None]
    assert len(server.requests) == 4
    assert again.facts()["stored"] == 4


def test_a_filtered_pair_is_not_asked_again(server, judge):
    server.script = [Reply(status=400, error="content_filter", code="content_filter")]
    assert verdicts(judge(), pairs(2)[:1]) == [Judgment("q0", "0#0", None, None)]
    assert len(server.requests) == 1


def test_a_model_that_never_answers_readably_stops_early(server, judge):
    server.respond = lambda body: "I would say it is relevant."
    with pytest.raises(StepError, match=r"none of the last 20 items has a readable answer.*I would say") as caught:
        verdicts(judge(reasks=0, concurrency=2), pairs(200))
    assert "json_schema" in caught.value.mend
    assert len(server.requests) < 40


def test_a_model_that_answers_readably_once_stops_as_early(server, judge):
    server.script = [grades(2, 2)]
    server.respond = lambda body: "I would say it is relevant."
    with pytest.raises(StepError, match="none of the last 20 items has a readable answer"):
        verdicts(judge(reasks=0, concurrency=1), pairs(200))
    assert len(server.requests) < 40


# -- votes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([grades(0, 0), grades(2, 0), grades(2, 1)], (2, 0)),
        ([grades(0, 0), grades(1, 0), grades(2, 1)], (2, 0)),  # a tie goes to the higher grade
        ([grades(0, 2), grades(0, 1)], (0, 2)),
        ([grades(1, 1), "?", grades(0, 1)], (1, 1)),
        ([grades(1, 1), "?", "?"], (None, None)),
        ([grades(2, 2), "?"], (None, None)),
    ],
)
def test_votes(server, judge, votes, expected):
    server.script = list(votes)
    asked = judge(votes=len(votes), temperature=0.7, reasks=0)
    (found,) = verdicts(asked, pairs(1))
    assert (found.accuracy, found.completeness) == expected
    assert [body["seed"] for body in server.requests] == [1000 * i for i in range(len(votes))]


def test_votes_need_a_temperature():
    with pytest.raises(ValidationError, match="at 0 all votes are the same"):
        llm.Config(model="m", votes=3)
    assert llm.Config(model="m", votes=3, temperature=None).votes == 3


def test_more_votes_keep_those_there_are(server, judge):
    verdicts(judge(votes=2, temperature=0.7), pairs(3))
    assert judge(votes=5, temperature=0.7).estimate(pairs(3))[:2] == (9, 6)
    verdicts(judge(votes=5, temperature=0.7), pairs(3))
    assert len(server.requests) == 15


# -- many pairs -------------------------------------------------------------------------------------------------------


def test_order_concurrency_and_progress(server, judge):
    server.respond = lambda body: Reply(text=grades(number(body) % 3, 2), seconds=0.03 * (number(body) % 4 == 0))
    done: list[int] = []
    asked = judge(concurrency=6)
    found = list(asked.judge(pairs(50), done.append))
    assert found == [Judgment(f"q{i}", f"{i}#0", i % 3, 2) for i in range(50)]
    assert done == list(range(1, 51))
    assert server.most_at_once <= 6
    assert asked.facts()["grades"] == {"0": 17, "1": 17, "2": 16}
    again = judge(concurrency=1)
    assert verdicts(again, pairs(50)) == found
    assert len(server.requests) == 50
    assert (again.facts()["requests"], again.facts()["stored"]) == (0, 50)


def test_trouble_on_the_way_changes_no_verdict(server, judge):
    trouble = [Reply(status=500), Reply(status=429, headers={"Retry-After": "0.1"}), Reply(cut=True), "nonsense"]
    server.script = [*trouble, Reply(body=b"{"), *trouble]
    server.respond = lambda body: grades(number(body) % 3, 2)
    asked = judge(concurrency=3)
    assert [judgment.accuracy for judgment in verdicts(asked, pairs(12))] == [i % 3 for i in range(12)]
    facts = asked.facts()
    assert (facts["requests"], facts["failed"], facts["refused"], facts["unreadable_answers"]) == (14, 7, 2, 2)


def test_the_budget_stops_and_a_second_run_pays_the_rest(server, judge):
    with pytest.raises(StepError, match="the budget ends here: 5 requests of at most 5"):
        verdicts(judge(max_requests=5), pairs(12))
    assert len(server.requests) == 5
    assert judge().estimate(pairs(12))[:2] == (7, 5)
    assert len(verdicts(judge(max_requests=7), pairs(12))) == 12
    assert len(server.requests) == 12


def test_leaving_early_stops_asking(server, judge):
    server.respond = lambda body: Reply(text=grades(0, 0), seconds=0.05 if len(server.requests) < 4 else 1)
    with closing(judge(concurrency=2).judge(pairs(300), lambda done: None)) as found:
        next(found)
    count = len(server.requests)
    time.sleep(0.2)
    assert len(server.requests) == count < 12


SCRIPT = """
import sys
from support.judging import pairs, verdicts
from mdrbench.core.members import Member
settings = {"name": "llm", "model": "tiny-chat", "base_url": sys.argv[1], "store": sys.argv[2], "concurrency": 4}
verdicts(Member.of("judges", settings).build(), pairs(40))
"""


@pytest.mark.medium
def test_after_a_kill_only_the_rest_is_paid(server, judge, settings):
    def slower_after_ten(body):  # so that the signal finds answers under way
        return Reply(text=grades(number(body) % 3, 1), seconds=0.1 if len(server.requests) < 10 else 3)

    server.respond = slower_after_ten
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"}
    store = settings()["store"]
    with subprocess.Popen([sys.executable, "-c", SCRIPT, server.url, store], env=environment) as process:
        deadline = time.monotonic() + 300
        while len(server.requests) < 10 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    server.respond = lambda body: grades(number(body) % 3, 1)
    before, kept = len(server.requests), len(Answers(Path(store)))
    assert 10 <= before < 20
    assert before - 4 <= kept <= before
    assert [judgment.accuracy for judgment in verdicts(judge(), pairs(40))] == [i % 3 for i in range(40)]
    assert len(server.requests) - before == 40 - kept


# -- estimate, facts, conventions -------------------------------------------------------------------------------------


def test_estimate(server, judge, settings):
    prices = {"price_input": 2.0, "price_output": 8.0}
    before = judge(**prices).estimate(pairs(10))
    assert (before.requests, before.stored, before.output_tokens) == (10, 0, 200)
    assert 2500 < before.input_tokens < 5000  # about 1,100 characters of prompt a pair
    assert before.cost == pytest.approx((before.input_tokens * 2 + 200 * 8) / 1e6)
    assert server.requests == []
    verdicts(judge(), pairs(4))
    after = judge(**prices).estimate(pairs(10))
    assert (after.requests, after.stored) == (6, 4)
    assert after.output_tokens == 60  # as long as the answers in the store: 10 tokens
    assert after.input_tokens == pytest.approx(before.input_tokens * 0.6, rel=0.01)
    assert judge().estimate(pairs(10)).cost is None


def test_facts(judge):
    asked = judge(price_input=1.0, price_output=2.0)
    verdicts(asked, pairs(3))
    facts = asked.facts()
    assert facts["cost"] == pytest.approx(3 * (100 * 1 + 10 * 2) / 1e6)
    assert (facts["judged"], facts["requests"], facts["input_tokens"], facts["output_tokens"]) == (3, 3, 300, 30)
    json.dumps(facts, allow_nan=False)


def test_conventions_hold_what_decides_a_verdict(judge, settings):
    plain = judge().conventions()
    assert plain == {
        **{"judge": "llm", "prompt": "two-criteria-2", "model": "tiny-chat", "votes": 1},
        **{"temperature": 0.0, "top_p": None, "max_tokens": 64, "seed": 0, "extra": {}, "passage_chars": 8000},
        **{"reasks": 2, "response_format": "json_object"},
    }
    fields = set(llm.Config.model_fields)
    assert set(llm.LLMJudge.spec.run_only) < fields
    assert fields - {*llm.LLMJudge.spec.run_only, *llm.LLMJudge.spec.added} == set(plain) - {"judge", "prompt"}
    keyed = Member.of("judges", settings(concurrency=2, max_requests=1)).keyed
    assert keyed == Member.of("judges", settings()).keyed
    assert set(keyed) == {"name"} | fields - {*llm.LLMJudge.spec.run_only, *llm.LLMJudge.spec.added}


def test_the_store_can_be_read(judge):
    asked = judge()
    verdicts(asked, pairs(1))
    (row,) = asked.chat.answers.all()
    assert (row.lang, row.qid, row.docid, row.reference, row.kind) == ("fi", "q0", "0#0", "9#0", "judge")
    assert row.parsed == '{"accuracy":0,"completeness":1}'


def test_without_an_endpoint_the_error_names_the_choices(judge, server):
    with pytest.raises(SetupError, match="OPENAI_API_KEY is not set") as caught:
        judge(base_url=None).prepare(print)
    for choice in ("base_url", "OPENAI_BASE_URL", "cross-encoder", "answer", "replay", "none"):
        assert choice in caught.value.mend
    with pytest.raises(SetupError, match="does not serve the model 'big'"):
        judge(model="big").prepare(print)
    assert server.requests == []
    judge().prepare(print)
    assert len(server.requests) == 2  # the endpoint is tried


def test_a_recorded_store_needs_no_endpoint(server, judge, tmp_path):
    found = verdicts(judge(), pairs(5))
    judge().chat.answers.export(tmp_path / "shared.jsonl")
    other = tmp_path / "other.sqlite"
    Answers(other).merge(tmp_path / "shared.jsonl")
    replayed = judge(store=str(other), base_url="http://127.0.0.1:9/v1", offline=True)
    replayed.prepare(print)
    assert verdicts(replayed, pairs(5)) == found
    assert len(server.requests) == 5


def test_stored_answers_need_no_client(server, judge, settings):
    verdicts(judge(), pairs(4))
    script = (
        "import sys; from support.judging import pairs, verdicts; from mdrbench.core.members import Member\n"
        f"judge = Member.of('judges', {settings()!r}).build()\n"
        "assert judge.estimate(pairs(4)).stored == len(verdicts(judge, pairs(4))) == 4\n"
        "print([name for name in ('openai', 'torch', 'numpy') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(server.requests) == 4


# -- one token, examples, overlong pairs ------------------------------------------------------------------------------


def logprobs(**chances) -> dict:
    listed = [{"token": token, "logprob": math.log(chance)} for token, chance in chances.items()]
    return {"content": [{"token": "\n", "top_logprobs": []}, {"token": "x", "top_logprobs": listed}]}


def test_the_probability_of_yes_is_cut_into_grades(server, judge):
    server.script = [
        Reply(text="Yes", logprobs=logprobs(Yes=0.5, yes=0.1, no=0.2, maybe=0.2)),
        Reply(text="No", logprobs=logprobs(**{" no": 0.9, " Yes": 0.05})),
        Reply(text="so", logprobs=logprobs(so=1.0)),
    ]
    asked = judge(answer="logprob", cutoffs={"default": [0.5, 0.9], "fi": [0.5, 0.7]}, concurrency=1)
    found = verdicts(asked, pairs(3))
    assert [one.grade for one in found] == [2, 0, None]
    assert found[0].score == pytest.approx(0.75)
    assert asked.facts()["cutoffs_from"] == {"fi": "fi"}
    body = server.requests[0]
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"]) == (True, 20, 1)
    assert "response_format" not in body
    assert body["messages"][-1]["content"].endswith("Reply with one word, yes or no.")
    conventions = asked.conventions()
    assert (conventions["prompt"], conventions["answer"]) == ("yes-no-1", "logprob")
    assert [one.score for one in verdicts(judge(answer="logprob", concurrency=1, offline=True), pairs(2))] == [
        one.score for one in found[:2]
    ]
    with pytest.raises(ValidationError, match="votes above 1 need answer: grades"):
        judge(answer="logprob", votes=3, temperature=1.0)
    with pytest.raises(ValidationError, match="need the key `default`"):
        judge(answer="logprob", cutoffs={"fi": [0.5, 0.7]})


def test_examples_are_shown_before_the_question_and_are_part_of_the_key(server, judge):
    example = {"query": "mikä", "passage": "tämä", "accuracy": 2, "completeness": 1}
    asked = judge(examples=[example])
    verdicts(asked, pairs(1))
    roles = [message["role"] for message in server.requests[0]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert server.requests[0]["messages"][2]["content"] == '{"accuracy": 2, "completeness": 1}'
    assert "<query>\nmikä\n</query>" in server.requests[0]["messages"][1]["content"]
    assert asked.conventions()["examples"] == [{**example, "reference": None}]
    assert "examples" not in judge().conventions()


def test_a_pair_that_does_not_fit_the_context_is_shortened_and_said_so(server, judge, capsys):
    def respond(body):
        if len(body["messages"][1]["content"]) > 3000:
            return Reply(status=400, error="the request exceeds the available context size, try increasing it")
        return grades(2, 1)

    server.respond = respond
    pair = pairs(1)[0]
    long = pair._replace(passage=Passage("1#0", "", "sana " * 1000))
    asked = judge()
    assert [one.grade for one in verdicts(asked, [pair, long])] == [1, 1]
    assert asked.facts()["shortened_to_fit"] == 1
    assert "fi q0: the passages do not fit the model's context; 34% is shown" in capsys.readouterr().err
    assert server.requests[-1]["messages"][1]["content"].count("sana") < 400
    before = len(server.requests)
    verdicts(judge(offline=True), [long])  # what did not fit is stored too
    assert len(server.requests) == before
    huge = pair._replace(query="sana " * 1000)
    with pytest.raises(StepError, match="do not fit the context"):
        verdicts(judge(), [huge])


def test_counts_of_a_single_pair_are_numbers(server, judge):
    server.script = ["Sorry!"]
    asked = judge(concurrency=1)
    verdicts(asked, [pairs(1)[0]._replace(reference=None)])
    assert json.loads(json.dumps(asked.facts()), parse_int=str) == asked.facts() | {
        name: _as_text(value) for name, value in asked.facts().items()
    }


def _as_text(value):
    """Whole numbers as text; a truth value would stay one."""
    if isinstance(value, dict):
        return {name: _as_text(one) for name, one in value.items()}
    return str(value) if type(value) is int else value
