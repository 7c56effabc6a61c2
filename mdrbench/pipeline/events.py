"""What runs do, as JSON Lines in ``CACHE/runs``, for ``mdrbench status`` and for scripts.

Each run that makes steps writes a file of its own and holds a lock on it until it ends. Its lines:

- ``{"event": "run", "time", "command", "host", "process", "steps"}`` first; ``steps`` counts the steps to make;
- ``{"event": KIND, "time", "stage", "scope", "key"}`` for each event of a step
  (:class:`mdrbench.pipeline.runner.Event`), with ``done``, ``total``, ``seconds`` and ``text`` if they say anything;
- ``{"event": "end", "time"}`` last, unless the run was interrupted or killed.

A file is deleted a week after its run.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mdrbench.core.locks import try_lock
from mdrbench.core.secrets import redact

if TYPE_CHECKING:
    from mdrbench.pipeline.runner import Event

FOLDER = "runs"
KEPT_S = 7 * 86400.0
EVERY_S = 1.0
"""Seconds between two lines about the progress of a step."""


@contextmanager
def recorded(root: Path, planned: int) -> Iterator[Callable[[Event], None]]:
    """Give a listener that writes the events of a run of ``planned`` steps. A run without steps writes no file."""
    if not planned:
        yield lambda event: None
        return
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    _forget_old(folder)
    path = (
        folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}.jsonl"
    )
    while (file := try_lock(path)) is None:  # somebody asks for the status at this moment
        time.sleep(0.01)
    with file:
        facts = {"command": _command(), "host": socket.gethostname(), "process": os.getpid(), "steps": planned}
        _write(file, {"event": "run", **facts})
        told: dict[str, float] = {}

        def listen(event: Event) -> None:
            key, now = event.step.key, time.monotonic()
            if event.kind == "progress":
                if now - told.get(key, now - EVERY_S) < EVERY_S:
                    return
                told[key] = now
            said = {name: value for name in ("done", "total", "seconds", "text") if (value := getattr(event, name))}
            _write(
                file, {"event": event.kind, "stage": event.step.stage, "scope": event.step.scope, "key": key, **said}
            )

        try:
            yield listen
        finally:
            with suppress(OSError):  # a full disk, of which another error tells
                _write(file, {"event": "end"})


def _write(file: TextIO, line: dict[str, Any]) -> None:
    line = {"event": line.pop("event"), "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    file.flush()


def _command() -> str:
    name = Path(sys.argv[0]).name if sys.argv else ""
    return redact(shlex.join(["mdrbench" if name == "__main__.py" else name, *sys.argv[1:]]))


def _forget_old(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        with suppress(FileNotFoundError):  # another run has deleted it
            if time.time() - path.stat().st_mtime > KEPT_S and (file := try_lock(path)) is not None:
                path.unlink()
                file.close()


@dataclass
class Run:
    """A run that is at work.

    Attributes:
        steps: steps to make; ``done``, ``failed`` and ``skipped`` of them have ended.
        working: the steps that are being made, with the time of their start and their last event.
        events: the file of its events.
    """

    command: str
    host: str
    process: int
    since: str
    steps: int
    events: Path
    done: int = 0
    failed: int = 0
    skipped: int = 0
    working: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, line: dict[str, Any]) -> None:
        """Take an event."""
        kind, key = line["event"], line.get("key", "")
        if kind == "start":
            self.working[key] = {**line, "since": line["time"]}
        elif kind == "progress" and key in self.working:
            self.working[key] |= line
        elif kind in ("done", "failed", "skipped"):
            self.working.pop(key, None)
            setattr(self, kind, getattr(self, kind) + 1)


def at_work(root: Path) -> list[Run]:
    """Return the runs that are at work on an artifact store, the oldest first, on whatever machine."""
    return [run for path in sorted((root / FOLDER).glob("*.jsonl")) if (run := _read(path)) is not None]


def _read(path: Path) -> Run | None:
    with suppress(FileNotFoundError):
        if (file := try_lock(path)) is not None:
            file.close()
            return None  # it has ended, or its process was killed
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # the rest is being written
        if lines:
            first, *others = map(json.loads, lines)
            facts = {name: first[name] for name in ("command", "host", "process", "steps")}
            run = Run(**facts, since=first["time"], events=path)
            for line in others:
                run.take(line)
            return run
    return None
