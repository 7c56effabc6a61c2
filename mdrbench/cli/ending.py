"""End the process: each outcome has the exit code that ``docs/cli.md`` states, and nothing is left half-written."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

NOT_READY, INTERRUPTED, BROKEN_PIPE, TERMINATED = 4, 130, 141, 143


def run(app: Callable[[], object]) -> NoReturn:
    """Run the command line and end the process."""
    if _streams_are_closed():
        print(
            "error: standard output is closed\n  mend: redirect it, for example to /dev/null: mdrbench ... >/dev/null",
            file=sys.stderr,
        )
        sys.exit(NOT_READY)
    signal.signal(signal.SIGTERM, _terminate)
    outcome = code(app)
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


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """End as an interrupt does: temporary files are removed and child processes are stopped on the way out."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not cut this short
    raise SystemExit(TERMINATED)


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
