"""Asking a model, against a real server on this machine: order, concurrency, repetition, budget, what is paid once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.chat import ask_all, question
from support.chat_server import ChatServer, Reply
from support.project import PROJECT

from mdrbench.core.errors import SetupError, StepError
from mdrbench.llm.answers import Answers
from mdrbench.llm.chat import Chat, without_thinking
from mdrbench.llm.pace import Pace
from mdrbench.llm.settings import Settings
from mdrbench.llm.spending import Budget, bound_tokens, estimate_tokens


@pytest.fixture
def server():
    with ChatServer(lambda body: f"re: {body['messages'][0]['content']}").running() as running:
        yield running


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MDRBENCH_ANSWERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(server, tmp_path):
    def make(**changes) -> Settings:
        common = {"model": "tiny-chat", "base_url": server.url, "store": str(tmp_path / "a.sqlite"), "backoff_s": 0.01}
        return Settings(**{**common, **changes})

    return make


# -- order, concurrency, keys -----------------------------------------------------------------------------------------


def test_answers_come_in_order_and_no_more_at_once_than_allowed(server, settings):
    texts = [str(i) for i in range(40)]
    five = threading.Barrier(5)

    def respond(body):
        text = body["messages"][0]["content"]
        if int(text) < 5:
            five.wait(300)  # the first five are under way together, and no sixth
        return Reply(text=text, seconds=0.05 if int(text) % 7 == 0 else 0.005)

    server.respond = respond
    chat = Chat(settings(concurrency=5))
    assert ask_all(chat, texts) == texts
    assert server.most_at_once == 5
    assert len(server.requests) == 40
    assert chat.facts() == {
        **{"requests": 40, "stored": 0, "failed": 0, "refused": 0, "uncounted": 0},
        **{"input_tokens": 4000, "output_tokens": 400, "cost": None},
        **{"stored_cost": None, "stored_input_tokens": 0, "stored_output_tokens": 0},
        **{"served": {"tiny-chat": 40}, "fingerprints": {}, "servers": ["x"], "fewest_at_once": 5},
    }


def test_nothing_is_paid_for_twice(server, settings):
    first = ask_all(Chat(settings()), ["a", "b"])
    again = Chat(settings(concurrency=1, retries=0, timeout_s=5, price_input=1, price_output=2))
    assert ask_all(again, ["a", "b"]) == first
    assert len(server.requests) == 2
    facts = again.facts()
    assert (facts["requests"], facts["stored"], facts["cost"]) == (0, 2, 0)
    assert facts["stored_cost"] == pytest.approx((200 * 1 + 20 * 2) / 1e6)


def test_a_question_that_is_being_asked_is_waited_for(server, settings):
    server.respond = lambda body: Reply(text="x", seconds=0.1)
    assert ask_all(Chat(settings(concurrency=8)), ["same"] * 8) == ["x"] * 8
    assert len(server.requests) == 1


def test_memory_holds_a_few_items_ahead(server, settings):
    taken = []

    def items():
        for i in range(10_000):
            taken.append(i)
            yield str(i)

    chat = Chat(settings(concurrency=2))
    with closing(chat.each(lambda text: chat.ask(question(text), lambda a: None), items())) as found:
        next(found)
    assert len(taken) < 20
    assert len(server.requests) < 20


def test_what_decides_an_answer_is_in_its_key_and_nothing_else(settings):
    key = Chat(settings()).key(question("a"))
    for change in (
        {"model": "m"},
        {"temperature": 1},
        {"top_p": 0.5},
        {"max_tokens": 9},
        {"seed": 5},
        {"extra": {"k": 1}},
    ):
        assert Chat(settings(**change)).key(question("a")) != key, change
    for change in ({"text": "b"}, {"vote": 1}, {"attempt": 1}, {"response_format": {"type": "json_object"}}):
        assert Chat(settings()).key(question(**{"text": "a", **change})) != key, change
    same = {"base_url": "http://elsewhere/v1", "concurrency": 3, "retries": 0, "max_requests": 5, "timeout_s": 9}
    assert Chat(settings(**same)).key(question("a")) == key


def test_what_is_sent(server, settings):
    chat = Chat(settings(top_p=0.9, extra={"chat_template_kwargs": {"enable_thinking": False}}))
    list(chat.each(lambda q: chat.ask(q, lambda a: None), [question("a", vote=2, attempt=1)]))
    assert server.requests[0] == {
        **{"model": "tiny-chat", "messages": [{"role": "user", "content": "a"}]},
        **{"temperature": 0.0, "top_p": 0.9, "max_tokens": 512, "seed": 2001},
        "chat_template_kwargs": {"enable_thinking": False},
    }
    bare = Chat(settings(temperature=None, seed=None, max_tokens=7, length_parameter="max_completion_tokens"))
    ask_all(bare, ["b"])
    assert server.requests[1].keys() == {"model", "messages", "max_completion_tokens"}


def test_the_row_can_be_read(server, settings):
    chat = Chat(settings())
    list(chat.each(lambda q: chat.ask(q, lambda a: {"said": a.text}), [question("a")]))
    (row,) = chat.answers.all()
    assert (row.model, row.kind, row.version, row.qid, row.text) == ("tiny-chat", "test", "1", "a", "re: a")
    assert (row.parsed, row.finish, row.input_tokens, row.output_tokens) == ('{"said":"re: a"}', "stop", 100, 10)
    assert row.sampling == '{"max_tokens":512,"seed":0,"temperature":0.0}'


# -- failures ---------------------------------------------------------------------------------------------------------

TRANSIENT = {
    "500": Reply(status=500),
    "503": Reply(status=503),
    "malformed body": Reply(body=b'{"choices": [{"mess'),
    "not a completion": Reply(body=b'{"error": {"message": "overloaded"}}'),
    "html": Reply(body=b"<html>busy</html>", headers={"Content-Type": "text/html"}),
    "empty choices": Reply(body=b'{"choices": []}'),
    "broken connection": Reply(cut=True),
}


@pytest.mark.parametrize("name", [*TRANSIENT, pytest.param("slow", marks=pytest.mark.medium)])
def test_what_may_pass_is_tried_again(server, settings, name):
    server.script = [TRANSIENT.get(name) or Reply(seconds=1.6)] * 2
    chat = Chat(settings(timeout_s=0.8 if name == "slow" else 60))
    assert ask_all(chat, ["a"]) == ["re: a"]
    facts = chat.facts()
    assert (facts["requests"], facts["failed"], facts["refused"]) == (1, len(server.requests) - 1, 0)
    assert facts["failed"] == 2 or (name == "slow" and facts["failed"] > 2)  # on a slow machine all answers are slow


def test_waits_grow(server, settings, monkeypatch):
    server.script = [Reply(status=500)] * 3
    chat, waits = Chat(settings(backoff_s=0.1)), []
    monkeypatch.setattr(chat._stop, "wait", waits.append)
    ask_all(chat, ["a"])
    for wait, doubled in zip(waits, (0.1, 0.2, 0.4), strict=True):
        assert doubled / 2 <= wait <= doubled


def test_retry_after_is_honoured_by_all_threads(server, settings):
    server.script = [Reply(status=429, headers={"Retry-After": "0.5"})]
    chat = Chat(settings(concurrency=2))
    server.respond = lambda body: Reply(text="x", seconds=0.05)
    assert ask_all(chat, ["a", "b", "c", "d"]) == ["x"] * 4
    quiet = [later - earlier for earlier, later in zip(server.at, server.at[1:], strict=False)]
    assert max(quiet) > 0.35  # one other request may have been under way
    assert (chat.facts()["requests"], chat.facts()["refused"]) == (4, 1)


@pytest.mark.medium
def test_retry_after_as_a_date(server, settings):
    from email.utils import formatdate

    server.script = [Reply(status=503, headers={"Retry-After": formatdate(time.time() + 2, usegmt=True)})]
    start = time.monotonic()
    ask_all(Chat(settings()), ["a"])
    assert time.monotonic() - start > 0.9  # the date has whole seconds


def test_an_endpoint_that_stays_down_is_an_error_and_keeps_what_was_answered(server, settings):
    server.respond = lambda body: Reply(status=500, error="out of memory") if len(server.requests) > 3 else "x"
    chat = Chat(settings(concurrency=1, retries=2))
    with pytest.raises(StepError, match=r"failed 3 times in a row: HTTP 500: out of memory") as caught:
        ask_all(chat, list("abcdefgh"))
    assert "a.sqlite" in caught.value.mend
    assert len(chat.answers) == 3
    assert len(server.requests) == 6


def test_too_long_a_wait_is_an_error(server, settings):
    server.script = [Reply(status=429, headers={"Retry-After": "86400"})]
    with pytest.raises(StepError, match="asks to wait 86400 s"):
        ask_all(Chat(settings()), ["a"])


@pytest.mark.parametrize(
    ("reply", "kind", "text", "mend"),
    [
        (Reply(status=401, error="bad key"), SetupError, "HTTP 401: bad key", "api_key_env"),
        (Reply(status=404, error="no such model"), SetupError, "HTTP 404: no such model", "'tiny-chat'"),
        (Reply(status=400, error="max_tokens: use max_completion_tokens"), SetupError, "HTTP 400", "length_parameter"),
        (Reply(status=422, error="maximum context length is 4096"), SetupError, "HTTP 422", "passage_chars"),
        (Reply(status=400, error="temperature must be 1"), SetupError, "HTTP 400", "temperature to null"),
        (Reply(status=429, error="pay", code="insufficient_quota"), StepError, "HTTP 429: pay", "run out"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(server, settings, reply, kind, text, mend):
    server.script = [reply] * 9
    with pytest.raises(kind, match=text) as caught:
        ask_all(Chat(settings(concurrency=1)), ["a", "b"])
    assert mend in caught.value.mend
    assert len(server.requests) == 1


def test_one_failure_stops_the_others_and_is_the_one_that_is_raised(server, settings):
    def respond(body):
        bad = body["messages"][0]["content"] == "3"
        return Reply(status=401, error="no") if bad else Reply(text="x", seconds=0.1)

    server.respond = respond
    chat = Chat(settings(concurrency=4))
    with pytest.raises(SetupError, match="HTTP 401"):
        ask_all(chat, [str(i) for i in range(200)])
    assert len(server.requests) < 12
    assert len(chat.answers) == len(server.requests) - 1  # those under way were waited for


def test_a_filtered_prompt_is_an_answer(server, settings):
    server.script = [Reply(status=400, error="content_filter: the prompt was filtered", code="content_filter")]
    chat = Chat(settings())
    assert ask_all(chat, ["a"]) == [""]
    assert next(chat.answers.all()).finish == "content_filter"


# -- checking the endpoint --------------------------------------------------------------------------------------------


def test_prepare(server, settings):
    news: list[str] = []
    Chat(settings()).prepare(news.append)
    server.models = ["tiny-chat:latest"]
    Chat(settings()).prepare(news.append)
    assert news == []
    server.models = ["tiny-chat-2", "other"]
    with pytest.raises(SetupError, match="does not serve the model 'tiny-chat'") as caught:
        Chat(settings()).prepare(news.append)
    assert "did you mean 'tiny-chat-2'" in caught.value.mend
    server.models = None
    Chat(settings()).prepare(news.append)
    assert [text.split(" (")[0] for text in news] == [f"{server.url} did not list its models"]
    assert server.requests == []


def test_prepare_without_anybody_there(settings):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        with pytest.raises(SetupError, match=f"no answer from {url}"):
            Chat(settings(base_url=url)).prepare(print)
        Chat(settings(base_url=url, check_model=False)).prepare(print)
        Chat(settings(base_url=url, offline=True)).prepare(print)


def test_keys(server, settings, monkeypatch):
    server.key = "sk-right"
    with pytest.raises(SetupError, match="HTTP 401") as caught:
        Chat(settings()).prepare(print)
    assert "api_key_env" in caught.value.mend
    with pytest.raises(SetupError, match="MY_KEY is not set"):
        Chat(settings(api_key_env="MY_KEY")).prepare(print)
    monkeypatch.setenv("MY_KEY", "sk-right")
    chat = Chat(settings(api_key_env="MY_KEY"))
    chat.prepare(print)
    ask_all(chat, ["a"])
    assert server.keys == ["sk-right"]


def test_the_usual_key_goes_only_where_the_environment_says(server, settings, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    ask_all(Chat(settings()), ["a"])  # the address is a recipe's
    assert server.keys == ["none"]
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    ask_all(Chat(settings(base_url=None)), ["b"])
    assert server.keys == ["none", "sk-mine"]
    monkeypatch.delenv("OPENAI_API_KEY")
    ask_all(Chat(settings(base_url=None)), ["c"])  # a server of one's own, without keys
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(SetupError, match="OPENAI_API_KEY is not set"):
        Chat(settings(base_url=None)).prepare(print)


def test_offline(server, settings):
    ask_all(Chat(settings()), ["a"])
    chat = Chat(settings(offline=True))
    assert ask_all(chat, ["a"]) == ["re: a"]
    with pytest.raises(StepError, match="the store has no answer"):
        ask_all(chat, ["b"])
    assert len(server.requests) == 1


# -- budget -----------------------------------------------------------------------------------------------------------


def test_the_budget_of_requests_is_never_exceeded(server, settings):
    chat = Chat(settings(max_requests=7, concurrency=4))
    texts = [str(i) for i in range(20)]
    with pytest.raises(StepError, match="the budget ends here: 7 requests of at most 7") as caught:
        ask_all(chat, texts)
    assert "max_requests" in caught.value.mend
    assert len(server.requests) == len(chat.answers) == 7
    resumed = Chat(settings(max_requests=13))
    assert len(ask_all(resumed, texts)) == 20
    assert len(server.requests) == 20
    assert resumed.facts()["stored"] == 7


def test_one_budget_for_all_objects_of_a_process(server, settings):
    same = settings(max_requests=3)
    ask_all(Chat(same), ["a", "b"])
    with pytest.raises(StepError, match="3 requests of at most 3"):
        ask_all(Chat(same), ["c", "d"])
    assert len(server.requests) == 3


@pytest.mark.medium
def test_the_processes_of_a_run_share_its_budget(server, settings):
    script = """
import sys
from mdrbench.core.errors import StepError
from mdrbench.llm.chat import Chat
from mdrbench.llm.settings import Settings
from support.chat import ask_all
try:
    ask_all(Chat(Settings.model_validate_json(sys.argv[1])), [sys.argv[2] + str(i) for i in range(9)])
except StepError as error:
    sys.exit(str(error))
"""
    server.respond = lambda body: Reply(text="x", seconds=0.02)
    said = settings(max_requests=10, concurrency=2).model_dump_json()
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}", "MDRBENCH_RUN": "one run"}
    command = [sys.executable, "-c", script, said]
    both = [
        subprocess.Popen([*command, name], env=environment, stderr=subprocess.PIPE, text=True) for name in ("a", "b")
    ]
    told = [process.communicate()[1] for process in both]
    assert len(server.requests) == 10
    assert any("the budget ends here: 10 requests of at most 10" in text for text in told)


def test_a_request_that_a_killed_process_reserved_is_counted_as_paid(settings):
    chat = Chat(settings(max_requests=2, timeout_s=0.1))
    budget = Budget(chat.answers, "one", 2, None, None, timeout_s=0.1)
    budget._reserve(0.0, 1, 0.2)  # and is never settled
    with budget.reserved(1, 1) as reservation:
        reservation.keep()
    with pytest.raises(StepError, match="2 requests of at most 2"), budget.reserved(1, 1):
        pass


def test_the_budget_of_cost_is_never_exceeded(server, settings):
    server.respond = lambda body: Reply(text="x", seconds=0.02)
    prices = {"price_input": 1.0, "price_output": 10.0}  # an answer costs (100 + 10 * 10) / 1e6 = 0.0002
    chat = Chat(settings(max_cost=0.002, max_tokens=100, concurrency=4, **prices))  # at most 0.001018
    with pytest.raises(StepError, match=r"requests, cost 0\.00\d+ of at most 0\.002"):
        ask_all(chat, [str(i) for i in range(30)])
    bound = (bound_tokens([{"content": "30"}]) + 100 * 10) / 1e6
    spent = chat.facts()["cost"]
    assert spent == pytest.approx(len(server.requests) * 0.0002)
    assert 0.002 - bound < spent <= 0.002


def test_requests_that_may_have_been_charged_count(server, settings):
    server.script = [Reply(status=500)] * 2 + [Reply(status=429)] * 3
    chat = Chat(settings(max_requests=4, concurrency=1))
    with pytest.raises(StepError, match="4 requests of at most 4"):
        ask_all(chat, ["a", "b", "c"])
    assert len(chat.answers) == 2  # two failed, three were refused


def test_failures_may_have_cost_the_most_they_can(server, settings):
    server.respond = lambda body: Reply(status=500)
    prices = {"price_input": 1.0, "price_output": 10.0}  # at most (17 + 20 * 10) / 1e6 a request
    with pytest.raises(StepError, match=r"2 requests, cost 0\.000434 of at most 0\.0006"):
        ask_all(Chat(settings(max_cost=0.0006, max_tokens=20, concurrency=1, **prices)), ["a"])
    assert len(server.requests) == 2


def test_answers_without_a_count_are_estimated(server, settings):
    server.script = [Reply(text="y" * 400, usage=False)]
    chat = Chat(settings(price_input=1, price_output=1))
    ask_all(chat, ["x" * 800])
    facts = chat.facts()
    assert (facts["uncounted"], facts["input_tokens"], facts["output_tokens"]) == (1, 216, 116)
    assert facts["cost"] == pytest.approx(332e-6)


def test_token_estimates():
    def tokens(text):
        return estimate_tokens([{"content": text}]) - 16

    assert (tokens("four" * 10), tokens("湖" * 12), tokens("ทะเลสาบซา" * 22), tokens("")) == (10, 10, 90, 0)
    assert bound_tokens([{"content": "湖a"}]) == 20


@pytest.mark.parametrize(
    "wrong", [{"max_cost": 1}, {"price_input": 1}, {"temperature": -1}, {"api_key": "sk-1"}, {"concurrency": 0}]
)
def test_settings_that_make_no_sense(settings, wrong):
    with pytest.raises(ValidationError):
        settings(**wrong)


# -- interruption -----------------------------------------------------------------------------------------------------

SCRIPT = """
import signal, sys
from support.chat import ask_all
from mdrbench.llm.chat import Chat
from mdrbench.llm.pace import Pace
from mdrbench.llm.settings import Settings
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
chat = Chat(Settings(model="tiny-chat", base_url=sys.argv[1], store=sys.argv[2], concurrency=4))
try:
    ask_all(chat, [str(i) for i in range(60)])
except KeyboardInterrupt:
    sys.exit(130)
"""


def interrupted(server, store, how: signal.Signals) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"}
    command = [sys.executable, "-c", SCRIPT, server.url, store]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while len(server.requests) < 10 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(how)
        process.news = process.stderr.read()
        process.wait(300)
    return process


@pytest.mark.medium
def test_after_a_kill_only_the_rest_is_paid(server, settings):
    def slower_after_ten(body):  # so that the signal always finds answers under way
        return Reply(text=body["messages"][0]["content"], seconds=0.1 if len(server.requests) < 10 else 3)

    server.respond = slower_after_ten
    store = settings().store
    assert interrupted(server, store, signal.SIGKILL).returncode == -signal.SIGKILL
    server.respond = lambda body: Reply(text=body["messages"][0]["content"])
    before, kept = len(server.requests), len(Answers(Path(store)))
    assert before - 4 <= kept <= before < 20
    texts = [str(i) for i in range(60)]
    assert ask_all(Chat(settings()), texts) == texts
    assert len(server.requests) - before == 60 - kept


@pytest.mark.medium
def test_an_interrupt_keeps_all_that_was_paid_for(server, settings):
    server.respond = lambda body: Reply(text="x", seconds=0.1 if len(server.requests) < 10 else 3)
    process = interrupted(server, settings().store, signal.SIGINT)
    assert process.returncode == 130
    assert "waiting for the answers under way" in process.news
    assert len(Chat(settings()).answers) == len(server.requests) < 20


# -- reasoning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>a {} b</think>\n\nyes", "yes"),
        ("so it is</think>yes", "yes"),
        ("<think>endless", ""),
        ("<thinking>a</thinking>yes<think>b</think> no", "yes no"),
        ("yes", "yes"),
    ],
)
def test_reasoning_is_left_out(text, left):
    assert without_thinking(text) == left


# -- pace -------------------------------------------------------------------------------------------------------------


def test_the_pace_halves_after_timeouts_and_grows_again(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    pace = Pace(8, timeout_s=10)
    for lowest in (4, 2, 1):
        pace.overloaded(timed_out=True)
        pace.overloaded(timed_out=True)  # under way together with the first
        assert pace.at_once == lowest
        clock[0] += 5
    assert pace.timeout_s == 10 * 2  # alone and late twice: it may take longer
    pace.answered(30)
    assert pace.timeout_s == 80  # eight times what is set is the most
    for _ in range(40):
        pace.answered(1)
    assert (pace.at_once, pace.lowest, pace.timeout_s) == (3, 1, 20)


def test_a_server_with_one_slot_answers_all_after_the_pace_has_adapted(server, settings):
    one_at_a_time = threading.Lock()

    def respond(body):
        with one_at_a_time:
            time.sleep(0.1)
        return "fine"

    server.respond = respond
    chat = Chat(settings(concurrency=8, timeout_s=0.35, backoff_s=0.01))
    assert ask_all(chat, [str(n) for n in range(16)]) == ["fine"] * 16
    assert chat.pace.lowest < 8
