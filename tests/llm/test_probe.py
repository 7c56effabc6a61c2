"""What an endpoint can do is tried before it is asked thousands of times; nothing is changed, settings are named."""

from __future__ import annotations

import pytest
from support.chat_server import ChatServer, Reply
from support.judging import grades, pairs, verdicts

from mdrbench.core.errors import SetupError
from mdrbench.core.members import Member


@pytest.fixture
def server():
    with ChatServer(lambda body: grades(2, 2)).running() as running:
        yield running


@pytest.fixture
def judge(server, tmp_path):
    common = {"name": "llm", "model": "tiny-chat", "base_url": server.url, "store": str(tmp_path / "a.sqlite")}
    return lambda **changes: Member.of("judges", {**common, **changes}).build()


def test_a_good_endpoint_is_tried_once_and_nothing_is_said(server, judge):
    notes = []
    judge().prepare(notes.append)
    assert len(server.requests) == 2  # a pair, and a greeting in the same form
    judge().prepare(notes.append)
    assert (len(server.requests), notes) == (2, [])
    judge(offline=True).prepare(notes.append)
    judge(check_model=False, response_format="text").prepare(notes.append)
    assert len(server.requests) == 2


def test_a_form_that_does_not_work_is_named_with_one_that_does(server, judge):
    def respond(body):
        schema = body.get("response_format", {}).get("type") == "json_schema"
        return grades(2, 2) if schema else "I think it is fine."

    server.respond = respond
    with pytest.raises(SetupError, match="no readable answer in the form") as caught:
        judge().prepare(print)
    assert caught.value.mend == "set response_format: json_schema, which works here"
    judge(response_format="json_schema").prepare(print)


def test_a_form_that_is_ignored_is_told(server, judge):
    server.respond = lambda body: grades(1, 1) if "Saimaa" in str(body) else "Hello!"
    notes = []
    judge().prepare(notes.append)
    assert "ignores response_format json_object" in notes[0]


def test_too_few_tokens_and_no_readable_form_at_all(server, judge):
    server.respond = lambda body: Reply(text="Let me think", finish="length")
    with pytest.raises(SetupError, match="had not finished after 64 tokens") as caught:
        judge().prepare(print)
    assert "raise max_tokens" in caught.value.mend
    server.respond = lambda body: "no idea"
    notes = []
    judge(max_tokens=65).prepare(notes.append)
    assert "unreadable in every form: 'no idea'" in notes[0]


def test_log_probabilities_that_are_not_given(server, judge):
    server.respond = lambda body: "yes"
    with pytest.raises(SetupError, match="gives no log probabilities") as caught:
        judge(answer="logprob").prepare(print)
    assert "answer: grades" in caught.value.mend


def test_time_and_context_are_told(server, judge):
    server.meta = {"n_ctx": 4096}
    server.respond = lambda body: Reply(text=grades(2, 2), seconds=0.2)
    notes = []
    judge(timeout_s=1.0).prepare(notes.append)
    assert any("Lower concurrency or raise timeout_s" in note for note in notes)
    assert any("the context has 4096 tokens" in note and "passage_chars (8000)" in note for note in notes)
    assert verdicts(judge(), pairs(1))[0].grade == 2
