"""This machine: steps in this process one after another, or parts of steps in several worker processes.

With one worker a step uses all cores (threads of Lucene, kernels of torch). If there are several GPUs, each gets a
worker by default. ``--workers`` sets their number; without a GPU they share the cores. Two workers on a GPU each hold
the model: while one reads, tokenises and writes, the other computes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from mdrbench.core import devices, environment
from mdrbench.core.errors import MdrbenchError, SetupError, StepError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.pipeline.coordinator import coordinate
from mdrbench.pipeline.plan.steps import Step
from mdrbench.pipeline.runner import Event, Listener, run_step
from mdrbench.pipeline.stages.training import SEVERAL

QUICK_DEATHS = 5
"""Workers that may die within :data:`QUICK_S` seconds of their start, in a row, before the run gives up."""

QUICK_S = 5.0


class Config(MemberConfig):
    """The number of worker processes."""

    workers: int | None = Field(
        default=None, ge=1, description="worker processes; None: one for each GPU, or none beside this process"
    )


class Local:
    """Runs steps on this machine. A step whose input failed is skipped."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        self.config = config

    def run(self, steps: list[Step], root: Path, listen: Listener) -> Iterator[tuple[Step, Exception | None]]:
        """Yield each step with None when it is done, or with the error that stopped it."""
        gpus = len(devices.found().cards) if any(step.needs == "gpu" for step in steps) else 0
        number = self.config.workers or max(1, gpus)
        if gpus and number > gpus and number % gpus:
            mend = f"--workers {gpus}, or a multiple of it for several workers on each GPU"
            raise SetupError(f"{number} workers for {gpus} GPU{'s' * (gpus > 1)}", mend=mend)
        nodes = max((step.run_only.get("nodes") or 1 for step in steps), default=1)
        if nodes > number:
            raise SetupError(
                f"training.nodes is {nodes}, and this run has {number} worker{'s' * (number > 1)}", mend=SEVERAL
            )
        if number == 1:
            yield from _one_after_another(steps, root, listen)
            return
        with tempfile.TemporaryDirectory(prefix="mdrbench-queue-") as queue:
            yield from coordinate(steps, root, listen, Path(queue), Processes(number, gpus))


def _one_after_another(steps: list[Step], root: Path, listen: Listener) -> Iterator[tuple[Step, Exception | None]]:
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


class Processes:
    """Worker processes of this machine; see :class:`mdrbench.pipeline.coordinator.Workers`."""

    elsewhere = False

    def __init__(self, number: int, gpus: int):
        self.number = number
        self.gpus = gpus
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._quick_deaths = 0

    def start(self, queue: Path, kinds: set[str]) -> None:
        """Start a process for each GPU or share of the cores, and one that waits for endpoints."""
        self._said = queue / ".output"
        threads = max(1, environment.cores() // self.number)
        for number in range(self.number):
            own = {"CUDA_VISIBLE_DEVICES": _visible(number % self.gpus)} if self.gpus else {}
            self._add(f"worker {number}", queue, "gpu,cpu", threads, own)
        if "endpoint" in kinds:
            self._add("endpoint", queue, "endpoint", 1, {})

    def _add(self, name: str, queue: Path, kinds: str, threads: int, own: dict[str, str]) -> None:
        command = [sys.executable, "-m", "mdrbench.pipeline.worker", str(queue), kinds, str(threads)]
        self._commands[name] = command, {**os.environ, "OMP_NUM_THREADS": str(threads), **own}
        self._start(name)

    def _start(self, name: str) -> None:
        command, variables = self._commands[name]
        with open(self._said, "ab") as said:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said, env=variables)
        self._running[name] = process, time.monotonic()

    def tend(self) -> None:
        """Start a process again that died.

        Raises:
            StepError: the processes die as soon as they start.
        """
        for name, (process, began) in list(self._running.items()):
            if process.poll() is None:
                continue
            lived = time.monotonic() - began
            self._quick_deaths = self._quick_deaths + 1 if lived < QUICK_S and process.returncode > 0 else 0
            if self._quick_deaths >= QUICK_DEATHS:
                said = self._said.read_text(encoding="utf-8", errors="replace")[-4000:]
                raise StepError(
                    f"the worker processes end with code {process.returncode} as soon as they start:\n{said}",
                    mend="run the command with --workers 1",
                )
            self._start(name)

    def stop(self) -> None:
        """End all processes: they watch their standard input."""
        for process, _ in self._running.values():
            if process.stdin:
                process.stdin.close()
        for process, _ in self._running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _visible(number: int) -> str:
    """Return the GPU of a worker, out of those that this process may use."""
    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return names[number] if number < len(names) else str(number)
