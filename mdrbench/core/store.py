"""Content-addressed artifacts: immutable folders with a manifest, addressed by the hash of what made them.

::

    ROOT/artifacts/STAGE/KEY/      manifest.json and the files of one finished step
    ROOT/unfinished/KEY/           a step being made; never read by anyone else
    ROOT/locks/KEY.lock            held exclusively while KEY is made or removed, shared while it is read
    ROOT/file-hashes.json          SHA-256 of source files by path, size and time of change

A step writes into ``unfinished`` and the folder is renamed into place once its manifest, with the size and SHA-256 of
every file, is on disk: what is under ``artifacts`` is finished. Locks are the kernel's (``flock``), so a killed process
leaves none behind; a second run that needs the same key waits and then shares the artifact.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import SetupError, StepError, UsageError

MANIFEST = "manifest.json"
FORMAT = 1


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(value: object) -> str:
    """SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode("utf-8")).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def file_lock(path: Path, *, shared: bool = False, on_wait: Callable[[], None] = lambda: None):
    """Hold the kernel's lock on a file, made where it is missing; ``on_wait`` is called once when another process
    holds it. The lock goes with the process, however it ends."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with open(path, "w") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, kind)
        yield


def default_root() -> Path:
    """``$MDRBENCH_CACHE``, else ``$XDG_CACHE_HOME/mdrbench``, else ``~/.cache/mdrbench``."""
    if cache := os.environ.get("MDRBENCH_CACHE"):
        return Path(cache)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mdrbench"


@dataclass(frozen=True)
class Artifact:
    """One finished step. ``manifest`` holds stage, key, made_of, inputs, files, facts, usage and environment."""

    stage: str
    key: str
    path: Path
    manifest: dict

    @property
    def bytes(self) -> int:
        """Size of its files on disk."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    @property
    def facts(self) -> dict:
        """What the stage had to say about its output (counts, conventions)."""
        return self.manifest["facts"]


class Store:
    """All artifacts under one root folder; safe for several processes at once."""

    def __init__(self, root: Path):
        self.root = root
        try:
            for name in ("artifacts", "unfinished", "locks"):
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"the artifact store cannot be made: {error.strerror}",
                where=str(root),
                mend="set MDRBENCH_CACHE (or --cache) to a folder that you may write to",
            ) from None

    # -- looking up -------------------------------------------------------------------------------------------------

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artifact of a key, None where it is absent or visibly damaged (a file gone or of another size)."""
        path = self.root / "artifacts" / stage / key
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT:
                return None
            for name, entry in manifest["files"].items():
                if (path / name).stat().st_size != entry["bytes"]:
                    return None
        except (OSError, ValueError, KeyError):
            return None
        return Artifact(stage, key, path, manifest)

    def all(self) -> Iterator[tuple[str, str]]:
        """Stage and key of every folder under ``artifacts``, damaged ones included."""
        for stage in sorted((self.root / "artifacts").iterdir()):
            for folder in sorted(stage.iterdir()):
                yield stage.name, folder.name

    def verify(self, stage: str, key: str) -> list[str]:
        """Re-hash every file of an artifact; what is wrong with it, empty when all is well."""
        path = self.root / "artifacts" / stage / key
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            files = manifest["files"]
            made_of = key_of(manifest["made_of"])
        except (OSError, ValueError, KeyError) as error:
            return [f"{MANIFEST}: {error!r}"]
        problems = [] if made_of == key else [f"{MANIFEST}: its contents belong to key {made_of[:12]}"]
        for name, entry in files.items():
            if not (path / name).is_file():
                problems.append(f"{name}: missing")
            elif file_sha256(path / name) != entry["sha256"]:
                problems.append(f"{name}: bytes differ from the manifest's SHA-256")
        known = {*files, MANIFEST}
        problems += [f"{n}: not in the manifest" for n in sorted(_files(path)) if n not in known]
        return problems

    # -- making -----------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, key: str, *, shared: bool = False, on_wait: Callable[[], None] = lambda: None):
        """Hold the lock of a key; ``on_wait`` is called once when another process holds it."""
        with file_lock(self.root / "locks" / f"{key}.lock", shared=shared, on_wait=on_wait):
            yield

    def _try_lock(self, key: str):
        """An exclusively locked file, None where another process uses the key. Closing the file lets go."""
        file = open(self.root / "locks" / f"{key}.lock", "w")  # noqa: SIM115 - the caller closes it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def work_dir(self, key: str, *, resume: bool = False) -> Path:
        """The folder to make a key in. The caller holds its lock, so what lies there is an interrupted process's: it
        is deleted, or with ``resume`` left for a stage that can go on from it."""
        path = self.root / "unfinished" / key
        if not resume:
            shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self, stage: str, key: str, work: Path, manifest: dict) -> Artifact:
        """Complete the manifest with the files' sizes and hashes, sync, and rename the ``work`` folder into place."""
        files = {}
        for name in sorted(_files(work)):
            with open(work / name, "rb+") as file:
                os.fsync(file.fileno())
            files[name] = {"bytes": (work / name).stat().st_size, "sha256": file_sha256(work / name)}
        manifest = {"format": FORMAT, "stage": stage, "key": key, **manifest, "files": files}
        write_atomically(work / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        target = self.root / "artifacts" / stage / key
        target.parent.mkdir(exist_ok=True)
        if target.exists():  # a damaged earlier one
            self._remove(target)
        os.rename(work, target)
        return Artifact(stage, key, target, manifest)

    def _remove(self, path: Path) -> None:
        """Take a folder out of sight in one rename, then delete it."""
        doomed = self.root / "unfinished" / f"removed-{path.name}-{os.getpid()}-{time.monotonic_ns()}"
        os.rename(path, doomed)
        shutil.rmtree(doomed)

    def touch(self, artifact: Artifact) -> None:
        """Note that an artifact was used now; garbage collection goes by this."""
        os.utime(artifact.path / MANIFEST)

    # -- clearing ---------------------------------------------------------------------------------------------------

    def last_used(self, stage: str, key: str) -> float:
        """Seconds since the epoch at which an artifact was last used; 0 where it has no manifest."""
        try:
            return (self.root / "artifacts" / stage / key / MANIFEST).stat().st_mtime
        except OSError:
            return 0.0

    def remove(self, stage: str, key: str) -> bool:
        """Delete an artifact; False where another process is using it."""
        lock = self._try_lock(key)
        if lock is None:
            return False
        with lock:
            self._remove(self.root / "artifacts" / stage / key)
        return True

    def matching(self, prefix: str) -> list[tuple[str, str]]:
        """The artifacts whose key starts with ``prefix`` or whose stage is ``prefix``; none is an error."""
        found = [(stage, key) for stage, key in self.all() if key.startswith(prefix) or stage == prefix]
        if not found:
            raise UsageError(f"no artifact '{prefix}' in {self.root}", mend="see `mdrbench cache ls`")
        return found

    def clear_work(self) -> int:
        """Delete what killed processes left in ``unfinished``; the number of folders deleted."""
        cleared = 0
        for folder in (self.root / "unfinished").iterdir():
            lock = self._try_lock(folder.name.removeprefix("removed-").split("-")[0])
            if lock is not None:
                with lock:
                    shutil.rmtree(folder, ignore_errors=True)
                cleared += 1
        return cleared

    def hash_files(self, paths: list[Path]) -> dict[Path, str]:
        """SHA-256 of source files; one whose path, inode, size and times did not change is not read again."""
        return hash_files(paths, self.root / "file-hashes.json")


def hash_files(paths: list[Path], book: Path) -> dict[Path, str]:
    """SHA-256 of files, remembered in ``book`` by path and :func:`stat_mark`."""
    try:
        known = json.loads(book.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    fresh = {}
    for path in paths:
        mark = stat_mark(path)
        if known.get(str(path), [""])[0] != mark:
            fresh[str(path)] = [mark, file_sha256(path)]
    known |= fresh
    if fresh:
        with suppress(OSError):  # where it cannot be written, files are read again the next time
            write_atomically(book, json.dumps(known, indent=0))
    return {path: known[str(path)][1] for path in paths}


def stat_mark(path: Path) -> str:
    """Inode, size and times of change of a file; differs after any write to it."""
    stat = path.stat()
    return f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def _files(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]


def require(artifact: Artifact | None, stage: str, key: str) -> Artifact:
    """The artifact, or a StepError where it has gone since it was planned."""
    if artifact is None:
        raise StepError(
            f"artifact {stage} {key[:12]} is missing or damaged", mend="run the command again: it will be made anew"
        )
    return artifact
