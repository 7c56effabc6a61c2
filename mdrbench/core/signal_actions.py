"""Keep this process's signal actions, which a library in C sets aside."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

ROOM = 512
"""Bytes for a ``struct sigaction``, which takes 152 on Linux and 16 on macOS."""


@contextmanager
def kept_signal_actions() -> Iterator[None]:
    """At the end, set every signal's action as it was, handlers of C libraries included.

    The Java virtual machine needs its own action for SIGSEGV: with another, its next check for null ends the process.
    Python's :mod:`signal` neither sees nor sets handlers that are not Python's.
    """
    if os.name != "posix":
        yield
        return
    sigaction = ctypes.CDLL(None, use_errno=True).sigaction
    actions = {number: ctypes.create_string_buffer(ROOM) for number in signal.valid_signals()}
    kept = {number: action for number, action in actions.items() if not sigaction(int(number), None, action)}
    try:
        yield
    finally:
        for number, action in kept.items():
            sigaction(int(number), action, None)
