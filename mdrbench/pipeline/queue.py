"""The queue of a run: a folder with one file for each step that workers may make parts of now.

The file holds the step and where its parts are (:mod:`mdrbench.pipeline.parts`). It is a pickle, so a queue is private:
a worker refuses a folder that belongs to another user or that others may write to.
"""

from __future__ import annotations

import os
import pickle
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mdrbench.core import environment
from mdrbench.core.atomic_files import whole
from mdrbench.core.errors import MdrbenchError, SetupError, UsageError
from mdrbench.core.store import default_root
from mdrbench.pipeline.parts import Part, listed
from mdrbench.pipeline.plan.steps import Step


@dataclass(frozen=True)
class Task:
    """A step whose parts are to be made.

    Attributes:
        parts: its windows; the single part ``whole`` for a step that does not divide.
        folder: the working folder of the run, for relative paths.
        environment: variables that every process of the run has: cache, answers and their owner, and the name of the
            run. Never a key of an endpoint.
    """

    step: Step
    root: Path
    parts: list[Part]
    folder: str
    environment: dict[str, str]


def shared_environment() -> dict[str, str]:
    """Return the variables that every process of a run has."""
    answers = os.environ.get("MDRBENCH_ANSWERS")
    return {
        "MDRBENCH_CACHE": str(default_root().absolute()),
        **({"MDRBENCH_ANSWERS": str(Path(answers).expanduser().absolute())} if answers else {}),
        environment.RUN: environment.run_id(),
    }


def default_queue() -> Path:
    """Return ``queue`` in the cache."""
    return default_root() / "queue"


def open_queue(folder: Path) -> Path:
    """Create a queue if it is missing, for its owner alone, and check that nobody else can put tasks into it.

    Raises:
        UsageError: it belongs to another user, or others may write to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
    except OSError as error:
        raise UsageError(
            f"the queue cannot be opened: {error.strerror}", where=str(folder), mend="choose another --queue"
        ) from None
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            "others may write to this queue, and a task can run any code",
            where=str(folder),
            mend=f"chmod 700 {folder}, or choose another --queue",
        )
    return folder


def post(queue: Path, number: int, task: Task) -> Path:
    """Offer a task to workers; they take those with a lower number first."""
    path = queue / f"{number:06}-{task.step.key}"
    with whole(path) as temporary:
        temporary.touch(mode=0o600)  # it holds the token of the owner of the answers, and others may read the folder
        temporary.write_bytes(pickle.dumps(task))
    return path


def _task(path: Path) -> Task:
    content = path.read_bytes()
    try:
        task: Task = pickle.loads(content)
    except MdrbenchError:
        raise
    except Exception as error:
        raise SetupError(
            f"the task cannot be read: {error or type(error).__name__}",
            where=str(path),
            mend="install the same mdrbench and packages on all machines; if no run is under way, delete the file",
        ) from None
    return task


class Tasks:
    """The tasks of a queue as a worker sees them; each is read once, and again if it is offered anew."""

    def __init__(self, queue: Path):
        self.queue = queue
        self._read: dict[str, tuple[tuple[int, int], Task]] = {}

    def now(self) -> list[Task]:
        """Return the tasks that are offered now, the most urgent first."""
        names = sorted(listed(self.queue))
        self._read = {name: read for name, read in self._read.items() if name in names}
        for name in names:
            with suppress(FileNotFoundError):  # it has ended since
                found = (self.queue / name).stat()
                written = found.st_ino, found.st_mtime_ns  # another coordinator may have taken over the step
                if name not in self._read or self._read[name][0] != written:
                    self._read[name] = written, _task(self.queue / name)
        return [self._read[name][1] for name in names if name in self._read]
