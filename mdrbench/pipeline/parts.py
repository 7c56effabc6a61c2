"""Parts of a step on a file system that several machines share: claimed, written and checked by any number of workers.

::

    FOLDER/plan.json            the parts, fixed windows of the work; never changed
    FOLDER/claims/PART          who makes a part: attempt, machine, process
    FOLDER/beats/ATTEMPT        written every few seconds while the attempt works: items done
    FOLDER/attempts/ATTEMPT/    the files of a part that is being made; one process alone writes here
    FOLDER/done/PART/           a finished part: its files, and ``part.json`` with the SHA-256 of each
    FOLDER/failed/PART          the error that stopped a part

Correctness needs one thing of the file system: ``rename`` of a folder to a name that exists fails. A part is finished
by that rename, so the first attempt wins and a late one throws its files away: both hold the same bits. A claim only
saves work. It is a hard link, so it appears whole and once. A claim is free again if its process has ended on this
machine, or if its beat has not changed for :data:`STALE_S` seconds of the observer's own clock. The beat is opened to
be looked at, because an NFS client asks the server then, whatever it remembers of a folder. A list of files that is
out of date costs time: the link and the renames are decided by the server.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench.core import environment
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import MdrbenchError, StepError
from mdrbench.core.store import file_sha256

BEAT_S = 5.0
"""Seconds between two beats of a worker."""

STALE_S = float(os.environ.get("MDRBENCH_STALE_S", "120"))
"""Seconds without a beat after which a worker of another machine counts as dead. NFS may show a file 60 s late."""

MOST_DEATHS = 10
"""Workers that may die while they make one part, before the step fails: the part itself may kill them."""

NOTE = "part.json"

WHOLE = "whole"
"""The name of the only part of a step that is not divided."""

FOLDERS = ("claims", "beats", "attempts", "done", "failed")


class Part(NamedTuple):
    """A fixed window of a step's work: passages, rows or topics from ``start`` to before ``stop``."""

    name: str
    start: int
    stop: int


class Again(Exception):
    """A part cannot be made now, and nothing is wrong: its claim is given back."""


class Claim(NamedTuple):
    """The right to make a part; ``out`` is the folder to write to."""

    part: Part
    attempt: str
    out: Path


class Parts:
    """The parts of one step in a folder. Raise nothing if the folder is gone: then the step is over."""

    def __init__(self, folder: Path, parts: list[Part], *, resumable: bool = False):
        self.folder = folder
        self.parts = parts
        self.resumable = resumable
        self._beats: dict[str, tuple[str, float]] = {}

    @classmethod
    def create(cls, folder: Path, parts: list[Part], *, resumable: bool = False) -> Parts:
        """Begin, or continue what an earlier coordinator left: its plan and its finished parts are kept."""
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        if (planned := plan_of(folder)) is not None:
            parts = planned
        else:
            write_atomically(folder / "plan.json", json.dumps(parts))
        for path in (folder / "failed").iterdir():
            path.unlink()
        return cls(folder, parts, resumable=resumable)

    # -- workers ----------------------------------------------------------------------------------------------------

    def claim(self) -> Claim | None:
        """Claim the first part that nobody makes; None if there is none, or the step is over."""
        done, claims = listed(self.folder / "done"), listed(self.folder / "claims")
        if listed(self.folder / "failed"):
            return None
        for part in self.parts:
            if part.name in done or (part.name in claims and not self._is_free(part.name)):
                continue
            attempt = f"{part.name}-{secrets.token_hex(6)}"
            try:
                self._beat(attempt, {})
                if _link(self.folder / "claims" / part.name, {"attempt": attempt, **_me()}):
                    if (self.folder / "done" / part.name).exists():  # the list was out of date
                        continue
                    return Claim(part, attempt, self._out(part, attempt))
            except FileNotFoundError:
                return None
        return None

    def _out(self, part: Part, attempt: str) -> Path:
        """Make the folder of an attempt; a resumable part takes over what the attempt before it left."""
        out = self.folder / "attempts" / attempt
        for name in sorted(listed(out.parent)) if self.resumable else ():
            if name.startswith(f"{part.name}-"):
                with suppress(OSError):
                    os.rename(out.parent / name, out)
                    return out
        os.mkdir(out)
        return out

    def _is_free(self, name: str) -> bool:
        """Tell whether the claim of a part belongs to a worker that is dead; remove it then."""
        path = self.folder / "claims" / name
        try:
            holder = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False  # it is gone: the next look says more
        if (holder["machine"] == machine() and _runs(holder["pid"], holder["began"])) or (
            holder["machine"] != machine() and not self._is_silent(holder["attempt"])
        ):
            return False
        return self.retire(name, holder["attempt"])

    def _is_silent(self, attempt: str) -> bool:
        try:
            beat = (self.folder / "beats" / attempt).read_text(encoding="utf-8")
        except OSError:
            beat = ""
        now = time.monotonic()
        before, since = self._beats.setdefault(attempt, (beat, now))
        if before != beat:
            self._beats[attempt] = (beat, now)
            return False
        return now - since > STALE_S

    def retire(self, name: str, attempt: str) -> bool:
        """Remove the claim of an attempt, unless another has the part meanwhile; tell whether this was done."""
        path, old = self.folder / "claims" / name, self.folder / "claims" / f".{name}-{secrets.token_hex(6)}"
        try:
            os.rename(path, old)
            holder = json.loads(old.read_text(encoding="utf-8"))
            if holder["attempt"] != attempt:
                os.link(old, path)
                old.unlink()
                return False
        except (OSError, ValueError):
            return False
        if sum(other.startswith(f".{name}-") for other in listed(path.parent, hidden=True)) >= MOST_DEATHS:
            error = StepError(
                f"{MOST_DEATHS} workers died while they made part {name}",
                mend="look for the reason in their output (out of memory?), and run the command again",
            )
            self.fail(name, error)
            return False
        return True

    @contextmanager
    def beating(self, claim: Claim, progress: Mapping[str, Any]) -> Iterator[None]:
        """Write beats with the current progress while the block runs."""
        stop = threading.Event()

        def beat() -> None:
            number, last = 0, 0.0
            told: dict[str, Any] = {}
            while not stop.wait(0.5):
                now = dict(progress)
                if now != told or time.monotonic() - last >= BEAT_S:
                    number, told, last = number + 1, now, time.monotonic()
                    with suppress(OSError):
                        self._beat(claim.attempt, {**now, "beat": number})

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _beat(self, attempt: str, said: Mapping[str, Any]) -> None:
        with open(self.folder / "beats" / attempt, "w", encoding="utf-8") as file:
            file.write(json.dumps(said))

    def finish(self, claim: Claim, note: dict[str, Any]) -> bool:
        """Publish a part in one rename; False if another attempt did so before, or the step is over.

        An attempt that went on after another had taken over its folder is thrown away: it lacks what was there before.
        """
        if self.resumable and _holder(self.folder, claim.part.name) != claim.attempt:
            shutil.rmtree(claim.out, ignore_errors=True)
            return False
        try:
            files = {}
            for path in sorted(path for path in claim.out.rglob("*") if path.is_file()):
                with open(path, "rb+") as written:
                    os.fsync(written.fileno())
                entry = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
                files[str(path.relative_to(claim.out))] = entry
            with open(claim.out / NOTE, "w", encoding="utf-8") as file:  # an error if the folder is gone
                file.write(json.dumps({"attempt": claim.attempt, **note, "files": files}))
                file.flush()
                os.fsync(file.fileno())
            os.rename(claim.out, self.folder / "done" / claim.part.name)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY):
                raise
            shutil.rmtree(claim.out, ignore_errors=True)
            # a lost reply of a file server looks the same as a rename that failed
            return (self._note(claim.part.name) or {}).get("attempt") == claim.attempt
        return True

    def give_up(self, claim: Claim, error: MdrbenchError | None = None) -> None:
        """End an attempt without a result: with an error the step fails, without one the part is free again."""
        if error is not None:
            self.fail(claim.part.name, error)
        else:
            with suppress(OSError):
                if _holder(self.folder, claim.part.name) == claim.attempt:
                    (self.folder / "claims" / claim.part.name).unlink()
        if not self.resumable:
            shutil.rmtree(claim.out, ignore_errors=True)

    def fail(self, name: str, error: MdrbenchError) -> None:
        """Say that a part cannot be made, so that the step fails."""
        temporary = self.folder / "failed" / f".{name}-{secrets.token_hex(6)}"
        with suppress(FileNotFoundError):  # the step is over
            with suppress(OSError):  # a full disk: a file without content still says that the part failed
                temporary.write_bytes(pickle.dumps(error))
            os.replace(temporary, self.folder / "failed" / name)

    # -- the coordinator --------------------------------------------------------------------------------------------

    def failure(self) -> MdrbenchError | None:
        """Return the error of a part that failed; None if none did."""
        for name in sorted(listed(self.folder / "failed")):
            try:
                error: MdrbenchError = pickle.loads((self.folder / "failed" / name).read_bytes())
            except (EOFError, pickle.UnpicklingError):
                return StepError(
                    f"part {name} failed, and its worker could not write why", mend="free space on the disk"
                )
            return error
        return None

    def checked(self, name: str) -> dict[str, Any] | None:
        """Return the note of a finished part after all of its files were compared with their SHA-256.

        A damaged part is thrown away, and may be claimed again.
        """
        note, folder = self._note(name), self.folder / "done" / name
        with suppress(OSError):
            if note and all(file_sha256(folder / file) == entry["sha256"] for file, entry in note["files"].items()):
                return note
        with suppress(OSError):
            os.rename(folder, self.folder / "attempts" / f"damaged-{name}-{secrets.token_hex(6)}")
            (self.folder / "claims" / name).unlink()
        return None

    def _note(self, name: str) -> dict[str, Any] | None:
        try:
            note: dict[str, Any] = json.loads((self.folder / "done" / name / NOTE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return note

    def finished(self) -> set[str]:
        """Return the names of the parts that are finished."""
        return {part.name for part in self.parts} & listed(self.folder / "done")

    def progress(self) -> list[dict[str, Any]]:
        """Return the last beats of the attempts that are under way."""
        found = []
        done = self.finished()
        for name in listed(self.folder / "claims") - done:
            with suppress(OSError, ValueError, KeyError):
                holder = json.loads((self.folder / "claims" / name).read_text(encoding="utf-8"))
                found.append(json.loads((self.folder / "beats" / holder["attempt"]).read_text(encoding="utf-8")))
        return found

    def place(self, name: str, into: Path) -> None:
        """Put the files of a finished part into a folder; a second call does the same again."""
        note, folder = self._note(name), self.folder / "done" / name
        if note is None:
            raise StepError(f"part {name} cannot be read", where=str(folder), mend="run the same command again")
        for file in note["files"]:
            target = into / file
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
            try:
                os.link(folder / file, temporary)
            except OSError:  # a file system without hard links
                shutil.copyfile(folder / file, temporary)
            os.replace(temporary, target)
            temporary.unlink(missing_ok=True)  # `replace` leaves both names of one file as they are

    def close(self) -> None:
        """Remove the folder in one rename, so that no late worker writes into it."""
        work = self.folder.parent
        doomed = work.with_name(f"removed-{work.name}-{secrets.token_hex(6)}")
        with suppress(FileNotFoundError):
            os.rename(self.folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def holds(out: Path) -> bool:
    """Tell whether the attempt that writes to ``out`` (:class:`Claim`) still has its part."""
    return _holder(out.parent.parent, out.name.rpartition("-")[0]) == out.name


def _holder(folder: Path, name: str) -> str | None:
    """Return the attempt that has the claim of a part; None if none has it."""
    try:
        attempt: str = json.loads((folder / "claims" / name).read_text(encoding="utf-8"))["attempt"]
    except (OSError, ValueError):
        return None
    return attempt


def plan_of(folder: Path) -> list[Part] | None:
    """Return the parts that an earlier coordinator planned; None if there is no plan."""
    try:
        return [Part(*row) for row in json.loads((folder / "plan.json").read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return None


def take_over(folder: Path) -> None:
    """Put what workers left of an interrupted step into its work folder, for a process that makes the step alone.

    These are the parts up to the first that is missing or was made with other packages, or what an unfinished attempt
    of a whole step wrote.
    """
    if not (folder / "plan.json").exists():
        return
    parts, work = Parts.create(folder, []), folder.parent
    if [part.name for part in parts.parts] == [WHOLE]:
        attempts = sorted((folder / "attempts").iterdir(), key=lambda path: path.stat().st_mtime)
        for path in attempts[-1].iterdir() if attempts else ():
            os.replace(path, work / path.name)
    else:
        for part in parts.parts:
            note = parts.checked(part.name)
            if note is None or note["environment"]["packages"] != environment.describe()["packages"]:
                break
            parts.place(part.name, work)
    parts.close()


def listed(folder: Path, *, hidden: bool = False) -> set[str]:
    """Return the names in a folder; none if it is gone. On a network the list may be out of date."""
    try:
        return {name for name in os.listdir(folder) if hidden or not name.startswith(".")}
    except FileNotFoundError:
        return set()


def _link(path: Path, said: Mapping[str, Any]) -> bool:
    """Create a file with its content, whole and only once; False if it exists."""
    temporary = path.with_name(f".new-{secrets.token_hex(6)}")
    temporary.write_text(json.dumps(said), encoding="utf-8")
    try:
        os.link(temporary, path)
        return True
    except FileExistsError:
        return temporary.stat().st_nlink == 2  # the link was made, and the reply of the file server was lost
    finally:
        temporary.unlink(missing_ok=True)


@cache
def machine() -> str:
    """Return what tells this machine, and this container, from all others."""
    parts = [socket.gethostname()]
    with suppress(OSError):  # a system without /proc
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _me() -> dict[str, Any]:
    return {"machine": machine(), "pid": os.getpid(), "began": _began(os.getpid())}


def _runs(pid: int, began: str) -> bool:
    """Tell whether a process of this machine still runs, and is the one that began then."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _began(pid) == began


def _began(pid: int) -> str:
    """Return when a process began, in ticks of the kernel; empty if it does not say, or the process is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
