"""A queue for workers that you start: ``mdrbench work``, by hand, from a slurm job array, on any machine.

The queue is a folder that all machines see under the same path, like the data and the artifact store. The command
waits for workers, holds the locks of steps and commits them; workers may come and go.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from mdrbench.core.console import say
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.pipeline.coordinator import coordinate
from mdrbench.pipeline.plan.steps import Step
from mdrbench.pipeline.queue import default_queue
from mdrbench.pipeline.runner import Listener


class Config(MemberConfig):
    """The folder of the queue."""

    queue: str | None = Field(default=None, description="folder of the queue; None: `queue` in the cache")


class Queue:
    """Offers steps in a queue."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        self.queue = (Path(config.queue) if config.queue else default_queue()).absolute()

    def run(self, steps: list[Step], root: Path, listen: Listener) -> Iterator[tuple[Step, Exception | None]]:
        """Yield each step with None when it is done, or with the error that stopped it."""
        if steps:
            say(f"queue: {self.queue}; start workers with `mdrbench work --queue {shlex.quote(str(self.queue))}`")
        yield from coordinate(steps, root, listen, self.queue, _Elsewhere())


class _Elsewhere:
    """Workers that somebody else starts and ends."""

    elsewhere = True

    def start(self, queue: Path, kinds: set[str]) -> None:
        """Nothing to do."""

    def tend(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do: they end by themselves when they find no work."""
