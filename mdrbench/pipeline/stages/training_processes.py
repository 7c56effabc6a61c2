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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mdrbench.core import environment
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
    with launched(job, processes, ["--standalone"], environment.cores()) as group:
        while group.poll() is None:
            time.sleep(POLL_SECONDS)
        if group.poll() != 0:
            raise group.error() or group.lost(group.output())
        return group.facts()


class Group:
    """The launcher of a group of processes, and the folder through which they speak."""

    def __init__(self, folder: Path, launcher: subprocess.Popen[bytes], job: Job):
        self._folder, self._launcher, self._job = folder, launcher, job

    def poll(self) -> int | None:
        """Report the progress of the first process; return the exit code of the launcher, None while it runs."""
        with suppress(FileNotFoundError):
            done, total = (self._folder / PROGRESS).read_text(encoding="utf-8").split()
            self._job.progress(int(done), int(total))
        return self._launcher.poll()

    def facts(self) -> dict[str, Any]:
        """Return the facts of the training, which the first process wrote."""
        facts: dict[str, Any] = json.loads((self._folder / FACTS).read_text(encoding="utf-8"))
        return facts

    def error(self) -> MdrbenchError | None:
        """Return the error that stopped a process, if it is one of ours."""
        if not (self._folder / ERROR).exists():
            return None
        error: MdrbenchError = pickle.loads((self._folder / ERROR).read_bytes())
        return error

    def output(self) -> str:
        """Return the end of the processes' output."""
        return (self._folder / SAID).read_text(encoding="utf-8", errors="replace").strip()[-4000:]

    def lost(self, output: str) -> StepError:
        """Return the error for a process that ended without one of ours."""
        return StepError(
            f"a training process ended with code {self._launcher.returncode}:\n{output}",
            mend="what is finished is kept; run the same command again, or with --set training.processes=1",
        )

    def end(self) -> None:
        """End the launcher and its processes, which watch the other end of its standard input."""
        assert self._launcher.stdin
        self._launcher.stdin.close()
        self._launcher.terminate()
        try:
            self._launcher.wait(LAUNCHER_SECONDS)
        except subprocess.TimeoutExpired:
            self._launcher.kill()
            self._launcher.wait()


@contextmanager
def launched(job: Job, processes: int, words: list[str], cores: int) -> Iterator[Group]:
    """Start processes on this machine with torch's launcher and more ``words`` for it; end them after the block."""
    import torch

    gpus = torch.accelerator.device_count()
    if gpus and processes > gpus:
        raise SetupError(
            f"{processes} processes for {gpus} GPU{'s' * (gpus > 1)}", mend=f"--set training.processes={gpus}"
        )
    with tempfile.TemporaryDirectory(prefix="mdrbench-") as scratch:
        folder = Path(scratch)
        (folder / JOB).write_bytes(pickle.dumps(dataclasses.replace(job, progress=silent)))
        launcher = ["-m", "torch.distributed.run", *words, f"--nproc-per-node={processes}"]
        command = [sys.executable, *launcher, "-m", "mdrbench.pipeline.stages.training_processes", scratch]
        with open(folder / SAID, "w", encoding="utf-8") as said:
            group = Group(
                folder,
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=said, stderr=said, env=_environment(processes, gpus, cores)
                ),
                job,
            )
            try:
                yield group
            finally:
                group.end()


def _environment(processes: int, gpus: int, cores: int) -> dict[str, str]:
    """Return the environment of the group; without a GPU the processes share the cores."""
    if gpus:
        return dict(os.environ)
    threads = max(1, cores // processes)
    return {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": str(threads)}


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
