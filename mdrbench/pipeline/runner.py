"""Run planned steps on an executor: hit or miss, locks, progress, failures. This module knows nothing of retrieval.

Only the steps that the targets need are made: a step whose artifact exists is a hit, and the steps before it are not
looked at. If a step fails, the steps that need it fail too; all others go on.
"""

from __future__ import annotations

import platform
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mdrbench import __version__
from mdrbench.core import environment
from mdrbench.core.disk_space import out_of_space
from mdrbench.core.errors import DataError, MdrbenchError, SetupError, StepError
from mdrbench.core.store import Artifact, Store, canonical, key_of, require
from mdrbench.pipeline.events import recorded
from mdrbench.pipeline.parts import Again, take_over
from mdrbench.pipeline.plan.steps import Job, Progress, Ref, Step
from mdrbench.pipeline.stages import STAGES


class Event(NamedTuple):
    """What happened to a step: ``kind`` is hit, start, wait, damaged, progress, done, failed, skipped or dropped."""

    kind: str
    step: Step
    done: int = 0
    total: int | None = None
    seconds: float = 0.0
    text: str = ""


Listener = Callable[[Event], None]

Listening = Callable[[int], AbstractContextManager[Listener]]


class Executor(Protocol):
    """Where steps run: a member of :mod:`mdrbench.pipeline.executors`."""

    def run(self, steps: list[Step], root: Path, listen: Listener) -> Iterator[tuple[Step, Exception | None]]: ...


@dataclass
class Outcome:
    """The artifacts that a run made or found, and the failures by step reference."""

    artifacts: dict[tuple[str, str], Artifact] = field(default_factory=dict)
    failures: dict[tuple[str, str], Exception] = field(default_factory=dict)
    made: int = 0
    hits: int = 0


def needed(targets: Iterable[Step], steps: dict[tuple[str, str], Step], store: Store) -> tuple[list[Step], list[Step]]:
    """Return the steps to make for ``targets``, in order, and the steps whose artifacts exist."""
    to_make: dict[tuple[str, str], Step] = {}
    found: dict[tuple[str, str], Step] = {}

    def visit(step: Step) -> None:
        if step.ref in to_make or step.ref in found:
            return
        if store.find(*step.ref):
            found[step.ref] = step
            return
        for ref in step.inputs.values():
            visit(steps[ref])
        to_make[step.ref] = step

    for step in targets:
        visit(step)
    return list(to_make.values()), list(found.values())


def run(
    steps: Iterable[Step],
    targets: list[Step],
    store: Store,
    executor: Executor,
    listener: Listening,
    passing: frozenset[Ref] = frozenset(),
) -> Outcome:
    """Make the targets.

    No other process removes an artifact of these steps meanwhile. A caller that reads the artifacts afterwards holds
    :meth:`Store.in_use` itself.

    Args:
        steps: all steps that the targets may need.
        listener: gives a listener for a run in which so many steps are made.
        passing: artifacts that are removed as soon as all steps that read them are made; also those that an earlier
            run left. An artifact that another command needs stays.
    """
    by_ref = {step.ref: step for step in steps}
    with store.in_use(key for _, key in by_ref):
        to_make, found = needed(targets, by_ref, store)
        outcome = Outcome(hits=len(found))
        with listener(len(to_make)) as show, recorded(store.root, len(to_make)) as record:

            def listen(event: Event) -> None:
                show(event)
                record(event)

            for step in found:
                listen(Event("hit", step))
                outcome.artifacts[step.ref] = _touched(store, step)
            readers = Counter(ref for step in to_make for ref in step.inputs.values())
            _drop([by_ref[ref] for ref in passing if not readers[ref]], store, listen)
            for step, error in executor.run(to_make, store.root, listen):
                if error is None:
                    outcome.made += 1
                    outcome.artifacts[step.ref] = require(store.find(*step.ref), *step.ref)
                    readers.subtract(step.inputs.values())
                    read = [ref for ref in step.inputs.values() if ref in passing and not readers[ref]]
                    _drop([by_ref[ref] for ref in read], store, listen)
                else:
                    outcome.failures[step.ref] = error
    return outcome


def _drop(steps: list[Step], store: Store, listen: Listener) -> None:
    """Remove the artifacts of steps that were made."""
    for step in steps:
        folder = store.root / "artifacts" / step.stage / step.key
        if folder.exists() and store.remove(*step.ref, leased_here=True):
            listen(Event("dropped", step))


def _touched(store: Store, step: Step) -> Artifact:
    artifact = require(store.find(*step.ref), *step.ref)
    store.touch(artifact)
    return artifact


def run_step(step: Step, root: Path, listen: Listener) -> None:
    """Make one step under its lock, unless another process has made it meanwhile.

    The inputs are locked too, shared, so that nobody removes them while they are read.

    Raises:
        SetupError: the disk is full, or the machine lacks something.
        MdrbenchError: the data are wrong, or (StepError) something unexpected happened in the stage.
    """
    store = Store(root)
    with ExitStack() as held:
        held.enter_context(store.locked(step.key, on_wait=lambda: listen(Event("wait", step))))
        if store.find(*step.ref):
            listen(Event("hit", step))
            return
        if (root / "artifacts" / step.stage / step.key).exists():
            listen(Event("damaged", step))
        listen(Event("start", step))
        check_sources(step, store)
        check_conventions(step)
        inputs, beside = read_inputs(step, store, held)

        def progress(done: int, total: int | None, text: str = "") -> None:
            listen(Event("progress", step, done=done, total=total, text=text))

        try:
            work = store.work_dir(step.key, resume=step.resumable)
            take_over(work / PARTS)
            job = job_of(step, {**inputs, **beside}, work, progress)
            facts, usage = measured_stage(step, job, STAGES[step.stage])
            check_sources(step, store)
            commit(step, store, inputs, work, facts, usage, environment.describe())
        except BaseException as error:
            full = out_of_space(error, root) if isinstance(error, Exception) else None
            if not step.resumable:
                shutil.rmtree(store.root / "unfinished" / step.key, ignore_errors=True)
            if full:
                raise full from error
            raise
    listen(Event("done", step, seconds=usage.seconds))


PARTS = ".parts"
"""The folder in a step's work folder that workers share (:mod:`mdrbench.pipeline.parts`)."""


def read_inputs(step: Step, store: Store, held: ExitStack) -> tuple[dict[str, Artifact], dict[str, Artifact]]:
    """Return a step's inputs by role, and of its ``beside`` what is there. All are locked in ``held``."""
    inputs, beside = {}, {}
    for role, ref in step.inputs.items():
        held.enter_context(store.locked(ref[1], shared=True))
        inputs[role] = require(store.find(*ref), *ref)
        store.touch(inputs[role])
    for role, ref in step.beside.items():
        held.enter_context(store.locked(ref[1], shared=True))
        if artifact := store.find(*ref):
            beside[role] = artifact
    return inputs, beside


def commit(
    step: Step,
    store: Store,
    inputs: dict[str, Artifact],
    work: Path,
    facts: dict[str, Any],
    usage: environment.Usage,
    made_on: dict[str, Any],
) -> None:
    """Write the manifest and put the artifact into its place."""
    manifest = {
        "scope": step.scope,
        "made_of": step.made_of(),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": facts,
        "usage": {
            "seconds": round(usage.seconds, 3),
            "peak_bytes": usage.peak_bytes,
            "peak_of": usage.peak_scope,
            "bytes": sum(path.stat().st_size for path in work.rglob("*") if path.is_file()),
        },
        "environment": made_on,
    }
    manifest["lineage"] = _lineage(step, manifest, inputs)
    store.commit(step.stage, step.key, work, manifest)


def job_of(step: Step, inputs: dict[str, Artifact], out: Path, progress: Progress) -> Job:
    """Return the job that the step's stage gets."""
    return Job(
        scope=step.scope,
        params={**step.params, **step.run_only},
        members=step.members,
        dataset=step.dataset,
        inputs={role: artifact.path for role, artifact in inputs.items()},
        facts={role: artifact.facts for role, artifact in inputs.items()},
        out=out,
        shared=out,
        progress=progress,
    )


def measured_stage(
    step: Step, job: Job, stage: Callable[[Job], dict[str, Any]]
) -> tuple[dict[str, Any], environment.Usage]:
    """Run a stage, or a part of one; return its facts, time and memory. An unexpected error becomes a StepError."""
    try:
        with environment.measured() as usage:
            facts = stage(job)
    except (MdrbenchError, Again):
        raise
    except Exception as error:
        detail = "".join(traceback.format_exception(error)).rstrip()
        raise StepError(
            f"{step.stage} of '{step.scope}' failed: {error or type(error).__name__}\n{detail}",
            mend="what is finished is kept; run the same command again, or report the traceback",
        ) from error
    return facts, usage


def _lineage(step: Step, manifest: dict[str, Any], inputs: dict[str, Artifact]) -> dict[str, Any]:
    """Return key, facts, usage and environment of this step and all before it, so that a result needs one manifest.

    Entries are named by their stage. If inputs bring different artifacts of one stage (the parts of a hybrid), they are
    named by the input's role and the stage: ``bm25/index``. A step over all languages keeps its own entry only: the
    languages' entries are in their results.
    """
    own = {key: manifest[key] for key in ("made_at", "facts", "usage", "environment")}
    entries: dict[str, dict[str, Any]] = {}
    if step.scope != "all":
        before = {role: artifact.manifest["lineage"] for role, artifact in inputs.items()}
        for role, lineage in before.items():
            for name, entry in lineage.items():
                alike = all(other[name]["key"] == entry["key"] for other in before.values() if name in other)
                label = name if alike else f"{role}/{name}"
                while label in entries and entries[label]["key"] != entry["key"]:
                    label = f"{role}/{label}"
                entries[label] = entry
    return {**entries, step.stage: {"key": step.key, **own}}


def check_conventions(step: Step) -> None:
    """Raise a SetupError if this process would compute other numbers than the step's key stands for.

    A plan may come from another machine, or from another version of mdrbench: the key is made again here, and every
    member of the step says its conventions (precision, versions of engines) again.
    """
    if key_of(step.made_of()) != step.key:
        raise SetupError(
            f"{step.stage} of '{step.scope}' was planned by another version of mdrbench than {__version__}, which runs",
            mend="install the same mdrbench on all machines",
        )
    for role, member in step.members.items():
        own = step.params.get(role)
        planned = (own.get("conventions") if isinstance(own, dict) else None) or step.params.get("conventions")
        built = member.build()
        if not planned or not hasattr(built, "conventions"):
            continue
        here = built.conventions(step.scope) if member.family == "retrievers" else built.conventions()
        if step.stage in ("index", "structure"):
            here = {name: value for name, value in here.items() if name not in member.spec.search_only}
        said = [
            f"{name} is {_told(here, name)} here and {_told(planned, name)} in the plan"
            for name in sorted({*planned, *here} - OF_THE_PLAN)
            if canonical(planned.get(name)) != canonical(here.get(name))
        ]
        if said:
            raise SetupError(
                f"{step.stage} of '{step.scope}' would compute other numbers on this machine: {'; '.join(said)}",
                where=platform.node(),
                mend="set the value in the recipe (such as precision: fp32), or use machines of one kind",
            )


OF_THE_PLAN = {"version", "retriever_version", "trained_by"}
"""Conventions that a plan adds to those of a member."""


def _told(conventions: Mapping[str, Any], name: str) -> str:
    return canonical(conventions[name]) if name in conventions else "not set"


def check_sources(step: Step, store: Store) -> None:
    """Raise a DataError if a source file is not the one that the key was made of any more."""
    for path, digest in store.hash_files([Path(name) for name in step.sources]).items():
        if digest != step.sources[str(path)]:
            raise DataError("changed while the run was using it", where=str(path), mend="run the command again")
