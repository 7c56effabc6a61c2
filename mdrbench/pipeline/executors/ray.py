"""A Ray cluster (``pip install 'mdrbench[ray]'``): run independent steps in parallel, on all of its machines.

``RAY_ADDRESS`` names the cluster. Without it, Ray starts a cluster on this machine. All machines must see the data and
the artifact store under the same paths, on a file system with a working ``flock``. Each step takes one CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdrbench.core import extras
from mdrbench.core.errors import MdrbenchError, SetupError, StepError
from mdrbench.core.members import NoSettings, Spec
from mdrbench.pipeline.plan.steps import Step
from mdrbench.pipeline.runner import Event, Listener, run_step


class RayCluster:
    """Submits all steps at once. Ray starts a step when its inputs are ready."""

    spec = Spec(NoSettings, version=1)

    def __init__(self, config: NoSettings):
        pass

    def run(self, steps: list[Step], root: Path, listen: Listener) -> Iterator[tuple[Step, Exception | None]]:
        """Yield each step with None when it is done, or with the error that stopped it or one of its inputs."""
        try:
            import ray
        except ImportError:
            raise SetupError("Ray is not installed.", mend=f"run `{extras.command('ray')}`") from None
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
    """Return seconds, the error or None, and whether the step was skipped because an input failed."""
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
