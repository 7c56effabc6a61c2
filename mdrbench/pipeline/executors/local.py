"""Run the steps on this machine, one after another, in this process.

A step uses all cores (threads of Lucene, kernels of torch). Two steps at once would gain little and double the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mdrbench.core.errors import MdrbenchError
from mdrbench.core.members import NoSettings, Spec
from mdrbench.pipeline.plan.steps import Step
from mdrbench.pipeline.runner import Event, Listener, run_step


class Local:
    """Runs steps in the given order. A step whose input failed is skipped."""

    spec = Spec(NoSettings, version=1)

    def __init__(self, config: NoSettings):
        pass

    def run(self, steps: list[Step], root: Path, listen: Listener) -> Iterator[tuple[Step, Exception | None]]:
        """Yield each step with None when it is done, or with the error that stopped it."""
        failed: dict[tuple[str, str], Exception] = {}
        for step in steps:
            cause = next((failed[ref] for ref in step.inputs.values() if ref in failed), None)
            if cause is not None:
                listen(Event("skipped", step))
            else:
                try:
                    run_step(step, root, listen)
                except MdrbenchError as error:
                    cause = error
                    listen(Event("failed", step, text=str(error)))
            if cause is not None:
                failed[step.ref] = cause
            yield step, cause
