"""A Ray cluster (``pip install 'mdrbench[ray]'``): independent steps side by side, on as many machines as it has.

``RAY_ADDRESS`` names the cluster; without it Ray starts one on this machine. All machines must see the data and the
artifact store under the same paths, on a file system with working ``flock``. Each step asks for one CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdrbench.core.errors import MdrbenchError, SetupError, StepError
from mdrbench.core.members import NoSettings, Spec
from mdrbench.pipeline.plan.steps import Step
from mdrbench.pipeline.runner import Event, Listener, run_step


class RayCluster:
    """Submits all steps at once, each after those it needs; news comes when a step is over."""

    spec = Spec(NoSettings, version=1)

    def __init__(self, config: NoSettings):
        pass

    def run(self, steps: list[Step], root: Path, listen: Listener) -> Iterator[tuple[Step, Exception | None]]:
        """Yield each step with None when it is done, or with the error that stopped it or one before it."""
        try:
            import ray
        except ImportError:
            raise SetupError("Ray is not installed", mend="`pip install 'mdrbench[ray]'`") from None
        if not steps:
            return
        if not ray.is_initialized():
            ray.init(log_to_driver=False, configure_logging=False)
        task = ray.remote(num_cpus=1)(_run_remotely)
        running: dict[tuple[str, str], ray.ObjectRef[Any]] = {}
        for step in steps:
            needed = [running[ref] for ref in step.inputs.values() if ref in running]
            running[step.ref] = task.remote(step, root, *needed)
        for step in steps:
            try:
                seconds, error, skipped = ray.get(running[step.ref])
            except ray.exceptions.RayError as death:
                seconds, error, skipped = 0.0, StepError(f"{step.stage} of '{step.scope}' died: {death}"), False
            kind = "skipped" if skipped else "failed" if error else "done"
            listen(Event(kind, step, seconds=seconds, text=str(error or "")))
            yield step, error


def _run_remotely(
    step: Step, root: Path, *before: tuple[float, Exception | None, bool]
) -> tuple[float, Exception | None, bool]:
    """Seconds, the error if any, and whether the step was skipped because one before it failed."""
    for _, error, _ in before:
        if error is not None:
            return 0.0, error, True
    seconds = 0.0

    def listen(event: Event) -> None:
        nonlocal seconds
        seconds = event.seconds

    try:
        run_step(step, root, listen)
    except MdrbenchError as error:
        return 0.0, error, False
    return seconds, None, False
