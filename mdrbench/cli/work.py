"""The command ``work``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.core.console import say


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
    import signal

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

    def ended(number: int, frame: object) -> None:
        worker.release()
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, ended)  # slurm sends it before a job ends
    try:
        made = worker.run(idle)
    except KeyboardInterrupt:
        worker.release()
        raise
    say(f"made {made} part{'s' * (made != 1)}")
