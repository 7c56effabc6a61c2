"""Content-addressed artifacts: immutable folders with a manifest, addressed by the hash of their origin.

::

    ROOT/artifacts/STAGE/KEY/      manifest.json and the files of one finished step
    ROOT/unfinished/KEY/           a step that is being made; no other process reads it
    ROOT/locks/KEY.lock            held exclusively while KEY is made or removed, shared while it is read
    ROOT/in-use/...                the keys that running commands still need (:mod:`mdrbench.core.leases`)
    ROOT/checked/KEY.json          the files of KEY whose SHA-256 was compared, by inode, size and times
    ROOT/file-hashes.json          SHA-256 of source files by path, inode, size and times

A step writes into ``unfinished``. The folder is renamed into place after its manifest, with the size and SHA-256 of
every file, is on disk, so every folder under ``artifacts`` is finished. The manifest carries a seal, and each file is
compared with its SHA-256 before it is used; a file whose inode, size and times did not change is not read again. Locks
are the kernel's (``flock``): a killed process leaves none behind, and a second run that needs the same key waits and
then shares the artifact.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import SetupError, StepError, UsageError
from mdrbench.core.leases import clearing, lease, leased
from mdrbench.core.locks import file_lock, try_lock

MANIFEST = "manifest.json"
FORMAT = 2
SEAL = "seal"
"""The key of a sealed mapping that holds its seal."""


def canonical(value: object) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def seal_of(data: Mapping[str, Any]) -> str:
    """Return the seal of a JSON object: the SHA-256 of its canonical JSON without the key ``seal``."""
    return key_of({name: value for name, value in data.items() if name != SEAL})


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def default_root() -> Path:
    """Return ``$MDRBENCH_CACHE``, else ``$XDG_CACHE_HOME/mdrbench``, else ``~/.cache/mdrbench``."""
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
    manifest: dict[str, Any]

    @property
    def bytes(self) -> int:
        """The size of its files on disk."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    @property
    def facts(self) -> dict[str, Any]:
        """What the stage recorded about its output (counts, conventions)."""
        facts: dict[str, Any] = self.manifest["facts"]
        return facts


class Store:
    """All artifacts under one root folder; safe for several processes at once."""

    def __init__(self, root: Path):
        self.root = root
        try:
            for name in ("artifacts", "unfinished", "locks", "checked"):
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"the artifact store cannot be created: {error.strerror}",
                where=str(root),
                mend="set MDRBENCH_CACHE (or --cache) to a folder that you may write to",
            ) from None

    # -- looking up -------------------------------------------------------------------------------------------------

    def find(self, stage: str, key: str) -> Artifact | None:
        """Return the artifact of a key, or None if it is absent or damaged.

        An artifact is damaged if its manifest does not match its seal or its key, if a file is missing, or if a file's
        bytes differ from the recorded SHA-256. A file is read only if its inode, size or times changed since the last
        comparison.
        """
        path = self.root / "artifacts" / stage / key
        try:
            manifest = _read_manifest(path)
            if _manifest_problem(manifest, stage, key) or not self._unchanged(path, key, manifest["files"]):
                return None
        except _UNREADABLE:
            return None
        return Artifact(stage, key, path, manifest)

    def _unchanged(self, path: Path, key: str, files: dict[str, dict[str, Any]]) -> bool:
        """Compare files with the manifest; what was compared before and has not been touched is not read again."""
        book = self.root / "checked" / f"{key}.json"
        try:
            known = json.loads(book.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        checked = {name: [stat_mark(path / name), entry["sha256"]] for name, entry in files.items()}
        for name, entry in files.items():
            if known.get(name) == checked[name]:
                continue
            if (path / name).stat().st_size != entry["bytes"] or file_sha256(path / name) != entry["sha256"]:
                return False
        if known != checked:
            with suppress(OSError):  # if it cannot be written, the files are read again next time
                write_atomically(book, json.dumps(checked))
        return True

    def all(self) -> Iterator[tuple[str, str]]:
        """Yield stage and key of every folder under ``artifacts``, damaged ones included."""
        for stage in sorted((self.root / "artifacts").iterdir()):
            for folder in sorted(stage.iterdir()):
                yield stage.name, folder.name

    def verify(self, stage: str, key: str) -> list[str]:
        """Read every file of an artifact again; return what is wrong with it."""
        path = self.root / "artifacts" / stage / key
        try:
            manifest = _read_manifest(path)
            files, problem = manifest["files"], _manifest_problem(manifest, stage, key)
        except FileNotFoundError:
            return [f"{MANIFEST}: missing"]
        except _UNREADABLE as error:
            return [f"{MANIFEST}: is not a manifest ({error!r})"]
        problems = [f"{MANIFEST}: {problem}"] if problem else []
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
    def locked(self, key: str, *, shared: bool = False, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock of a key; ``on_wait`` is called once if another process holds it."""
        with file_lock(self._lock_file(key), shared=shared, on_wait=on_wait):
            yield

    def try_locked(self, key: str) -> TextIO | None:
        """Lock a key for making it, without waiting; closing the file unlocks it. None: another process has it."""
        return try_lock(self._lock_file(key))

    @contextmanager
    def in_use(self, keys: Iterable[str]) -> Iterator[None]:
        """Protect artifacts, also those that are not made yet, from :meth:`remove` while the block runs."""
        with lease(self.root, keys):
            yield

    def _lock_file(self, key: str) -> Path:
        return self.root / "locks" / f"{key}.lock"

    def work_dir(self, key: str, *, resume: bool = False) -> Path:
        """Return the folder to make a key in. The caller holds its lock, so anything in it is from an interrupted
        process: it is deleted, or with ``resume`` kept for a stage that can continue from it."""
        path = self.root / "unfinished" / key
        if not resume:
            shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self, stage: str, key: str, work: Path, manifest: dict[str, Any]) -> Artifact:
        """Complete the manifest with files, sizes, hashes and the seal; sync; rename the ``work`` folder into place."""
        files = {}
        for name in sorted(_files(work)):
            with open(work / name, "rb+") as file:
                os.fsync(file.fileno())
            files[name] = {"bytes": (work / name).stat().st_size, "sha256": file_sha256(work / name)}
        manifest = {"format": FORMAT, "stage": stage, "key": key, **manifest, "files": files}
        manifest = json.loads(json.dumps(manifest))  # tuples and integer keys as a reader will find them
        manifest[SEAL] = seal_of(manifest)
        write_atomically(work / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        target = self.root / "artifacts" / stage / key
        target.parent.mkdir(exist_ok=True)
        if target.exists():  # a damaged earlier one
            shutil.rmtree(self._hidden(target))
        os.rename(work, target)
        marks = {name: [stat_mark(target / name), entry["sha256"]] for name, entry in files.items()}
        write_atomically(self.root / "checked" / f"{key}.json", json.dumps(marks))
        return Artifact(stage, key, target, manifest)

    def _hidden(self, path: Path) -> Path:
        """Move a folder out of sight in one rename; return where it is now."""
        doomed = self.root / "unfinished" / f"removed-{path.name}-{os.getpid()}-{time.monotonic_ns()}"
        os.rename(path, doomed)
        return doomed

    def touch(self, artifact: Artifact) -> None:
        """Record that an artifact was used now; garbage collection goes by this."""
        with suppress(FileNotFoundError):
            os.utime(artifact.path / MANIFEST)

    # -- clearing ---------------------------------------------------------------------------------------------------

    def last_used(self, stage: str, key: str) -> float:
        """Return when an artifact was last used, in seconds since the epoch; 0 if it has no manifest."""
        try:
            return (self.root / "artifacts" / stage / key / MANIFEST).stat().st_mtime
        except OSError:
            return 0.0

    def remove(self, stage: str, key: str, *, leased_here: bool = False) -> bool:
        """Delete an artifact; return False if another process reads it or a running command still needs it.

        Args:
            leased_here: delete it also if this process has leased it: its run needs the artifact no longer.
        """
        with clearing(self.root):
            if key in leased(self.root, by_others=leased_here):
                return False
            lock = try_lock(self._lock_file(key))
            if lock is None:
                return False
            with lock:
                try:
                    doomed = self._hidden(self.root / "artifacts" / stage / key)
                except FileNotFoundError:  # another process removed it
                    return True
                (self.root / "checked" / f"{key}.json").unlink(missing_ok=True)
        shutil.rmtree(doomed, ignore_errors=True)
        return True

    def matching(self, prefix: str) -> list[tuple[str, str]]:
        """Return the artifacts whose key starts with ``prefix`` or whose stage is ``prefix``; none is an error."""
        found = [(stage, key) for stage, key in self.all() if key.startswith(prefix) or stage == prefix]
        if not found:
            raise UsageError(f"no artifact '{prefix}' in {self.root}", mend="see `mdrbench cache ls`")
        return found

    def clear_work(self) -> int:
        """Delete what killed processes left in ``unfinished``; return the number of folders deleted."""
        cleared = 0
        for folder in list((self.root / "unfinished").iterdir()):
            lock = try_lock(self._lock_file(folder.name.removeprefix("removed-").split("-")[0]))
            if lock is not None:
                with lock:
                    shutil.rmtree(folder, ignore_errors=True)
                cleared += 1
        return cleared

    def hash_files(self, paths: list[Path]) -> dict[Path, str]:
        """Return the SHA-256 of source files. A file whose path, inode, size and times did not change is not read."""
        return hash_files(paths, self.root / "file-hashes.json")


_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors of reading a file that should be a manifest, whatever it holds."""


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def _manifest_problem(manifest: dict[str, Any], stage: str, key: str) -> str | None:
    """Compare a manifest with its seal and its place; return what is wrong, None if nothing is."""
    if manifest["format"] != FORMAT:
        return f"has format {manifest['format']}, this mdrbench reads {FORMAT}"
    if manifest[SEAL] != seal_of(manifest):
        return "was changed after it was written: its seal does not match"
    made_of = key_of(manifest["made_of"])
    if (manifest["stage"], made_of) != (stage, key):
        return f"its contents belong to {manifest['stage']} {made_of[:12]}"
    return None


def hash_files(paths: list[Path], book: Path) -> dict[Path, str]:
    """Return the SHA-256 of files, remembered in ``book`` by path and :func:`stat_mark`."""
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
        with suppress(OSError):  # if it cannot be written, the files are read again next time
            write_atomically(book, json.dumps(known, indent=0))
    return {path: known[str(path)][1] for path in paths}


def stat_mark(path: Path) -> str:
    """Return inode, size and times of a file; the text differs after any write to it."""
    stat = path.stat()
    return f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def _files(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]


def require(artifact: Artifact | None, stage: str, key: str) -> Artifact:
    """Return the artifact; raise a StepError if it disappeared after it was planned."""
    if artifact is None:
        raise StepError(
            f"artifact {stage} {key[:12]} is missing or damaged", mend="run the command again: it will be made again"
        )
    return artifact
