"""News of a run for people: a live display on a terminal, one line a step elsewhere, failures only when quiet.

Everything goes to standard error; standard output is for results.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager

from mdrbench.pipeline.runner import Event

_WORDS = {
    "wait": "another run is making it; waiting",
    "damaged": "the artifact is damaged; making it again",
    "skipped": "skipped: a step before it failed",
}


def _name(event: Event) -> str:
    return f"{event.step.scope:>3} {event.step.stage:<8}"


@contextmanager
def listener(quiet: bool, planned: int):
    """A callable for pipeline events, chosen by ``quiet``, by whether there is anything to make and by whether standard
    error is a terminal."""
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


def _live(planned: int):
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Rate(TextColumn):
        def render(self, task):
            return f"{task.speed:,.0f}/s" if task.speed else ""

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(""),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        overall = progress.add_task("steps", total=planned)
        tasks: dict[str, int] = {}

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
