"""Show what a run does: a live display on a terminal, one line per step elsewhere, failures only with ``--quiet``.

Everything goes to standard error. Standard output is for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mdrbench.pipeline.runner import Event

if TYPE_CHECKING:
    from rich.progress import Task, TaskID

EVERY_S = 30.0
"""Seconds between two lines about a step that is working, if standard error is not a terminal."""

_WORDS = {
    "wait": "another run computes it; waiting",
    "damaged": "the artifact is damaged; computing it again",
    "skipped": "skipped: a step before it failed",
    "dropped": "removed after its search, as --keep-embeddings says",
}


def _name(event: Event) -> str:
    return f"{event.step.scope:>3} {event.step.stage:<8}"


@contextmanager
def listener(planned: int, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Give a listener for the events of a run of ``planned`` steps.

    It depends on ``quiet``, on whether there is anything to compute, and on whether standard error is a terminal.
    """
    if quiet or not planned:
        yield _quiet
    elif sys.stderr.isatty():
        yield from _live(planned)
    else:
        yield Plain()


def _quiet(event: Event) -> None:
    if event.kind in ("failed", "skipped", "damaged"):
        _line(event)


class Plain:
    """Print a line when a step ends, and every half minute while it works."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        key, now = event.step.key, time.monotonic()
        if event.kind == "start":
            self._begun[key] = self._told[key] = now
        elif event.kind == "progress":
            if now - self._told.setdefault(key, now) >= EVERY_S:
                self._told[key] = now
                text = so_far(event.done, event.total, now - self._begun.get(key, now), event.text)
                print(f"{_name(event)} {text}", file=sys.stderr, flush=True)
        elif event.kind != "hit":
            _line(event)


def so_far(done: int, total: int | None, seconds: float, text: str) -> str:
    """Return done and total, the rate over these seconds, the time left, and a text of the step."""
    parts = [count_text(done, total)]
    if done and seconds > 0:
        rate = done / seconds
        parts.append(f"{rate:,.1f}/s")
        if total is not None:
            parts.append(f"{duration((total - done) / rate)} left")
    return ", ".join(filter(None, [*parts, text]))


def duration(seconds: float) -> str:
    """Return ``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _line(event: Event) -> None:
    if event.kind == "done":
        text = f"{event.seconds:8.1f} s"
    elif event.kind == "failed":
        text = f"failed: {event.text}"
    else:
        text = _WORDS[event.kind]
    print(f"{_name(event)} {text}", file=sys.stderr, flush=True)


def count_text(done: float, total: float | None) -> str:
    """Return ``12/100``, or the count alone while the total is unknown."""
    return f"{done:,.0f}" if total is None else f"{done:,.0f}/{total:,.0f}"


def _live(planned: int) -> Iterator[Callable[[Event], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class Count(TextColumn):
        def render(self, task: Task) -> Text:
            return Text(count_text(task.completed, task.total))

    class Rate(TextColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        Count(""),
        Rate(""),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        overall = progress.add_task("steps", total=planned)
        tasks: dict[str, TaskID] = {}

        def listen(event: Event) -> None:
            key = event.step.key
            if event.kind == "start":
                tasks[key] = progress.add_task(_name(event), total=None)
            elif event.kind == "progress" and key in tasks:
                progress.update(tasks[key], completed=event.done, total=event.total)
            elif event.kind in ("done", "failed", "hit", "skipped"):
                if key in tasks:
                    progress.remove_task(tasks.pop(key))
                if event.kind != "hit":
                    progress.advance(overall)
            if event.kind in ("failed", "skipped", "wait", "damaged"):
                text = event.text or _WORDS.get(event.kind, "")
                progress.console.print(f"{_name(event)} {event.kind}: {text}", markup=False, highlight=False)

        yield listen
