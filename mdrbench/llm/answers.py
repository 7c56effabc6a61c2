"""Answers of language models, kept in one SQLite file so that none is paid for twice.

A row is one answer. Its key is the SHA-256 of all that was asked: model, prompt and version, sampling, every message
(:meth:`mdrbench.llm.chat.Chat.key`). The other columns are for readers: the query and passage it is about, the text,
the value read from the text, tokens, time. A row is written as soon as its answer arrives and is never changed, so
stores can be shared, exported and merged. If two stores have the same key, the first answer stays.

The file is in WAL mode and safe for several processes of one machine; WAL does not work on network file systems. So the
workers of a run ask the process that coordinates it (:mod:`mdrbench.llm.owner`).
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench.core import store
from mdrbench.core.errors import DataError, SetupError
from mdrbench.formats import jsonl

FORMAT = 2

WAIT_S = 60.0  # for another process that writes

NONE = type(None)


class Answer(NamedTuple):
    """One answer; the columns of the store.

    Attributes:
        key: SHA-256 of everything that was asked, in hex.
        kind, version: which prompt.
        sampling: temperature, seed and so on as they were sent, as JSON.
        vote, attempt: which of several answers to one prompt; an attempt above 0 followed an unreadable answer.
        lang, qid, docid, reference: the query and passages it is about; None if that does not apply.
        query_sha256: of the query's text.
        text: the answer; empty if the model gave none, or one that is oversized or malformed.
        finish: why the model stopped (``stop``, ``length``, ``content_filter``), or ``oversized`` or ``malformed``
            (:mod:`mdrbench.llm.replies`); None if it did not say.
        parsed: the value read from the text, as JSON; None if it was unreadable.
        input_tokens, output_tokens: as the endpoint counted them, else estimated (``counted`` is 0).
        served: the model as the endpoint named it in the answer.
        created: time, in UTC.
        facts: what the endpoint's list of models said about the model (parameters, size), as JSON; None if nothing.
        fingerprint: the ``system_fingerprint`` of the answer.
        server: the server's name, as it gives it in the list of models.
        logprobs: log probabilities of the first token, as JSON, if they were asked for.
        seconds: from the request to the whole answer.
    """

    key: str
    model: str
    kind: str
    version: str
    sampling: str
    vote: int
    attempt: int
    lang: str | None
    qid: str | None
    docid: str | None
    reference: str | None
    query_sha256: str | None
    text: str
    finish: str | None
    parsed: str | None
    input_tokens: int
    output_tokens: int
    counted: int
    served: str | None
    created: str
    facts: str | None = None
    fingerprint: str | None = None
    server: str | None = None
    logprobs: str | None = None
    seconds: float | None = None

    @property
    def identity(self) -> Identity:
        """Who answered."""
        return Identity(self.served, self.facts)


class Means(NamedTuple):
    """Means over stored answers; None if there are none."""

    output_tokens: float | None
    seconds: float | None


class Spent(NamedTuple):
    """What requests took and reserved so far; ``under_way`` are reservations that may still give room back."""

    requests: int
    cost: float
    under_way: int


class Identity(NamedTuple):
    """Who answers under a model's name: the answer's ``model``, and the stable facts of the list of models, as JSON.

    None stands for what the endpoint did not say.
    """

    served: str | None
    facts: str | None

    def differs(self, other: Identity) -> bool:
        """Whether the two are certainly not the same model."""
        return any(a is not None and b is not None and a != b for a, b in zip(self, other, strict=True))

    def is_called(self, name: str) -> bool:
        """Whether a recipe's ``served`` means this one: its name, or its whole label."""
        return name in (self.served, self.label)

    @property
    def label(self) -> str:
        """The name, and the facts that tell models of one name apart."""
        facts = json.loads(self.facts) if self.facts else {}
        listed = ", ".join(f"{key} {value}" for key, value in sorted(facts.items()) if value != self.served)
        return f"{self.served or UNNAMED} ({listed})" if listed else self.served or UNNAMED


UNNAMED = "not named"
"""Stands for a served model that the answer does not name."""

ADDED = ("facts", "fingerprint", "server", "logprobs", "seconds")
"""Columns that stores of format 1 lack."""

TYPES: dict[str, Any] = {
    **dict.fromkeys(("key", "model", "kind", "version", "sampling", "text", "created"), str),
    **dict.fromkeys(("lang", "qid", "docid", "reference", "query_sha256", "finish", "parsed", "served"), (str, NONE)),
    **dict.fromkeys(("facts", "fingerprint", "server", "logprobs"), (str, NONE)),
    "seconds": (float, int, NONE),
    **dict.fromkeys(("vote", "attempt", "input_tokens", "output_tokens", "counted"), int),
}
"""Column -> type, as in an exported line."""

SPENDING = (
    "spending (budget TEXT PRIMARY KEY, requests INTEGER NOT NULL, cost REAL NOT NULL) WITHOUT ROWID",
    "reservations (number INTEGER PRIMARY KEY, budget TEXT NOT NULL, cost REAL NOT NULL, until REAL NOT NULL)",
    "batches (key TEXT PRIMARY KEY, mark TEXT NOT NULL, batch TEXT) WITHOUT ROWID",
)
"""What limited runs spent, and their requests under way, each with the time after which it counts as lost; questions
that are in a batch (:mod:`mdrbench.llm.batches`)."""

_COLUMNS = ", ".join(Answer._fields)
_MARKS = ", ".join("?" * len(Answer._fields))

_SPEND = "UPDATE spending SET requests = requests + ?, cost = cost + ? WHERE budget = ?"


def default_path() -> Path:
    """``$MDRBENCH_ANSWERS``, else ``answers.sqlite`` in the cache."""
    chosen = os.environ.get("MDRBENCH_ANSWERS")
    return Path(chosen).expanduser() if chosen else store.default_root() / "answers.sqlite"


def _definition(name: str) -> str:
    sql = "INTEGER" if TYPES[name] is int else "REAL" if name == "seconds" else "TEXT"
    return f"{name} {sql}{'' if isinstance(TYPES[name], tuple) else ' NOT NULL'}"


class Answers:
    """The store at ``path``, created if it is missing; several threads may use one object."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.RLock()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection alone; translate SQLite's errors."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                mend = "check the disk and your rights there, or set MDRBENCH_ANSWERS to another file"
                raise SetupError(f"cannot be used: {error}", where=str(self.path), mend=mend) from None
            except sqlite3.DatabaseError as error:
                mend = "move the file away, or set MDRBENCH_ANSWERS to another one"
                raise DataError(f"is not a store of answers: {error}", where=str(self.path), mend=mend) from None

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from None
        connection = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # an answer that was paid for outlives a power cut
            self._make_table(connection)
        except BaseException:
            connection.close()
            raise
        weakref.finalize(self, connection.close)  # Python 3.13 warns of connections that nobody closed
        return connection

    def _make_table(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # commits, or rolls back
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, 1, FORMAT):
                raise DataError(
                    f"is a store of format {found}, this mdrbench knows {FORMAT}",
                    where=str(self.path),
                    mend="install the mdrbench that wrote it, or set MDRBENCH_ANSWERS to another file",
                )
            columns = ", ".join(map(_definition, Answer._fields))
            connection.execute(f"CREATE TABLE IF NOT EXISTS answers ({columns}, PRIMARY KEY (key)) WITHOUT ROWID")
            for name in ADDED if found == 1 else ():
                connection.execute(f"ALTER TABLE answers ADD COLUMN {_definition(name)}")
            for table in SPENDING:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            if "_connection" in self.__dict__:
                self.__dict__.pop("_connection").close()

    def get(self, key: str) -> Answer | None:
        """Return the answer with this key; None if there is none."""
        with self._connected() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM answers WHERE key = ?", (key,)).fetchone()
        return Answer(*row) if row else None

    def put(self, answer: Answer) -> Answer:
        """Store an answer for good; return the stored answer of its key, the first if there were two."""
        with self._connected() as connection:
            connection.execute(f"INSERT OR IGNORE INTO answers VALUES ({_MARKS})", answer)
            return self.get(answer.key) or answer

    # -- spending -----------------------------------------------------------------------------------------------------

    def reserve(
        self,
        budget: str,
        cost: float,
        lasts_s: float,
        max_requests: int | None,
        max_cost: float | None,
        requests: int = 1,
    ) -> tuple[int | None, Spent]:
        """Reserve requests of a budget in one transaction, so that several processes never exceed a limit together.

        Args:
            lasts_s: seconds after which a reservation that was not settled counts as lost and paid.

        Returns:
            The number of the reservation, None if a limit leaves no room; what the budget spent and reserved.
        """
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.execute("INSERT OR IGNORE INTO spending VALUES (?, 0, 0)", (budget,))
                query = """SELECT requests, cost, (SELECT count(*) FROM reservations r WHERE r.budget = s.budget
                    AND until > ?) FROM spending s WHERE budget = ?"""
                spent = Spent(*connection.execute(query, (time.time(), budget)).fetchone())
                if max_requests is not None and spent.requests + requests > max_requests:
                    return None, spent
                if max_cost is not None and spent.cost + cost > max_cost:
                    return None, spent
                connection.execute(_SPEND, (requests, cost, budget))
                insert = "INSERT INTO reservations (budget, cost, until) VALUES (?, ?, ?)"
                return connection.execute(insert, (budget, cost, time.time() + lasts_s)).lastrowid, spent

    def settle(self, number: int, budget: str, sent: bool, took: float, requests: int = 1) -> None:
        """End a reservation: give its requests back unless they were ``sent``, and what was not taken of its cost."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                row = connection.execute("SELECT cost FROM reservations WHERE number = ?", (number,)).fetchone()
                if row is None:  # settled before, by a call whose reply was lost
                    return
                connection.execute("DELETE FROM reservations WHERE number = ?", (number,))
                connection.execute(_SPEND, (0 if sent else -requests, took - row[0], budget))

    # -- batches ------------------------------------------------------------------------------------------------------

    def put_batch(self, mark: str, keys: list[str]) -> None:
        """Note that a batch with this mark is about to be made of questions."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                rows = ((key, mark) for key in keys)
                connection.executemany("INSERT OR REPLACE INTO batches VALUES (?, ?, NULL)", rows)

    def name_batch(self, mark: str, batch: str) -> None:
        """Note the name of a batch that was made."""
        with self._connected() as connection:
            connection.execute("UPDATE batches SET batch = ? WHERE mark = ?", (batch, mark))

    def batched(self, keys: list[str]) -> dict[str, tuple[str, str | None]]:
        """Return mark and name of the batch of each question that is in one; the name is None if it is not known."""
        with self._connected() as connection:
            rows = connection.execute("SELECT key, mark, batch FROM batches").fetchall()
        wanted = set(keys)
        return {key: (mark, batch) for key, mark, batch in rows if key in wanted}

    def drop_batched(self, keys: list[str]) -> None:
        """Forget that questions are in a batch: its answers were read, or there will be none."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.executemany("DELETE FROM batches WHERE key = ?", ((key,) for key in keys))

    # -- looking around -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        with self._connected() as connection:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def identities(self, model: str) -> list[Identity]:
        """Who answered under a model's name, the one with the most answers first."""
        query = "SELECT served, facts FROM answers WHERE model = ? GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2"
        with self._connected() as connection:
            return [Identity(*row) for row in connection.execute(query, (model,))]

    def fingerprints(self, model: str) -> set[str]:
        """The fingerprints of the answers under a model's name."""
        query = "SELECT DISTINCT fingerprint FROM answers WHERE model = ? AND fingerprint IS NOT NULL"
        with self._connected() as connection:
            return {fingerprint for (fingerprint,) in connection.execute(query, (model,))}

    def means(self, model: str, kind: str, version: str, sampling: str) -> Means:
        """Return means over a model's answers to a prompt that were asked for in the same way.

        Args:
            sampling: as in :class:`Answer`; the seed makes no difference.
        """
        query = """SELECT avg(output_tokens), avg(seconds) FROM answers WHERE model = ? AND kind = ? AND version = ?
            AND json_remove(sampling, '$.seed') = json_remove(?, '$.seed') AND output_tokens > 0"""
        with self._connected() as connection:
            return Means(*connection.execute(query, (model, kind, version, sampling)).fetchone())

    def all(self) -> Iterator[Answer]:
        """Yield every answer by key; rows that are added meanwhile may be missed."""
        last = ""
        while True:
            with self._connected() as connection:
                rows = connection.execute(
                    f"SELECT {_COLUMNS} FROM answers WHERE key > ? ORDER BY key LIMIT 1000", (last,)
                ).fetchall()
            if not rows:
                return
            yield from (Answer(*row) for row in rows)
            last = rows[-1][0]

    def export(self, path: Path) -> int:
        """Write all answers as JSON lines, by key, whole or not at all; return their number."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        count = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                for answer in self.all():
                    count += 1
                    file.write(json.dumps(answer._asdict(), ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return count

    def merge(self, path: Path) -> tuple[int, int]:
        """Add the answers of another store or an exported file (``.jsonl``); return how many were new and known.

        If a line is malformed, nothing is added.
        """
        if not path.is_file():
            raise DataError("no such store of answers", where=str(path), mend="check the path")
        other = None if path.suffix == ".jsonl" else Answers(path)
        try:
            return self._add(other.all() if other else _lines(path))
        finally:
            if other:
                other.close()

    def _add(self, answers: Iterator[Answer]) -> tuple[int, int]:
        seen = 0
        with self._connected() as connection:
            before = len(self)
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                for answer in answers:
                    seen += 1
                    connection.execute(f"INSERT OR IGNORE INTO answers VALUES ({_MARKS})", answer)
            added = len(self) - before
        return added, seen - added


def _lines(path: Path) -> Iterator[Answer]:
    first = {name: kind for name, kind in TYPES.items() if name not in ADDED}
    for where, line in jsonl.records(path, first):
        record = {**dict.fromkeys(ADDED), **line}
        jsonl.check(record, TYPES, where)
        if len(record["key"]) != 64:
            raise DataError("'key' is not a SHA-256", where=where, mend="export the store again")
        yield Answer(**{name: record[name] for name in Answer._fields})
