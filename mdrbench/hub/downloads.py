"""Downloads: records, progress on standard error, and the manifest beside the data."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError

MANIFEST = "manifest.json"


def endpoint() -> str:
    """Return the address of the hub: ``HF_ENDPOINT``, else huggingface.co; without a slash at its end."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


class Remote(NamedTuple):
    """A file of a data set repository; ``revision`` is a commit, a tag or a branch."""

    repo: str
    revision: str
    path: str


class Wanted(NamedTuple):
    """A file of our layout (path below the root) and its sources, best first."""

    local: str
    sources: tuple[Remote, ...]


class Event(NamedTuple):
    """Progress of a download; ``done`` and ``total`` are bytes, in ``begin`` ``total`` is the number of files.

    A ``note`` reports a repeated attempt; a ``warning`` is shown even with ``--quiet``.
    """

    kind: Literal["begin", "progress", "done", "note", "warning"]
    name: str
    done: int = 0
    total: int = 0
    text: str = ""


Listen = Callable[[Event], None]


def nobody(event: Event) -> None:
    """Ignore all events."""


@contextmanager
def listener(quiet: bool) -> Iterator[Listen]:
    """Report on standard error: live on a terminal, one line per file elsewhere; ``quiet`` shows warnings only."""
    if quiet:
        yield _quiet
    elif sys.stderr.isatty():
        yield from _live()
    else:
        yield _plain


def _quiet(event: Event) -> None:
    if event.kind == "warning":
        _plain(event)


def _plain(event: Event) -> None:
    if event.kind == "begin":
        print(f"{event.total} files to fetch into {event.name}", file=sys.stderr, flush=True)
    elif event.kind == "done":
        print(f"{event.name}  {event.total} bytes", file=sys.stderr, flush=True)
    elif event.kind in ("note", "warning"):
        print(_noted(event), file=sys.stderr, flush=True)


def _noted(event: Event) -> str:
    return f"{event.name}: {event.text}" if event.name else event.text


def _live() -> Iterator[Listen]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}
        left = 0

        def listen(event: Event) -> None:
            nonlocal left
            if event.kind == "begin":
                left = event.total
                _plain(event)
            elif event.kind == "progress":
                if event.name not in tasks:
                    tasks[event.name] = progress.add_task(event.name.rsplit("/", 1)[-1], total=event.total)
                progress.update(tasks[event.name], completed=event.done)
            elif event.kind == "done":
                left -= 1
                if event.name in tasks:
                    progress.remove_task(tasks.pop(event.name))
                text = f"{event.name}  {event.total} bytes, {left} files left"
                progress.console.print(text, markup=False, highlight=False)
            else:
                progress.console.print(_noted(event), markup=False, highlight=False)

        yield listen


class Manifest:
    """``manifest.json``: the downloaded files and their sources; safe for the threads of one process."""

    def __init__(self, root: Path):
        self.root, self.path = root, root / MANIFEST
        self._lock = threading.Lock()
        try:
            read = json.loads(self.path.read_text(encoding="utf-8"))
            self.repos: dict[str, dict[str, Any]] = read["repos"]
            self.files: dict[str, dict[str, Any]] = read["files"]
        except FileNotFoundError:
            self.repos, self.files = {}, {}
        except (ValueError, KeyError, TypeError) as error:
            mend = "remove it: files that equal the hub's are recorded anew, not downloaded"
            raise DataError(f"the manifest cannot be read: {error!r}", where=str(self.path), mend=mend) from None

    def has(self, local: str) -> bool:
        """Whether a file is recorded and present in its recorded size."""
        try:
            return local in self.files and (self.root / local).stat().st_size == self.files[local]["bytes"]
        except FileNotFoundError:
            return False

    def revision(self, remote: Remote) -> str:
        """Return the revision to ask for: the recorded commit, or the remote's own revision before the first answer."""
        return str(self.repos.get(remote.repo, {}).get("commit", remote.revision))

    def settle(self, remote: Remote, commit: str) -> None:
        """Record a repository's commit; a DataError if the pin or an earlier answer has another commit."""
        with self._lock:
            known = self.repos.setdefault(remote.repo, {"revision": remote.revision, "commit": commit})["commit"]
        pin = remote.revision if re.fullmatch(r"[0-9a-f]{7,40}", remote.revision) else ""
        if known == commit and commit.startswith(pin):
            return
        expected = known if known != commit else pin
        raise DataError(
            f"{remote.repo} is at commit {commit[:12]}, but {expected[:12]} is "
            + ("what the files here are from" if expected == known else "the one that is pinned"),
            where=str(self.path),
            mend="results of two commits are not comparable: fetch into an empty folder (MDRBENCH_DATA=DIR)",
        )

    def record(self, local: str, entry: dict[str, Any]) -> None:
        """Add a file and save."""
        with self._lock:
            self.files[local] = entry
            whole = {"format": 1, "repos": self.repos, "files": dict(sorted(self.files.items()))}
            write_atomically(self.path, json.dumps(whole, indent=1) + "\n")
