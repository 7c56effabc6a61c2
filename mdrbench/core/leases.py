"""Leases: which artifacts a running command still needs, so that ``cache rm`` and ``cache gc`` keep them.

A command writes the keys of all its steps into one file under ``ROOT/in-use`` and holds a lock on it while it runs. A
file that nobody holds belongs to a command that has ended, and is deleted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mdrbench.core.locks import file_lock, try_lock

FOLDER = "in-use"


@contextmanager
def clearing(root: Path) -> Iterator[None]:
    """Hold the lock under which artifacts are removed and leases are taken."""
    with file_lock(root / "locks" / "clearing.lock"):
        yield


@contextmanager
def lease(root: Path, keys: Iterable[str]) -> Iterator[None]:
    """Protect artifacts from removal while the block runs, those that are not made yet included."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"{_own()}{time.monotonic_ns()}"
    with clearing(root):
        file = try_lock(path)
        assert file is not None, "the name is new, so nobody else can hold it"
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _own() -> str:
    """Return what the names of this process's leases begin with."""
    return f"{socket.gethostname()}-{os.getpid()}-"


def leased(root: Path, *, by_others: bool = False) -> set[str]:
    """Return the keys that running commands need. The caller holds :func:`clearing`.

    Args:
        by_others: leave out the leases of this process.
    """
    keys: set[str] = set()
    for path in (root / FOLDER).glob("*"):
        if by_others and path.name.startswith(_own()):
            continue
        file = try_lock(path)
        if file is None:
            with suppress(FileNotFoundError):  # its command has ended since
                keys.update(path.read_text(encoding="utf-8").split())
        else:
            path.unlink(missing_ok=True)
            file.close()
    return keys
