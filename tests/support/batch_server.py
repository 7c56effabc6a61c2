"""OpenAI's Batch API on this machine: files by multipart, batches whose status moves on, output in another order."""

from __future__ import annotations

import json
from contextlib import contextmanager
from email import message_from_bytes
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from support.chat_server import ChatServer, Reply, _Handler
from support.hub_server import serving

MOVES = {"validating": "in_progress", "in_progress": "finalizing"}


class BatchServer(ChatServer):
    """Also answers requests one by one, as :class:`ChatServer`.

    Attributes:
        most_requests, most_bytes: a file beyond them makes a batch ``failed``.
        ends: final statuses of the next batches, with the number of lines that are answered before.
        broken: paths on which the next call is answered with an error 500, after it was carried out.
        executed: the bodies of all lines that a model answered.
    """

    def __init__(self, respond):
        super().__init__(respond)
        self.most_requests, self.most_bytes = 50_000, 200_000_000
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.ends: list[tuple[str, int]] = []
        self.broken: list[str] = []
        self.executed: list[dict] = []

    @contextmanager
    def running(self):
        server = self

        class Handler(_Batching):
            chat = server

        with serving(Handler) as (root,):
            self.url = f"{root}/v1"
            yield self

    def keep(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def make(self, asked: dict) -> dict:
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        batch = {
            **{"id": f"batch_{len(self.batches)}", "object": "batch", "status": "validating", "created_at": 0},
            **{"output_file_id": None, "error_file_id": None, "errors": None},
            **{name: asked[name] for name in ("endpoint", "completion_window", "input_file_id", "metadata")},
        }
        content = self.files[asked["input_file_id"]]
        lines = content.splitlines()
        batch["request_counts"] = {"total": len(lines), "completed": 0, "failed": 0}
        if len(lines) > self.most_requests or len(content) > self.most_bytes:
            problem = {"code": "too_many", "message": "The batch input file is too large.", "line": None, "param": None}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [problem]}}
        self.batches[batch["id"]] = batch
        return batch

    def look(self, name: str) -> dict:
        """Move a batch on and return it."""
        batch = self.batches[name]
        if batch["status"] in MOVES:
            batch["status"] = MOVES[batch["status"]]
        elif batch["status"] == "finalizing":
            self.end(batch)
        return batch

    def end(self, batch: dict) -> None:
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        batch["status"], answered = self.ends.pop(0) if self.ends else ("completed", len(lines))
        good, bad = [], []
        for line in lines[:answered]:
            assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
            reply = self.respond(line["body"])
            reply = Reply(text=reply) if isinstance(reply, str) else reply
            status = reply.get("status", 200)
            if status == 200:
                self.executed.append(line["body"])
                body = completion(line["body"], reply)
            else:
                body = {"error": {"message": reply.get("error", "scripted"), "code": reply.get("code")}}
            response = {"status_code": status, "request_id": "r", "body": body}
            found = {"id": "b", "custom_id": line["custom_id"], "response": response, "error": None}
            (good if status == 200 else bad).append(found)
        code = {"expired": "batch_expired", "cancelled": "batch_cancelled"}.get(batch["status"])
        undone = {"code": code, "message": "This request could not be executed before the completion window expired."}
        bad += [{"id": "b", "custom_id": x["custom_id"], "response": None, "error": undone} for x in lines[answered:]]
        for name, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                batch[name] = self.keep("\n".join(json.dumps(row) for row in reversed(rows)).encode())
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}


def completion(body: dict, reply: Reply) -> dict:
    message = {"role": "assistant", "content": reply.get("text", "")}
    return {
        **{"id": "c", "object": "chat.completion", "created": 0, "model": body["model"]},
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


class _Batching(_Handler):
    chat: BatchServer

    def answer(self):
        path, _, rest = urlsplit(self.path).path.removeprefix("/v1/").partition("/")
        if path not in ("files", "batches"):
            return super().answer()
        self.chat.calls[f"{self.command} {path}"] += 1
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        value = self.carry_out(path, rest, raw)
        if f"{self.command} {path}" in self.chat.broken:
            self.chat.broken.remove(f"{self.command} {path}")
            return self.fail(HTTPStatus.INTERNAL_SERVER_ERROR, "scripted")
        if value is None:
            return self.fail(404, "no such object")
        return self.send(200, value)

    def carry_out(self, path: str, rest: str, raw: bytes):
        if path == "files" and self.command == "POST":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = {
                part.get_param("name", header="Content-Disposition"): part
                for part in message_from_bytes(head + raw).get_payload()
            }
            assert parts["purpose"].get_payload() == "batch"
            name = self.chat.keep(parts["file"].get_payload(decode=True))
            return {
                "id": name,
                "object": "file",
                "bytes": 0,
                "created_at": 0,
                "filename": "x",
                "purpose": "batch",
                "status": "processed",
            }
        if path == "files":
            return self.chat.files.get(rest.removesuffix("/content"))
        if self.command == "POST":
            return self.chat.make(json.loads(raw))
        if rest:
            return self.chat.look(rest) if rest in self.chat.batches else None
        listed = list(reversed(self.chat.batches.values()))
        after = parse_qs(urlsplit(self.path).query).get("after")
        return {"object": "list", "data": [] if after else listed, "has_more": False}
