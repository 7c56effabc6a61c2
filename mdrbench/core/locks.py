"""Locks of the kernel (``flock``) on files: they end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def file_lock(
    path: Path, *, shared: bool = False, on_wait: Callable[[], None] = lambda: None, temporary: bool = False
) -> Iterator[None]:
    """Hold the kernel's lock on a file, which is created if it is missing. The lock ends with the process.

    Args:
        path: the lock file. It is opened for reading and writing: NFSv4 refuses a shared lock on a descriptor that
            is only for writing, and an exclusive lock on a descriptor that is only for reading.
        shared: allow other shared holders.
        on_wait: called if another process holds the lock.
        temporary: delete the file at the end (exclusive locks only).
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        with open(path, "a+") as file:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, kind)
            if temporary and not _is_open_as(file, path):
                continue  # the previous holder deleted this file: nobody else can lock it any more
            try:
                yield
            finally:
                if temporary:
                    path.unlink(missing_ok=True)
            return


def try_lock(path: Path) -> TextIO | None:
    """Return the file, exclusively locked, or None if another process holds it. Closing the file releases the lock."""
    file = open(path, "a+")  # noqa: SIM115 - the caller closes it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _is_open_as(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
