"""A worker: make parts of steps from a queue, one after another, until nothing is left or somebody says stop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mdrbench.core import environment
from mdrbench.core.children import end_with_parent
from mdrbench.core.console import say
from mdrbench.core.disk_space import out_of_space
from mdrbench.core.errors import MdrbenchError, StepError
from mdrbench.core.store import Store, require
from mdrbench.llm.owner import OwnerLostError
from mdrbench.pipeline import queue as queues
from mdrbench.pipeline.parts import WHOLE, Again, Claim, Parts
from mdrbench.pipeline.plan.steps import Job
from mdrbench.pipeline.queue import Task
from mdrbench.pipeline.runner import PARTS, check_conventions, job_of, measured_stage
from mdrbench.pipeline.stages import STAGES
from mdrbench.pipeline.stages.dividing import Division, division

POLL_S = 0.2

MOST_LOSSES = 3
"""Parts that a worker gives back because it cannot reach the owner of the answers, before the step fails."""

EVERYTHING = ("gpu", "cpu", "endpoint")
"""All kinds of steps (:attr:`mdrbench.pipeline.plan.steps.Step.needs`)."""


@dataclass
class _Prepared:
    """A task as this worker makes it: its parts, its job, and what is kept between two parts."""

    task: Task
    parts: Parts
    job: Job | None = None
    division: Division | None = None
    memory: dict[str, Any] = field(default_factory=dict)
    losses: int = 0


class Worker:
    """Makes parts of the tasks in a queue.

    Args:
        queue: the folder of tasks.
        kinds: the kinds of steps that it takes.
        threads: threads of torch for a part; a step that is not divided has all cores of the machine.
        stop: asked between two parts.
    """

    def __init__(self, queue: Path, kinds: tuple[str, ...], threads: int, stop: Callable[[], bool] = lambda: False):
        self.tasks = queues.Tasks(queues.open_queue(queue))
        self.kinds = kinds
        self.threads = threads
        self.stop = stop
        self.made = 0
        self._prepared: dict[str, _Prepared] = {}

    def run(self, idle_s: float | None = None) -> int:
        """Work until ``stop`` says so, or until there was nothing to do for ``idle_s`` seconds; return parts made."""
        last = time.monotonic()
        while not self.stop():
            if self._make_one():
                last = time.monotonic()
            elif idle_s is not None and time.monotonic() - last > idle_s:
                break
            else:
                time.sleep(POLL_S)
        return self.made

    def _make_one(self) -> bool:
        tasks = [task for task in self.tasks.now() if task.step.needs in self.kinds]
        keys = {task.step.key for task in tasks}
        self._prepared = {key: one for key, one in self._prepared.items() if key in keys}
        for task in tasks:
            prepared = self._prepared.get(task.step.key)
            if prepared is None or prepared.task is not task:
                folder = task.root / "unfinished" / task.step.key / PARTS
                resumable = task.step.resumable and [part.name for part in task.parts] == [WHOLE]
                prepared = self._prepared[task.step.key] = _Prepared(
                    task, Parts(folder, task.parts, resumable=resumable)
                )
            if (claim := self._claim(prepared)) is not None:
                self._forget_others(prepared)
                self._make(prepared, claim)
                return True
        return False

    def _claim(self, prepared: _Prepared) -> Claim | None:
        """Claim a part of a task; on a full disk, on which not even a claim can be written, the task fails."""
        try:
            return prepared.parts.claim()
        except OSError as error:
            if (full := out_of_space(error, prepared.task.root)) is None:
                raise
            prepared.parts.fail(prepared.task.parts[0].name, full)
            return None

    def _forget_others(self, prepared: _Prepared) -> None:
        """Free the memory of other steps: a model and encoded topics are kept for one step at a time."""
        for other in self._prepared.values():
            if other is not prepared:
                other.memory.clear()

    def _make(self, prepared: _Prepared, claim: Claim) -> None:
        task = prepared.task
        said: dict[str, Any] = {}
        os.environ.update(task.environment)
        with suppress(OSError):
            os.chdir(task.folder)

        def progress(done: int, total: int | None, text: str = "") -> None:
            said.update(done=done, total=total, text=text)

        try:
            with prepared.parts.beating(claim, said):
                note = self._made(prepared, claim, progress)
            self.made += prepared.parts.finish(claim, note)
        except (MdrbenchError, OSError) as error:
            if not claim.out.exists():  # the step ended in the meantime, and with it the folder of this attempt
                prepared.memory.clear()
            elif isinstance(error, OwnerLostError) and prepared.losses < MOST_LOSSES:
                prepared.losses += 1  # the coordinator may have ended; the next one offers the step anew
                say(str(error))
                prepared.parts.give_up(claim)
            elif cause := error if isinstance(error, MdrbenchError) else out_of_space(error, task.root):
                prepared.parts.give_up(claim, cause)
            else:
                raise
        except Again:
            prepared.parts.give_up(claim)
        except (KeyboardInterrupt, SystemExit):  # this process is to end: another worker takes the part at once
            prepared.parts.give_up(claim)
            raise

    def _made(self, prepared: _Prepared, claim: Claim, progress: Any) -> dict[str, Any]:
        """Make a part in the folder of its claim; return what is noted beside its files."""
        task = prepared.task
        if prepared.job is None:
            check_conventions(task.step)
            store = Store(task.root)
            inputs = {role: require(store.find(*ref), *ref) for role, ref in task.step.inputs.items()}
            beside = {role: found for role, ref in task.step.beside.items() if (found := store.find(*ref))}
            prepared.job = job_of(task.step, {**inputs, **beside}, claim.out, progress)
        whole = claim.part.name == WHOLE
        shared = claim.out if whole else prepared.parts.folder.parent
        job = replace(prepared.job, out=claim.out, shared=shared, progress=progress)
        if whole:
            self._use_threads(task, environment.cores())
            facts, usage = measured_stage(task.step, job, STAGES[task.step.stage])
        else:
            self._use_threads(task, self.threads)
            how = prepared.division = prepared.division or division(task.step.stage, job)
            if how is None:
                raise StepError(f"{task.step.stage} of '{task.step.scope}' does not divide here", mend="report this")
            facts, usage = measured_stage(task.step, job, lambda job: how.make(job, claim.part, prepared.memory))
        return {
            "facts": facts,
            "usage": [usage.seconds, usage.peak_bytes, usage.peak_scope],
            "environment": environment.describe(),
        }

    def _use_threads(self, task: Task, threads: int) -> None:
        if task.step.needs == "gpu":
            import torch

            torch.set_num_threads(threads)


def main(queue: Path, kinds: str, threads: int) -> None:
    """Run a worker that ends with the process that started it."""
    end_with_parent()
    Worker(queue, tuple(kinds.split(",")), threads).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
