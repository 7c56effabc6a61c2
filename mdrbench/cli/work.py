"""The commands ``work`` and ``status``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mdrbench.cli.options import AsJson, Cache, open_store
from mdrbench.core.console import print_json, say


def work(
    queue: Annotated[
        Optional[Path], typer.Option(help="Folder of the queue [default: queue in the cache].", show_default=False)
    ] = None,
    kinds: Annotated[
        str, typer.Option("--for", help="Kinds of steps to take: gpu (models), cpu, endpoint (requests).")
    ] = "gpu,cpu,endpoint",
    threads: Annotated[
        Optional[int], typer.Option(min=1, help="Threads for a part [default: all cores].", show_default=False)
    ] = None,
    idle: Annotated[float, typer.Option(min=0, help="End after so many seconds without work.")] = 600,
) -> None:
    """Make parts of steps for runs with --executor queue.

    Start as many as you like, on any machine that sees queue, data and cache under the same paths. A worker that is
    stopped or killed costs the part that it was making.

    Example: mdrbench work --queue /shared/queue
    """
    from mdrbench.core import environment
    from mdrbench.core.errors import UsageError
    from mdrbench.pipeline.queue import default_queue
    from mdrbench.pipeline.worker import EVERYTHING, Worker

    taken = tuple(kind.strip() for kind in kinds.split(","))
    if unknown := [kind for kind in taken if kind not in EVERYTHING]:
        raise UsageError(
            f"there are no steps for '{unknown[0]}'", mend=f"--for {','.join(EVERYTHING)}, or some of them"
        )
    worker = Worker((queue or default_queue()).absolute(), taken, threads or environment.cores())
    made = worker.run(idle)
    say(f"made {made} part{'s' * (made != 1)}")


def status(cache: Cache = None, as_json: AsJson = False) -> None:
    """Show what the runs on this cache are doing.

    Use it from another terminal. Scripts may read the events of a run as JSON Lines: --json names the file.

    Example: mdrbench status
    """
    from dataclasses import asdict

    from mdrbench.pipeline import events

    runs = events.at_work(open_store(cache).root)
    if as_json:
        print_json([{**asdict(run), "events": str(run.events), "working": list(run.working.values())} for run in runs])
        return
    for run in runs:
        ended = [f"{run.done} of {run.steps} steps made"]
        ended += [f"{count} {word}" for word, count in (("failed", run.failed), ("skipped", run.skipped)) if count]
        print(f"{run.command}\n  {run.host}, process {run.process}, since {run.since}: {', '.join(ended)}")
        for step in run.working.values():
            print(f"  {step['scope']:>3} {step['stage']:<8} {_so_far(step)}")
    if not runs:
        print("nothing runs on this cache")


def _so_far(step: dict[str, Any]) -> str:
    """Return how far a step is; nothing is known before its first progress."""
    from datetime import datetime

    from mdrbench.pipeline import progress

    if "done" not in step and "total" not in step:
        return "begun"
    since, now = (datetime.fromisoformat(step[name]) for name in ("since", "time"))
    return progress.so_far(step.get("done", 0), step.get("total"), (now - since).total_seconds(), step.get("text", ""))
