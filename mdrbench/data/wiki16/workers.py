"""Build several languages at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from pathlib import Path

from mdrbench.core.errors import StepError
from mdrbench.data.wiki16.build import build_on_disk
from mdrbench.data.wiki16.sources import source_files

MOST_WORKERS = 4
"""Processes at a time, each with up to about half a gigabyte."""


def build_all(root: Path, sources: Path, langs: list[str]) -> Iterator[tuple[str, int]]:
    """Build languages, the largest first; yield each with its number of passages when it is finished.

    Raises:
        DataError, StepError: see :func:`~.build.build_on_disk`; languages that were begun are finished.
    """
    order = sorted(langs, key=_source_bytes, reverse=True)
    workers = min(len(order), _cores(), MOST_WORKERS)
    if workers <= 1:
        for lang in order:
            yield lang, build_on_disk(root, sources, lang)
        return
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(in_own_process, build_on_disk, root, sources, lang): lang for lang in order}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException as error:
            if not isinstance(error, Exception):  # this process was told to end
                for process in multiprocessing.active_children():
                    process.terminate()
            raise
        finally:
            for future in futures:
                future.cancel()


def in_own_process(function: Callable[..., int], *arguments: object) -> int:
    """Call a function in a new process; return its result or raise its error.

    Raises:
        StepError: the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        outcome: int | BaseException = receiver.recv()
    except EOFError:
        process.join()
        message = f"The process that builds {arguments[-1]!r} ended with code {process.exitcode}."
        raise StepError(
            message, mend="run the command again; a code below 0 is a signal, often for lack of memory"
        ) from None
    process.join()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _call(sender: Connection, function: Callable[..., int], arguments: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends it without a traceback
    try:
        sender.send(function(*arguments))
    except Exception as error:
        sender.send(error)


def _source_bytes(lang: str) -> int:
    return sum(file.bytes for file in source_files() if file.lang == lang)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
