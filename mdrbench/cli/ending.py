"""End the process: each outcome has the exit code that ``docs/cli.md`` states, and nothing is left half-written."""

from __future__ import annotations

import _thread
import errno
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

NOT_READY, INTERRUPTED, BROKEN_PIPE, TERMINATED = 4, 130, 141, 143

AGAIN_S = 1.0
GRACE_S = 60
"""Seconds that clean-up may take after SIGTERM; paid answers of an endpoint that are under way need the most."""


def run(app: Callable[[], object]) -> NoReturn:
    """Run the command line and end the process."""
    if _streams_are_closed():
        print(
            "error: standard output is closed\n  mend: redirect it, for example to /dev/null: mdrbench ... >/dev/null",
            file=sys.stderr,
        )
        sys.exit(NOT_READY)
    termination = _Termination()

    def ended() -> None:
        with termination.handled():
            app()

    outcome = code(ended)
    sys.exit(_flush() or outcome)


def _streams_are_closed() -> bool:
    """Return whether standard output is closed.

    Each closed descriptor is opened on the null device. Otherwise the next file that is opened gets its number, and
    what a library prints would go into that file.
    """
    closed = sys.stdout is None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    return closed


class _Terminated(SystemExit):
    """SIGTERM came."""


class _Termination:
    """SIGTERM ends the process as an interrupt does: clean-up runs, temporary files go, child processes are stopped.

    Python drops an exception that is raised in a destructor or in a callback, and libraries have handlers that catch
    everything. Therefore the signal is sent again each second, and raised again if nobody holds the exception any
    more. A clean-up that takes over :data:`GRACE_S` is cut short.
    """

    def __init__(self) -> None:
        self._raised: Callable[[], _Terminated | None] | None = None
        self._over = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """End the block on the signal. After the block, nothing is raised: the process is on its way out."""
        signal.signal(signal.SIGTERM, self._ask)
        try:
            yield
        finally:
            self._over = True

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._over or (self._raised and self._raised() is not None):
            return
        if self._raised is None:
            signal.alarm(GRACE_S + 5)  # ends the process even if the thread cannot: of the kernel, exit code 142
            with suppress(RuntimeError):  # there are too many threads
                _thread.start_new_thread(self._insist, ())  # `Thread.start` may wait for a lock that is held below
        raise self._exception()  # not by a name: the traceback would hold the frame, and the frame the exception

    def _exception(self) -> _Terminated:
        exception = _Terminated(TERMINATED)
        self._raised = weakref.ref(exception)
        return exception

    def _insist(self) -> None:
        main, end = threading.main_thread(), time.monotonic() + GRACE_S
        while time.monotonic() < end:
            time.sleep(AGAIN_S)
            signal.pthread_kill(main.ident or 0, signal.SIGTERM)
        os._exit(TERMINATED)


def code(app: Callable[[], object]) -> int:
    """Run the command line, show a user's error, and return the exit code."""
    from mdrbench.core.errors import MdrbenchError
    from mdrbench.core.extras import not_installed

    try:
        app()
    except (MdrbenchError, ModuleNotFoundError) as error:
        known = error if isinstance(error, MdrbenchError) else not_installed(error.name or "")
        if known is None:
            raise
        return _show(str(known), known.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as end:
        if isinstance(end.__context__, OSError) and end.__context__.errno == errno.EPIPE:
            return BROKEN_PIPE  # click turns a broken pipe into exit code 1
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError as error:
        return _of_os_error(error)
    return 0


def _of_os_error(error: OSError) -> int:
    from mdrbench.core.disk_space import out_of_space, takes_writes

    if error.errno == errno.EPIPE:
        return BROKEN_PIPE
    if unwritten := _flush():
        return unwritten
    if full := out_of_space(error, Path.cwd()):
        if not error.filename and takes_writes(Path.cwd()):
            return _unwritable(error)
        return _show(str(full), full.exit_code)
    if not error.filename:
        raise error
    return _show(f"{error.filename}: {error.strerror}", NOT_READY)


def _unwritable(error: OSError | ValueError) -> int:
    why = error.strerror if isinstance(error, OSError) else error
    return _show(f"standard output cannot be written: {why}\n  mend: free space, or redirect it elsewhere", NOT_READY)


def _flush() -> int:
    """Write out standard output. Return 0, or the exit code if it cannot be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        _discard_output()
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            return BROKEN_PIPE
        return _unwritable(error)
    return 0


def _discard_output() -> None:
    """Send output that is still buffered to the null device: the interpreter tries to write it once more at the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _show(text: str, outcome: int) -> int:
    with suppress(OSError):  # if nobody can be told, the exit code says it
        print(f"error: {text}", file=sys.stderr, flush=True)
    return outcome
