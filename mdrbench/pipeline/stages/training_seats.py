"""The stage ``train`` on several workers that train as one: each takes a seat, a part of the step.

Seat 0 writes the token files, calls a round and says where the processes meet. A round begins when every seat has come;
then each worker runs torch's launcher for its processes. If a worker dies, the round is over: another worker takes its
seat, and the next round continues from the last checkpoint.

::

    WORK/seats/meeting.json    the round, host and port of seat 0
    WORK/seats/ROUND/N         seat N has come; who sits there
    WORK/seats/ROUND/go        all have come
    WORK/seats/ROUND/over      a seat ends the round: its processes failed, or somebody else sits there now
    WORK/seats/ROUND/N.output  the end of the output of processes that failed
    WORK/seats/facts.json      the training is finished

``WORK`` is the step's work folder, which holds checkpoints and the trained model as in a training on one machine. Only
processes of a whole round write there.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import StepError
from mdrbench.pipeline.parts import Again, holds
from mdrbench.pipeline.plan.steps import Job
from mdrbench.pipeline.stages.training import SEATS, prepare
from mdrbench.pipeline.stages.training_processes import Group, launched

SEATS_S = float(os.environ.get("MDRBENCH_SEATS_S", "3600"))
"""Seconds that a seat waits for the others."""

POLL_S = 0.5

FAILURES = 2
"""Rounds that fail, one after another, with the same workers, before the step fails: no worker has died."""


class Round(NamedTuple):
    """A meeting of all seats: its name, and where seat 0 listens."""

    name: str
    host: str
    port: int


class _Over(Exception):
    """The round is over, and no process of it has an error of ours."""


def seat(job: Job, number: int) -> dict[str, Any]:
    """Train in one of ``job.params["nodes"]`` seats; return the facts of the training for seat 0, else nothing.

    Raises:
        MdrbenchError: the error that stopped a process of this seat.
        StepError: seat 0 waited in vain, or processes fail without an error of ours.
        Again: another seat waited in vain for seat 0, or another worker sits here now.
    """
    table = _Table(job, number)
    if number == 0 and table.facts() is None:
        prepare(replace(job, out=job.shared))
    while True:
        if (facts := table.facts()) is not None:
            return facts if number == 0 else {}
        with suppress(_Over):
            table.sit()


class _Table:
    """A seat's view of the folder of all seats."""

    def __init__(self, job: Job, number: int):
        self.job, self.number, self.nodes = job, number, job.params["nodes"]
        self.folder = job.shared / SEATS
        self.folder.mkdir(exist_ok=True)
        self.me = secrets.token_hex(6)
        self.left: str | None = None
        self.failures: list[list[str]] = []

    def facts(self) -> dict[str, Any] | None:
        """Return the facts of the training if it is finished."""
        with suppress(FileNotFoundError):
            facts: dict[str, Any] = json.loads((self.folder / "facts.json").read_text(encoding="utf-8"))
            return facts
        return None

    def sit(self) -> None:
        """Take part in a round until the training is finished; :class:`_Over` if the round ends before."""
        own = self._call() if self.number == 0 else self._come()
        where = [f"--nnodes={self.nodes}", f"--node-rank={self.number}"]
        where += [f"--master-addr={own.host}", f"--master-port={own.port}"]
        try:
            self._train(own, where)
        except _Over:
            if self.number == 0:
                self.failures.append(self._sitting(own))
            raise

    def _train(self, own: Round, where: list[str]) -> None:
        job, processes = replace(self.job, out=self.job.shared), self.job.params["processes"]
        with launched(job, processes, where, _threads()) as group:
            while (code := group.poll()) is None:
                self._check(own)
                time.sleep(POLL_S)
            if code != 0:
                raise self._failed(own, group)
            if self.number == 0:
                write_atomically(self.folder / "facts.json", json.dumps(group.facts()))
        self._wait(lambda: self.facts() is not None, lambda: self._check(own))

    def _call(self) -> Round:
        """Call a round as seat 0, and wait until all have come."""
        own = Round(secrets.token_hex(6), _address(), _free_port())
        folder = self.folder / own.name
        folder.mkdir()
        (folder / "0").write_text(self.me, encoding="utf-8")
        write_atomically(self.folder / "meeting.json", json.dumps(own))

        def come() -> int:
            return sum((folder / str(number)).exists() for number in range(self.nodes))

        def lonely() -> StepError:
            return StepError(
                f"only {come()} of {self.nodes} workers came to train together within {SEATS_S:.0f} s",
                mend="start more workers, set training.nodes to their number, or MDRBENCH_SEATS_S to more seconds",
            )

        self._wait(lambda: come() == self.nodes, lambda: self._check(own), lonely)
        if self.failures[-FAILURES:] == [self._sitting(own)] * FAILURES:
            raise StepError(
                f"the training failed {FAILURES} times with the same workers:\n{self._outputs()}",
                mend="what is finished is kept; run the same command again, or with fewer training.nodes",
            )
        (folder / "go").touch()
        return own

    def _outputs(self) -> str:
        """Return the end of what processes wrote in the rounds that failed."""
        paths = sorted(self.folder.glob("*/*.output"), key=lambda path: path.stat().st_mtime)[-self.nodes :]
        return "\n".join(f"seat {path.stem}:\n{path.read_text(encoding='utf-8')}" for path in paths)

    def _come(self) -> Round:
        """Come to the round that seat 0 calls, and wait until all have come."""

        def called() -> Round | None:
            with suppress(FileNotFoundError, ValueError):
                found = Round(*json.loads((self.folder / "meeting.json").read_text(encoding="utf-8")))
                return found if found.name != self.left else None
            return None

        self._wait(lambda: called() is not None, self._check_step, Again)
        own = called()
        if own is None:
            raise _Over
        self.left = own.name
        try:
            with open(self.folder / own.name / str(self.number), "x", encoding="utf-8") as file:
                file.write(self.me)
        except FileExistsError:  # the worker that sat here is gone
            self._end(own)
            raise _Over from None
        self._wait((self.folder / own.name / "go").exists, lambda: self._check(own), Again)
        return own

    def _check(self, own: Round) -> None:
        """End the round here if it is over elsewhere."""
        self._check_step()
        now = json.loads((self.folder / "meeting.json").read_text(encoding="utf-8"))[0]
        if now != own.name or (self.folder / own.name / "over").exists():
            raise _Over

    def _check_step(self) -> None:
        """Leave if the step has ended, or if another worker got this seat because this one counted as dead."""
        if not self.job.out.exists():
            raise StepError("the step ended meanwhile", mend="run the command again")
        if not holds(self.job.out):
            raise Again

    def _failed(self, own: Round, group: Group) -> Exception:
        """Return the error of this seat's processes, or end the round."""
        if (error := group.error()) is not None:
            return error
        write_atomically(self.folder / own.name / f"{self.number}.output", group.output())
        self._end(own)
        return _Over()

    def _end(self, own: Round) -> None:
        """End a round for all seats."""
        with suppress(FileNotFoundError):
            (self.folder / own.name / "over").touch()

    def _wait(
        self, ready: Callable[[], bool], check: Callable[[], None], late: Callable[[], Exception] | None = None
    ) -> None:
        """Wait until something is ready, for as long as a seat waits; without ``late`` for as long as it takes."""
        start = time.monotonic()
        while not ready():
            check()
            if late is not None and time.monotonic() - start > SEATS_S:
                raise late()
            time.sleep(POLL_S)

    def _sitting(self, own: Round) -> list[str]:
        return [(self.folder / own.name / str(number)).read_text(encoding="utf-8") for number in range(self.nodes)]


def _threads() -> int:
    """Return the threads that the worker has for its parts; its processes share them."""
    import torch

    return torch.get_num_threads()


def _address() -> str:
    """Return how other machines reach this one: ``MDRBENCH_HOST``, else the address of its name, else its name."""
    if host := os.environ.get("MDRBENCH_HOST"):
        return host
    name = socket.gethostname()
    with suppress(OSError):
        address = socket.gethostbyname(name)
        return name if address.startswith("127.") else address
    return name


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        port: int = listener.getsockname()[1]
        return port
