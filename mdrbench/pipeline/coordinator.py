"""Run steps through a queue: hold their locks, cut them into parts, put the parts together, commit.

One process coordinates a run, and any number of workers make parts. Steps that do not depend on each other are offered
at the same time.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mdrbench.core import environment
from mdrbench.core.disk_space import out_of_space
from mdrbench.core.errors import MdrbenchError, SetupError
from mdrbench.core.store import Artifact, Store
from mdrbench.llm.owner import owning
from mdrbench.pipeline.parts import WHOLE, Part, Parts, plan_of, take_over
from mdrbench.pipeline.plan.steps import Job, Step, silent
from mdrbench.pipeline.queue import Task, open_queue, post, shared_environment
from mdrbench.pipeline.runner import (
    PARTS,
    Event,
    Listener,
    check_conventions,
    check_sources,
    commit,
    job_of,
    measured_stage,
    read_inputs,
)
from mdrbench.pipeline.stages.dividing import Division, division

POLL_S = 0.2


class Workers(Protocol):
    """The workers of a run: processes, actors of a cluster, or whoever watches the queue.

    Attributes:
        elsewhere: whether some may be on other machines.
    """

    elsewhere: bool

    def start(self, queue: Path, kinds: set[str]) -> None:
        """Start workers for steps of these kinds (:attr:`mdrbench.pipeline.plan.steps.Step.needs`)."""

    def tend(self) -> None:
        """Replace workers that died; called a few times a second. Raise an error if there is no hope."""

    def stop(self) -> None:
        """End the workers."""


@dataclass
class _Active:
    """A step that is being made. Closing ``held`` gives back its locks and takes it from the queue."""

    step: Step
    held: ExitStack
    inputs: dict[str, Artifact]
    work: Path
    parts: Parts
    division: Division | None
    job: Job
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: tuple[int, int, str] = (0, 0, "")


def coordinate(
    steps: list[Step], root: Path, listen: Listener, queue: Path, workers: Workers
) -> Iterator[tuple[Step, Exception | None]]:
    """Make steps through a queue; yield each with None when it is done, or with the error that stopped it.

    Stores of answers are this process's own: workers ask it (:mod:`mdrbench.llm.owner`).
    """
    if not steps:
        return
    with ExitStack() as held:
        variables = shared_environment()
        if any(step.asks for step in steps):
            variables |= held.enter_context(owning(elsewhere=workers.elsewhere))
        workers.start(open_queue(queue), {step.needs for step in steps})
        coordinator = _Coordinator(steps, Store(root), listen, queue, variables)
        try:
            while coordinator.is_busy():
                if not queue.is_dir():
                    raise SetupError(
                        "the queue was removed while a run was using it",
                        where=str(queue),
                        mend="run the command again: parts that are finished are kept",
                    )
                yield from coordinator.turn()
                try:
                    workers.tend()
                except MdrbenchError as error:
                    raise out_of_space(error, root) or error from None
                time.sleep(POLL_S)
        finally:
            coordinator.close()
            workers.stop()


def _read(step: Step) -> list[tuple[str, str]]:
    """Return the artifacts that a step reads, also those that it can do without."""
    return [*step.inputs.values(), *step.beside.values()]


def _of_several_softwares(step: Step, notes: Iterable[dict[str, Any]]) -> SetupError | None:
    """Return an error if parts were made with different packages: an artifact's record names one version of each."""
    packages = [note["environment"]["packages"] for note in notes]
    for name in sorted(set().union(*packages)):
        if len(versions := {str(one.get(name, "no version")) for one in packages}) > 1:
            return SetupError(
                f"parts of {step.stage} of '{step.scope}' were made with {' and '.join(sorted(versions))} of {name}",
                mend="install the same packages on all machines, and run the command again: the step begins anew",
            )
    return None


class _Coordinator:
    def __init__(self, steps: list[Step], store: Store, listen: Listener, queue: Path, environment: dict[str, str]):
        self.store, self.listen, self.queue = store, listen, queue
        self.pending = {step.ref: step for step in steps}
        self.numbers = {step.ref: number for number, step in enumerate(steps)}
        self.active: dict[tuple[str, str], _Active] = {}
        self.failed: dict[tuple[str, str], Exception] = {}
        self.waiting: set[tuple[str, str]] = set()
        self.environment = environment

    def is_busy(self) -> bool:
        return bool(self.pending or self.active)

    def close(self) -> None:
        for active in self.active.values():
            active.held.close()

    def turn(self) -> Iterator[tuple[Step, Exception | None]]:
        """Look once after all steps: begin those whose inputs are there, and commit those whose parts are."""
        for step in list(self.pending.values()):
            cause = next((self.failed[ref] for ref in step.inputs.values() if ref in self.failed), None)
            if cause is not None:
                self.listen(Event("skipped", step))
                yield self._ended(step, cause)
            elif not any(ref in self.pending or ref in self.active for ref in _read(step)):
                yield from self._guarded(step, self._begin)
        for active in list(self.active.values()):
            yield from self._guarded(active.step, self._look_after)

    def _guarded(self, step: Step, action: Any) -> Iterator[tuple[Step, Exception | None]]:
        """Yield a step that ended, with the error that stopped it."""
        try:
            if action(step):
                yield self._ended(step, None)
        except (MdrbenchError, OSError) as error:
            cause = out_of_space(error, self.store.root) or error
            if not isinstance(cause, MdrbenchError):
                raise
            self.listen(Event("failed", step, text=str(cause)))
            yield self._ended(step, cause)

    def _ended(self, step: Step, error: Exception | None) -> tuple[Step, Exception | None]:
        self.pending.pop(step.ref, None)
        if (active := self.active.pop(step.ref, None)) is not None:
            active.held.close()
        if error is not None:
            self.failed[step.ref] = error
        return step, error

    def _begin(self, step: Step) -> bool:
        """Lock a step and offer its parts; True if there is nothing to do."""
        with ExitStack() as held:
            lock = self.store.try_locked(step.key)
            if lock is None:
                if step.ref not in self.waiting:
                    self.listen(Event("wait", step))
                self.waiting.add(step.ref)
                return False
            held.enter_context(lock)
            if self.store.find(*step.ref):
                self.listen(Event("hit", step))
                return True
            if (self.store.root / "artifacts" / step.stage / step.key).exists():
                self.listen(Event("damaged", step))
            self.listen(Event("start", step))
            check_sources(step, self.store)
            inputs, beside = read_inputs(step, self.store, held)
            active = self._divided(step, inputs, beside, held)
            self.active[step.ref] = active
            del self.pending[step.ref]
            task = Task(step, self.store.root.absolute(), active.parts.parts, str(Path.cwd()), self.environment)
            path = post(self.queue, self.numbers[step.ref], task)
            held.callback(path.unlink, missing_ok=True)
            active.held = held.pop_all()
        return False

    def _divided(
        self, step: Step, inputs: dict[str, Artifact], beside: dict[str, Artifact], held: ExitStack
    ) -> _Active:
        """Cut a step into parts, or take the parts of an earlier coordinator."""
        work = self.store.work_dir(step.key, resume=True)
        job = job_of(step, {**inputs, **beside}, work, silent)
        how = division(step.stage, job)
        whole = how is None and step.resumable
        wanted = how.parts if how else [Part(WHOLE, 0, 0)]
        if (whole or (how and how.together)) and plan_of(work / PARTS) not in (None, wanted):
            take_over(work / PARTS)  # it was begun with another number of workers
        leftover = [] if (work / PARTS).exists() or (how and step.resumable) else list(work.iterdir())
        parts = Parts.create(work / PARTS, wanted, resumable=whole)
        if whole and leftover:
            (work / PARTS / "attempts" / f"{WHOLE}-before").mkdir()
        for path in leftover:
            if whole:
                path.rename(work / PARTS / "attempts" / f"{WHOLE}-before" / path.name)
            else:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return _Active(step, held, inputs, work, parts, how, job)

    def _look_after(self, step: Step) -> bool:
        """Look after the parts of a step; True when the step is committed."""
        active = self.active[step.ref]
        if (error := active.parts.failure()) is not None:
            active.parts.close()
            if not step.resumable:
                shutil.rmtree(active.work, ignore_errors=True)
            raise error
        for name in sorted(active.parts.finished() - active.notes.keys()):
            if (note := active.parts.checked(name)) is not None:
                active.notes[name] = note
        if len(active.notes) == len(active.parts.parts):
            if (error := _of_several_softwares(step, active.notes.values())) is not None:
                active.parts.close()
                raise error
            self._commit(active)
            return True
        self._tell(active)
        return False

    def _tell(self, active: _Active) -> None:
        parts, finished = active.parts.parts, len(active.notes)
        beats = active.parts.progress()
        if active.division is None:
            beat = next((beat for beat in beats if beat.get("total")), None)
            now = (beat["done"], beat["total"], beat.get("text", "")) if beat else (0, 0, "")
        elif active.division.together:
            beat = next((beat for beat in beats if beat.get("total")), {})
            now = (beat.get("done", 0), beat.get("total", 0), f"{len(beats)} of {len(parts)} workers")
        else:
            done = sum(part.stop - part.start for part in parts if part.name in active.notes)
            total = parts[-1].stop - parts[0].start
            under_way = sum(beat.get("done", 0) * (active.step.stage == "index") for beat in beats)
            now = (min(total, done + under_way), total, f"{finished} of {len(parts)} parts, {len(beats)} being made")
        if now != active.told and now[1]:
            active.told = now
            self.listen(Event("progress", active.step, done=now[0], total=now[1], text=now[2]))

    def _commit(self, active: _Active) -> None:
        step, parts = active.step, active.parts.parts
        notes = [active.notes[part.name] for part in parts]
        for part in parts:
            active.parts.place(part.name, active.work)
        active.parts.close()
        usage = environment.Usage()
        if active.division is None:
            facts = notes[0]["facts"]
        else:
            how, facts_of = active.division, [note["facts"] for note in notes]
            facts, usage = measured_stage(step, active.job, lambda job: how.gather(job, parts, facts_of))
        seconds = [note["usage"][0] for note in notes]
        at_once = active.division is not None and active.division.together
        usage.seconds += max(seconds) if at_once else sum(seconds)
        usage.peak_bytes = max([usage.peak_bytes, *(note["usage"][1] for note in notes)])
        usage.peak_scope = notes[0]["usage"][2] if notes else usage.peak_scope
        check_sources(step, self.store)
        check_conventions(step) if not notes else None
        made_on = notes[0]["environment"] if notes else environment.describe()
        commit(step, self.store, active.inputs, active.work, facts, usage, made_on)
        self.listen(Event("done", step, seconds=usage.seconds))
