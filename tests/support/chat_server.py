"""An endpoint of a language model on this machine: the OpenAI chat-completions protocol, with scripted replies."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from support.hub_server import Answering, serving


class Reply(dict):
    """The answer to one request.

    Keys, all optional: ``text`` of the answer, ``finish``, ``usage`` (False leaves it out); ``status`` with ``error``
    (the message), ``code`` and ``headers``; ``seconds`` to take; ``body`` in place of a completion (bytes); ``cut``
    (True breaks the connection in the middle); ``model`` and ``fingerprint`` that the answer names; ``logprobs``.
    """


class ChatServer:
    """Answers every request by ``respond(request body)``, which returns a :class:`Reply` or the text of one.

    Attributes:
        models: the models that are served and listed; None: no list (404), and every model is served.
        meta: what the list says of every model, as llama.cpp does.
        key: the key that is wanted; None: none.
        script: replies for the next requests, before ``respond`` is asked; oldest first.
        requests: the bodies of all requests for completions, as they came.
        most_at_once: the highest number of requests that were under way together.
    """

    def __init__(self, respond: Callable[[dict], Reply | str] | None = None):
        self.respond = respond or (lambda body: "")
        self.models: list[str] | None = ["tiny-chat"]
        self.meta: dict | None = None
        self.key: str | None = None
        self.script: list[Reply | str] = []
        self.requests: list[dict] = []
        self.keys: list[str | None] = []
        self.calls: Counter[str] = Counter()
        self.at: list[float] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        self.url = ""

    @contextmanager
    def running(self):
        server = self

        class Handler(_Handler):
            chat = server

        with serving(Handler) as (root,):
            self.url = f"{root}/v1"
            yield self

    @contextmanager
    def counted(self, body: dict, key: str | None):
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            self.at.append(time.monotonic())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            reply = self.script.pop(0) if self.script else None
        try:
            yield self.respond(body) if reply is None else reply
        finally:
            with self._lock:
                self._at_once -= 1


class _Handler(Answering):
    chat: ChatServer

    def do_POST(self):
        self.answer()

    def send(self, status: int, value: Any, headers: dict[str, str] | None = None, cut: bool = False):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        merged = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        for name, text in merged.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection |= cut

    def fail(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        self.send(status, {"error": {"message": message, "type": "error", "param": None, "code": code}}, headers)

    def answer(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        key = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.chat.calls[self.path] += 1
        if self.chat.key is not None and key != self.chat.key:
            return self.fail(401, "Incorrect API key provided", "invalid_api_key")
        if self.path == "/v1/models" and self.chat.models is not None:
            shared = {"object": "model", "created": 0, "owned_by": "x", "meta": self.chat.meta}
            models = [{"id": name, **shared} for name in self.chat.models]
            return self.send(200, {"object": "list", "data": models})
        if self.path != "/v1/chat/completions":
            return self.fail(404, f"no such path {self.path}")
        with self.chat.counted(body, key) as reply:
            return self.complete(body, Reply(text=reply) if isinstance(reply, str) else reply)

    def complete(self, body: dict, reply: Reply):
        time.sleep(reply.get("seconds", 0))
        if self.chat.models is not None and body["model"] not in self.chat.models:
            return self.fail(404, f"The model `{body['model']}` does not exist", "model_not_found")
        if reply.get("status", 200) != 200:
            return self.fail(reply["status"], reply.get("error", "scripted"), reply.get("code"), reply.get("headers"))
        text = reply.get("text", "")
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        completion = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": reply.get("model", body["model"]),
            "system_fingerprint": reply.get("fingerprint"),
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": reply.get("finish", "stop"),
                    "logprobs": reply.get("logprobs"),
                }
            ],
            **({"usage": usage} if reply.get("usage", True) else {}),
        }
        return self.send(200, reply.get("body", completion), reply.get("headers"), reply.get("cut", False))
