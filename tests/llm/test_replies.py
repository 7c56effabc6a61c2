"""What an endpoint may send: too much, broken characters, parts, another model, and our own key."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.chat import ask_all, question
from support.chat_server import ChatServer, Reply
from support.hub_server import Answering, serving

from mdrbench.core.errors import MdrbenchError, SetupError, StepError
from mdrbench.llm import replies
from mdrbench.llm.answers import Answers
from mdrbench.llm.chat import Chat
from mdrbench.llm.settings import Settings

KEY = "sk-proj/very+secret=0123456789"


@pytest.fixture
def server():
    with ChatServer(lambda body: "fine").running() as running:
        yield running


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MDRBENCH_ANSWERS", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(server, tmp_path):
    def make(**changes) -> Settings:
        common = {"model": "tiny-chat", "base_url": server.url, "store": str(tmp_path / "a.sqlite"), "backoff_s": 0.01}
        return Settings(**{**common, **changes})

    return make


def completed(content: object, **more: object) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    return json.dumps(
        {"id": "1", "object": "chat.completion", "model": "tiny-chat", "choices": [choice], **more}
    ).encode()


def stored(settings: Settings) -> list:
    return list(Answers(Path(settings.store)).all())


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_an_endpoint_that_echoes_the_key_does_not_put_it_into_our_error(server, settings, monkeypatch, status):
    monkeypatch.setenv("MY_ENDPOINT", KEY)
    server.respond = lambda body: Reply(status=status, error=f"{'x' * 385} Authorization: Bearer {server.keys[-1]}")
    with pytest.raises(MdrbenchError) as caught:
        ask_all(Chat(settings(api_key_env="MY_ENDPOINT", retries=0)), ["a"])
    assert server.keys == [KEY]
    assert f"HTTP {status}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "sk-proj" not in str(caught.value)


def test_a_key_in_an_answer_is_not_stored(server, settings, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_ENDPOINT", KEY)
    server.respond = lambda body: Reply(text=f"your key is {server.keys[-1]}", model=f"m {server.keys[-1]}")
    assert ask_all(Chat(settings(api_key_env="MY_ENDPOINT")), ["a"]) == ["your key is ***"]
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("a.sqlite*"))


def test_a_body_that_is_no_completion_and_holds_the_key_is_told_without_it(server, settings, monkeypatch):
    monkeypatch.setenv("MY_ENDPOINT", KEY)
    for body in (json.dumps({"echo": KEY}).encode(), f"not json {KEY}".encode()):
        server.script = [Reply(body=body)]
        with pytest.raises(StepError, match="the answer is not") as caught:
            ask_all(Chat(settings(api_key_env="MY_ENDPOINT", retries=0)), ["a"])
        assert KEY not in str(caught.value)


def test_user_and_password_of_an_address_are_used_but_not_told(server, settings):
    address = server.url.replace("http://", "http://me:hunter22@")
    assert ask_all(Chat(settings(base_url=address)), ["a"]) == ["fine"]
    server.respond = lambda body: Reply(status=404, error=f"nothing at {address}")
    with pytest.raises(SetupError) as caught:
        ask_all(Chat(settings(base_url=address)), ["b"])
    assert "hunter22" not in str(caught.value)
    assert "http://***@127.0.0.1" in str(caught.value)


# -- what is sent back ------------------------------------------------------------------------------------------------


def test_an_answer_that_is_too_long_counts_as_empty_and_is_not_stored_whole(server, settings):
    for size, body in ((replies.LONGEST_TEXT + 1, "text"), (replies.LARGEST_BODY, "body")):
        server.script = [Reply(text="x" * size)]
        assert ask_all(Chat(settings()), [body]) == [""]
    assert [(answer.text, answer.finish) for answer in stored(settings())] == [("", replies.OVERSIZED)] * 2
    assert Path(settings().store).stat().st_size < 100_000


def test_half_a_surrogate_pair_counts_as_empty(server, settings):
    server.script = [Reply(body=completed("a \ud83d b")), Reply(body=completed("mto \U0001f600"))]
    chat = Chat(settings(concurrency=1))
    assert ask_all(chat, ["a", "b"]) == ["", "mto \U0001f600"]
    assert {answer.finish for answer in stored(settings())} == {replies.MALFORMED, "stop"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "two "}, {"type": "text", "text": "parts"}], "two parts"),
        ([{"type": "reasoning", "summary": []}, {"type": "text", "text": "one"}, "two"], "onetwo"),
        (None, ""),
        (3, ""),
    ],
)
def test_content_that_comes_as_parts_is_read(server, settings, content, text):
    server.script = [Reply(body=completed(content))]
    assert ask_all(Chat(settings()), ["a"]) == [text]


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": 10**30, "completion_tokens": 1},
        {},
        [],
        "3",
        None,
    ],
)
def test_tokens_that_are_no_count_are_estimated(server, settings, usage):
    server.script = [Reply(body=completed("x", usage=usage))]
    chat = Chat(settings())
    assert ask_all(chat, ["a"]) == ["x"]
    assert chat.facts()["uncounted"] == 1
    assert chat.facts()["input_tokens"] > 0


@pytest.mark.parametrize("body", [b"[" * 200_000, b"[]", b"{}", b'{"choices": [3]}', b"\xff"])
def test_a_garbled_body_is_tried_again(server, settings, body):
    server.script = [Reply(body=body)]
    chat = Chat(settings())
    assert ask_all(chat, ["a"]) == ["fine"]
    assert chat.facts()["failed"] == 1


# -- who answers ------------------------------------------------------------------------------------------------------


def test_answers_of_another_model_behind_the_same_name_are_not_mixed(server, settings, capsys):
    ask_all(Chat(settings()), ["a", "b"])
    assert capsys.readouterr().err == ""
    server.respond = lambda body: Reply(text="2", model="smollm2-1.7b")
    with pytest.raises(
        StepError, match=r"'tiny-chat' was answered by two models: tiny-chat, and smollm2-1\.7b"
    ) as caught:
        ask_all(Chat(settings(concurrency=1)), ["a", "b", "c", "d"])
    assert caught.value.mend.startswith("say whose answers you mean: served: 'tiny-chat' or served: 'smollm2-1.7b'")
    assert len(server.requests) == 3  # one answer showed it
    with pytest.raises(StepError, match="by two models"):
        ask_all(Chat(settings()), ["a"])
    other = Chat(settings(served="smollm2-1.7b"))
    assert ask_all(other, ["a", "b", "c"]) == ["2", "2", "2"]
    assert len(server.requests) == 5  # the answer that showed it is used
    assert other.facts()["served"] == {"smollm2-1.7b": 3}
    first = Chat(settings(served="tiny-chat", offline=True))
    assert ask_all(first, ["a", "b"]) == ["fine", "fine"]
    assert other.conventions()["served"] == "smollm2-1.7b"
    assert "served" not in Chat(settings()).conventions()
    with pytest.raises(StepError, match=r"two models: tiny-chat, and smollm2-1\.7b"):
        ask_all(Chat(settings(served="tiny-chat")), ["d"])


def test_facts_of_the_list_of_models_tell_models_of_one_name_apart(server, settings, capsys):
    server.meta = {"n_params": 134515008, "size": 96}
    server.respond = lambda body: Reply(text="x", fingerprint="b1")
    chat = Chat(settings())
    ask_all(chat, ["a"])
    assert chat.facts()["served"] == {"tiny-chat (n_params 134515008, size 96)": 1}
    assert (chat.facts()["fingerprints"], chat.facts()["servers"]) == ({"b1": 1}, ["x"])
    ask_all(Chat(settings(check_model=False)), ["b"])  # nothing is known of who answers: it may be the same
    server.respond = lambda body: Reply(text="x", fingerprint="b2")
    ask_all(Chat(settings()), ["c"])
    assert "tiny-chat: system_fingerprint b2 is new; before: b1" in capsys.readouterr().err
    server.meta = {"n_params": 134515008, "size": 270}
    with pytest.raises(StepError, match=r"size 96\), and tiny-chat \(n_params 134515008, size 270\)"):
        ask_all(Chat(settings()), ["d"])


def test_a_recipe_names_the_file_of_a_local_model_and_the_path_is_sent(server, settings):
    server.models = ["/home/me/models/tiny.gguf"]
    chat = Chat(settings(model="tiny.gguf"))
    chat.prepare(print)
    ask_all(chat, ["a"])
    assert server.requests[0]["model"] == "/home/me/models/tiny.gguf"
    assert chat.facts()["served"] == {"tiny.gguf": 1}
    with pytest.raises(ValidationError, match=r"give the file's name alone: tiny\.gguf"):
        settings(model="/home/me/models/tiny.gguf")
    with pytest.raises(SetupError, match="does not serve the model 'other'") as caught:
        Chat(settings(model="other")).prepare(print)
    assert "/home/me" not in str(caught.value)


def test_the_path_of_a_local_model_is_not_kept(server, settings):
    server.respond = lambda body: Reply(text="x", model="/home/me/models/tiny.gguf")
    ask_all(Chat(settings()), ["a"])
    assert [answer.served for answer in stored(settings())] == ["tiny.gguf"]


# -- a proxy in front of a local endpoint -----------------------------------------------------------------------------


class BadGateway(Answering):
    """A proxy that cannot reach this machine's own network."""

    def answer(self):
        self.send_error(502)

    do_POST = Answering.do_GET


@pytest.mark.parametrize("check", [True, False])
def test_a_proxy_in_front_of_a_local_endpoint_is_named(server, settings, monkeypatch, check):
    def ask() -> list[str]:
        chat = Chat(settings(check_model=check))
        chat.prepare(print)
        return ask_all(chat, ["a"])

    with serving(BadGateway) as (proxy,):
        monkeypatch.setenv("http_proxy", proxy.replace("http://", "http://me:hunter22@"))
        with pytest.raises(SetupError, match=r"no answer from http://127\.0\.0\.1") as caught:
            ask()
        assert caught.value.mend.endswith(": export NO_PROXY=127.0.0.1")
        assert "hunter22" not in str(caught.value)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert ask() == ["fine"]


def test_the_store_takes_every_answer_that_was_read(server, settings):
    server.script = [Reply(body=completed("x", model="a\ud83d" + "b" * 5000))]
    ask_all(Chat(settings()), ["a"])
    [answer] = stored(settings())
    assert answer.served == "a?" + "b" * 198
    with closing(sqlite3.connect(settings().store)) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (1,)
    assert Chat(settings()).stored(question("a")) == answer
