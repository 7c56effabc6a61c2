"""The same work on many items over the cores, in processes forked from this one: what it has read need not be sent."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

FEWEST = 16
"""Fewer items than this are not worth processes, unless it is said that they are large."""

THREADED = ("vl_convert", "torch", "jnius")
"""Modules that start threads of their own: a process that has loaded one is not forked."""

_WORK: list[Callable[[Any], Any]] = []
"""In a process of :func:`each`: what it does."""


def each(
    work: Callable[[Item], Made],
    items: Sequence[Item],
    fewest: int = FEWEST,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[Made]:
    """``[work(item) for item in items]``; only what ``work`` returns is sent between processes.

    In this process alone for fewer than ``fewest`` items, on one core, where other threads run, or where forking is not
    safe. ``meanwhile`` is called once in this process, while others work where there are any.

    Raises:
        The first error that ``work`` raises.
    """
    processes = min(_cores(), len(items) // max(1, fewest // 2))
    if len(items) < fewest or processes < 2 or not _may_fork():
        meanwhile()
        return [work(item) for item in items]
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, fork, initializer=_WORK.append, initargs=(work,)) as pool:
        found = pool.map(_one, items, chunksize=max(1, len(items) // (32 * processes)))
        meanwhile()
        return list(found)


class Job(NamedTuple):
    """What a process computes, and what is then done with it in this one."""

    work: Callable[[], Any]
    then: Callable[[Any], None]


def run(jobs: Sequence[Job], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Do all jobs, each of them large; see :func:`each`."""
    made = each(lambda number: jobs[number].work(), range(len(jobs)), fewest=2, meanwhile=meanwhile)
    for job, found in zip(jobs, made, strict=True):
        job.then(found)


def _one(item: Any) -> Any:
    return _WORK[0](item)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _may_fork() -> bool:
    alone = threading.active_count() == 1 and multiprocessing.parent_process() is None
    return sys.platform == "linux" and alone and not any(name in sys.modules for name in THREADED)
