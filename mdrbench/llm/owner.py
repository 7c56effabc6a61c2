"""One process owns the stores of answers of a run; workers, also on other machines, ask it over HTTP.

SQLite's files cannot be shared by several machines: WAL does not work on network file systems. So the process that
coordinates a run serves its stores, and every worker looks up, stores and reserves through it. A limit is counted in
one place, and an answer is in the store before anybody else can ask for it.

A call is a POST of JSON to ``/METHOD`` with the token of the run; nothing else is answered, and no code is sent. If the
owner has gone when an answer arrives, the worker writes the answer to a file in the cache, gives its part back, and
whoever opens the store next takes the answer from there: it is paid for.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mdrbench.core import store
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.console import say
from mdrbench.core.errors import DataError, MdrbenchError, SetupError, StepError
from mdrbench.core.secrets import is_this_machine, remember
from mdrbench.llm.answers import Answer, Answers, Identity, Means, Spent

OWNER = "MDRBENCH_ANSWERS_OWNER"
"""The variable that tells a worker who owns the stores: host, port and token."""

SERVED = (
    *("get", "put", "reserve", "settle", "identities", "fingerprints", "means", "take_late"),
    *("put_batch", "name_batch", "batched", "drop_batched"),
)

PATIENCE_S = 10.0
"""Seconds for which a call is tried again before the owner counts as gone."""

ANSWER_S = 90.0
"""Seconds that a call may take: a store waits as long for other processes that write."""


class OwnerLostError(StepError):
    """The process that owns the answers does not answer any more."""


def open_answers(path: Path) -> Answers:
    """Open a store: through its owner in a worker of a run, else the file itself."""
    owner = os.environ.get(OWNER)
    if owner:
        return OwnedAnswers(path.absolute(), owner)
    answers = Answers(path)
    _take_late(answers)
    return answers


# -- the owner ---------------------------------------------------------------------------------------------------------


@contextmanager
def owning(*, elsewhere: bool) -> Iterator[dict[str, str]]:
    """Serve stores of answers to workers while the block runs; yield the variables that workers need.

    Args:
        elsewhere: whether workers may be on other machines; else, and if ``MDRBENCH_HOST`` is this machine's loopback,
            only this machine can connect.
    """
    token = secrets.token_urlsafe(24)
    remember(token)
    host = (os.environ.get("MDRBENCH_HOST") or socket.gethostname()) if elsewhere else "127.0.0.1"
    server = _Server((host if is_this_machine(host) else "", 0), token)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield {OWNER: f"{host} {server.server_address[1]} {token}"}
    finally:
        server.closed = True
        server.shutdown()
        server.server_close()
        for one in server.stores.values():
            one.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], token: str):
        self.token = token
        self.stores: dict[str, OwnStore] = {}
        self.closed = False
        self._guard = threading.Lock()
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up."""

    def called(self, method: str, path: str, arguments: list[Any]) -> Any:
        with self._guard:
            found = self.stores.setdefault(path, OwnStore(Path(path)))
        return getattr(found, method)(*arguments)


class OwnStore(Answers):
    """A store as its owner has it: calls come as JSON."""

    def put(self, answer: Answer) -> Answer:
        """Store an answer that came as a list."""
        return super().put(Answer(*answer))

    def take_late(self) -> int:
        """Take the answers that workers wrote to files because there was no owner; return how many there were."""
        with self._lock:  # all workers of a run ask for it when they begin
            return _take_late(self)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *words: Any) -> None:
        """Nothing on standard error."""

    def do_POST(self) -> None:
        """Answer a call: its value, or the error that it raised. Nothing is read from a caller without the token."""
        method = self.path.removeprefix("/")
        if self.server.closed:  # the connection is older than the end of the run
            self.close_connection = True
        elif not self._is_worker():
            self.close_connection = True
            self._send(401, None)  # what a stranger sent is not read
        elif method not in SERVED:
            self.close_connection = True
            self._send(404, None)
        else:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            try:
                found = self.server.called(method, asked["store"], asked["arguments"])
            except MdrbenchError as error:
                self._send(500, [type(error).__name__, error.message, error.where, error.mend])
            except Exception as error:  # the worker would take silence for an owner that has gone
                self._send(500, ["StepError", f"{type(error).__name__}: {error}", asked["store"], "report this"])
            else:
                self._send(200, found)

    def _is_worker(self) -> bool:
        given = (self.headers.get("Authorization") or "").encode("utf-8", "replace")
        return hmac.compare_digest(given, f"Bearer {self.server.token}".encode())

    def _send(self, status: int, value: Any) -> None:
        body = json.dumps(value, default=list).encode()  # a set is sent as a list
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _late(path: Path) -> Path:
    """The folder of the answers to a store that came when there was no owner."""
    return store.default_root() / "late-answers" / hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]


def _take_late(answers: Answers) -> int:
    """Add the answers that came when there was no owner to their store; return how many there were."""
    found = sorted(_late(answers.path).glob("*.jsonl"))
    for path in found:
        try:
            answers.merge(path)
        except DataError:
            if path.exists():  # else another process has taken it
                raise
        path.unlink(missing_ok=True)
    return len(found)


# -- workers -----------------------------------------------------------------------------------------------------------


class OwnedAnswers(Answers):
    """A store that another process owns; see :class:`Answers`. Several threads may use one object."""

    def __init__(self, path: Path, owner: str):
        super().__init__(path)
        host, port, self._token = owner.split(" ")
        self._host, self._port = host, int(port)
        remember(self._token)
        self._idle: list[http.client.HTTPConnection] = []
        self._is_open = False

    def _connected(self) -> Any:
        raise NotImplementedError("only the owner opens the file")

    def close(self) -> None:
        """Close the connections; they are opened again when they are needed."""
        while self._idle:
            self._idle.pop().close()

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the owner's store.

        Raises:
            OwnerLostError: there is no owner any more, or it cannot be reached.
        """
        if not self._is_open:
            self._is_open = True
            self._call("take_late")
        body = json.dumps({"store": str(self.path), "arguments": arguments})
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._sent(method, body)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise OwnerLostError(
                        f"the command that coordinates this run does not answer at {self._host}:{self._port}: {error}",
                        mend="run it again if it has ended; if it runs, open its machine to connections from this one, "
                        "or give its name in your network with MDRBENCH_HOST",
                    ) from None
                time.sleep(0.2)

    def _sent(self, method: str, body: str) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_S)
        try:
            connection.request("POST", f"/{method}", body, {"Authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            value = json.loads(response.read())
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if response.status == 200:
            return value
        if value is None:
            raise ConnectionError(f"another program answers there (status {response.status})")
        kind, message, where, mend = value
        raise {"SetupError": SetupError, "DataError": DataError}.get(kind, StepError)(message, where=where, mend=mend)

    def get(self, key: str) -> Answer | None:
        """Return the answer with this key; None if there is none."""
        row = self._call("get", key)
        return Answer(*row) if row else None

    def put(self, answer: Answer) -> Answer:
        """Store an answer for good; without an owner, write it to a file for the next one."""
        try:
            return Answer(*self._call("put", answer))
        except OwnerLostError:
            path = _late(self.path) / f"{answer.key}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(answer._asdict(), ensure_ascii=False) + "\n")
            say(f"an answer came after the run had ended; it is kept in {path}")
            raise

    def reserve(
        self,
        budget: str,
        cost: float,
        lasts_s: float,
        max_requests: int | None,
        max_cost: float | None,
        requests: int = 1,
    ) -> tuple[int | None, Spent]:
        """Reserve requests of a budget in one transaction of the owner."""
        number, spent = self._call("reserve", budget, cost, lasts_s, max_requests, max_cost, requests)
        return number, Spent(*spent)

    def settle(self, number: int, budget: str, sent: bool, took: float, requests: int = 1) -> None:
        """End a reservation; without an owner it is lost, and counts as paid in full."""
        with suppress(OwnerLostError):
            self._call("settle", number, budget, sent, took, requests)

    def put_batch(self, mark: str, keys: list[str]) -> None:
        """Note that a batch with this mark is about to be made of questions."""
        self._call("put_batch", mark, keys)

    def name_batch(self, mark: str, batch: str) -> None:
        """Note the name of a batch that was made."""
        self._call("name_batch", mark, batch)

    def batched(self, keys: list[str]) -> dict[str, tuple[str, str | None]]:
        """Return mark and name of the batch of each question that is in one."""
        return {key: (mark, batch) for key, (mark, batch) in self._call("batched", keys).items()}

    def drop_batched(self, keys: list[str]) -> None:
        """Forget that questions are in a batch."""
        self._call("drop_batched", keys)

    def identities(self, model: str) -> list[Identity]:
        """Who answered under a model's name, the one with the most answers first."""
        return [Identity(*row) for row in self._call("identities", model)]

    def fingerprints(self, model: str) -> set[str]:
        """The fingerprints of the answers under a model's name."""
        return set(self._call("fingerprints", model))

    def means(self, model: str, kind: str, version: str, sampling: str) -> Means:
        """Return means over a model's answers to a prompt that were asked for in the same way."""
        return Means(*self._call("means", model, kind, version, sampling))
