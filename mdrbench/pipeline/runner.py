"""Runs planned steps on an executor: hit or miss, locks, progress, failures. Knows nothing of retrieval.

Only what the targets need is made: a step whose artifact exists is a hit, and the steps before it are not even looked
at. A failing step fails those that need it; all others go on, so that one bad file does not cost a night.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mdrbench.core import environment
from mdrbench.core.errors import DataError, MdrbenchError, StepError
from mdrbench.core.store import Artifact, Store, require
from mdrbench.pipeline.plan.steps import Job, Step
from mdrbench.pipeline.stages import STAGES


class Event(NamedTuple):
    """News of a step: ``kind`` is hit, start, wait, damaged, progress, done, failed or skipped."""

    kind: str
    step: Step
    done: int = 0
    total: int | None = None
    seconds: float = 0.0
    text: str = ""


Listener = Callable[[Event], None]


@dataclass
class Outcome:
    """What a run made or found, and what failed: step reference -> error."""

    artifacts: dict[tuple[str, str], Artifact] = field(default_factory=dict)
    failures: dict[tuple[str, str], Exception] = field(default_factory=dict)
    made: int = 0
    hits: int = 0


def needed(targets: Iterable[Step], steps: dict[tuple[str, str], Step], store: Store) -> tuple[list[Step], list[Step]]:
    """Steps to make, in order, and the steps found, when ``targets`` are wanted."""
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


def run(steps: list[Step], targets: list[Step], store: Store, executor, listen: Listener) -> Outcome:
    """Make the targets. ``steps`` holds everything they may need; ``executor`` is a member of ``executors``."""
    by_ref = {step.ref: step for step in steps}
    to_make, found = needed(targets, by_ref, store)
    outcome = Outcome(hits=len(found))
    for step in found:
        listen(Event("hit", step))
        outcome.artifacts[step.ref] = _touched(store, step)
    for step, error in executor.run(to_make, store.root, listen):
        if error is None:
            outcome.made += 1
            outcome.artifacts[step.ref] = require(store.find(*step.ref), *step.ref)
        else:
            outcome.failures[step.ref] = error
    return outcome


def _touched(store: Store, step: Step) -> Artifact:
    artifact = require(store.find(*step.ref), *step.ref)
    store.touch(artifact)
    return artifact


def run_step(step: Step, root: Path, listen: Listener) -> None:
    """Make one step under its lock, or find that another process has made it meanwhile.

    The inputs are locked too, shared, so that nobody clears them away while they are read.

    Raises:
        MdrbenchError: bad data, a machine that lacks something, or (StepError) anything unexpected in the stage.
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
        _check_sources(step, store)
        inputs = {}
        for role, ref in step.inputs.items():
            held.enter_context(store.locked(ref[1], shared=True))
            inputs[role] = require(store.find(*ref), *ref)
            store.touch(inputs[role])
        work = store.work_dir(step.key, resume=step.resumable)
        job = job_of(step, inputs, work, lambda done, total: listen(Event("progress", step, done=done, total=total)))
        facts, usage = _measured_stage(step, job)
        _check_sources(step, store)
        manifest = {
            "scope": step.scope,
            "made_of": step.made_of(),
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "facts": facts,
            "usage": {"seconds": round(usage.seconds, 3), "peak_bytes": usage.peak_bytes, "peak_of": usage.peak_scope},
            "environment": environment.describe(),
        }
        manifest["lineage"] = _lineage(step, manifest, inputs)
        store.commit(step.stage, step.key, work, manifest)
    listen(Event("done", step, seconds=usage.seconds))


def job_of(step: Step, inputs: dict[str, Artifact], out: Path, progress: Callable[[int, int | None], None]) -> Job:
    """What the step's stage gets."""
    return Job(
        scope=step.scope,
        params={**step.params, **step.run_only},
        dataset=step.dataset,
        inputs={role: artifact.path for role, artifact in inputs.items()},
        facts={role: artifact.facts for role, artifact in inputs.items()},
        out=out,
        progress=progress,
    )


def _measured_stage(step: Step, job: Job):
    try:
        with environment.measured() as usage:
            facts = STAGES[step.stage](job)
    except MdrbenchError:
        raise
    except Exception as error:
        detail = "".join(traceback.format_exception(error)).rstrip()
        raise StepError(
            f"{step.stage} of '{step.scope}' failed: {error or type(error).__name__}\n{detail}",
            mend="what is finished is kept; run the same command again, or report the traceback",
        ) from error
    return facts, usage


def _lineage(step: Step, manifest: dict, inputs: dict[str, Artifact]) -> dict:
    """Key, facts, usage and environment of this step and of all before it, so that a result needs one manifest.

    Entries go by their stage; where inputs bring different artifacts of one stage (the parts of a hybrid), by the
    input's role and the stage: ``bm25/index``. A step over all languages keeps its own entry only: the languages'
    entries are in their results.
    """
    own = {key: manifest[key] for key in ("made_at", "facts", "usage", "environment")}
    entries: dict[str, dict] = {}
    if step.scope != "all":
        before = {role: artifact.manifest["lineage"] for role, artifact in inputs.items()}
        for role, lineage in before.items():
            for name, entry in lineage.items():
                alike = all(other[name]["key"] == entry["key"] for other in before.values() if name in other)
                entries[name if alike else f"{role}/{name}"] = entry
    return {**entries, step.stage: {"key": step.key, **own}}


def _check_sources(step: Step, store: Store) -> None:
    """The files must still be the ones that the key was made of."""
    for path, digest in store.hash_files([Path(name) for name in step.sources]).items():
        if digest != step.sources[str(path)]:
            raise DataError("changed while the run was using it", where=str(path), mend="run the command again")
