"""The stage ``train`` on several processes of this machine: one for each GPU, or a share of the cores for each.

The stage's job is handed over in a file to a group that torch's launcher starts; ``accelerate`` in each of them finds
the others. If one process fails, the launcher ends all of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.children import end_with_parent
from mdrbench.core.errors import MdrbenchError, SetupError, StepError
from mdrbench.pipeline.plan.steps import Job, silent

JOB, PROGRESS, FACTS, ERROR, SAID = "job.pickle", "progress.txt", "facts.json", "error.pickle", "output.txt"
POLL_SECONDS = 0.5
LAUNCHER_SECONDS = 20.0
"""Seconds that the launcher gets for its own end."""


def together(job: Job, processes: int) -> dict[str, Any]:
    """Train with this many processes and return the facts of the training.

    Raises:
        SetupError: more processes than GPUs.
        MdrbenchError: the error that stopped the training, as a single process would have raised it.
        StepError: a process ended without an error; the message has the end of its output.
    """
    import torch

    gpus = torch.accelerator.device_count()
    if gpus and processes > gpus:
        raise SetupError(
            f"{processes} processes for {gpus} GPU{'s' * (gpus > 1)}", mend=f"--set training.processes={gpus}"
        )
    with tempfile.TemporaryDirectory(prefix="mdrbench-") as scratch:
        folder = Path(scratch)
        (folder / JOB).write_bytes(pickle.dumps(dataclasses.replace(job, progress=silent)))
        words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *words, "-m", "mdrbench.pipeline.stages.training_processes", scratch]
        with open(folder / SAID, "w", encoding="utf-8") as said:
            group = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=said, env=_environment(processes, gpus)
            )
            try:
                while group.poll() is None:
                    _show_progress(folder, job)
                    time.sleep(POLL_SECONDS)
            finally:
                _end(group)
        if group.returncode != 0:
            raise _why(folder, group.returncode)
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts


def _end(group: subprocess.Popen[bytes]) -> None:
    """End the launcher and its processes, which watch the other end of its standard input."""
    assert group.stdin
    group.stdin.close()
    group.terminate()
    try:
        group.wait(LAUNCHER_SECONDS)
    except subprocess.TimeoutExpired:
        group.kill()
        group.wait()


def _environment(processes: int, gpus: int) -> dict[str, str]:
    """Return the environment of the group; without a GPU the processes share the cores."""
    if gpus:
        return dict(os.environ)
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    return {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": str(threads)}


def _show_progress(folder: Path, job: Job) -> None:
    """Report the progress of the first process."""
    try:
        done, total = (folder / PROGRESS).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return
    job.progress(int(done), int(total))


def _why(folder: Path, code: int) -> MdrbenchError:
    if (folder / ERROR).exists():
        error: MdrbenchError = pickle.loads((folder / ERROR).read_bytes())
        return error
    said = (folder / SAID).read_text(encoding="utf-8", errors="replace").strip()
    return StepError(
        f"a training process ended with code {code}:\n{said[-4000:]}",
        mend="what is finished is kept; run the same command again, or with --set training.processes=1",
    )


def main(folder: Path) -> None:
    """Run one process of the group: the first writes the facts, and a process that is stopped writes its error."""
    from mdrbench.pipeline.stages.training import train_alone

    def tell(done: int, total: int | None) -> None:
        write_atomically(folder / PROGRESS, f"{done} {total}")

    end_with_parent()
    job = pickle.loads((folder / JOB).read_bytes())
    try:
        facts = train_alone(dataclasses.replace(job, progress=tell))
    except MdrbenchError as error:
        (folder / ERROR).write_bytes(pickle.dumps(error))
        raise SystemExit(1) from None
    if os.environ["RANK"] == "0":
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
