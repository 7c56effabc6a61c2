"""Run a function in several processes at once.

A fresh process forks them: a fork of the tests' own process would copy locks that the threads of Java and torch hold.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable

from support.project import PROJECT


def run_at_once(function: Callable[..., None], processes: int, *arguments: object) -> None:
    """Call ``function(wait, number, *arguments)`` in each process, with the arguments as texts.

    Args:
        function: of a module below ``tests/``. ``wait()`` returns when all processes have called it.

    Raises:
        CalledProcessError: a call has failed.
    """
    name = f"{function.__module__}:{function.__name__}"
    command = [sys.executable, "-m", "support.forks", name, str(processes), *map(str, arguments)]
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=True, timeout=300)


def _fork(name: str, processes: int, arguments: list[str]) -> int:
    module, _, function = name.partition(":")
    called = getattr(importlib.import_module(module), function)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes)
    forked = [context.Process(target=called, args=(barrier.wait, n, *arguments)) for n in range(processes)]
    for process in forked:
        process.start()
    for process in forked:
        process.join()
    return int(any(process.exitcode for process in forked))


if __name__ == "__main__":
    sys.exit(_fork(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
