"""Show what a run does: a live display on a terminal, one line per step elsewhere, failures only with ``--quiet``.

Everything goes to standard error. Standard output is for results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mdrbench.pipeline.runner import Event

if TYPE_CHECKING:
    from rich.progress import Task, TaskID

_WORDS = {
    "wait": "another run computes it; waiting",
    "damaged": "the artifact is damaged; computing it again",
    "skipped": "skipped: a step before it failed",
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
        yield _plain


def _quiet(event: Event) -> None:
    if event.kind in ("failed", "skipped", "damaged"):
        _plain(event)


def _plain(event: Event) -> None:
    if event.kind in ("start", "hit", "progress"):
        return
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
