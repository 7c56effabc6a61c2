"""Files of data sets on the hub, in our layout: links to files of huggingface_hub's cache, and a record of each.

::

    ROOT/.../NAME                a file; it appears under its name only when it is complete and verified
    ROOT/manifest.json           commit of each repository; source, checksum, bytes and SHA-256 of each file

The first answer of a repository fixes the commit; any other commit is an error from then on. ``HF_ENDPOINT`` names a
mirror, ``HF_TOKEN`` (or ``hf auth login``) a token.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.locks import file_lock
from mdrbench.core.store import file_sha256
from mdrbench.hub import repositories
from mdrbench.hub.downloads import Event, Listen, Manifest, Remote, Wanted, nobody
from mdrbench.hub.repositories import Absent, NotCached, Refused, Snapshot


def snapshot_of(repo: str, revision: str, listen: Listen = nobody) -> Snapshot:
    """Return a data set repository at the commit of a revision; with ``HF_HUB_OFFLINE`` what the cache holds of it.

    Raises:
        DataError, SetupError: see :func:`mdrbench.hub.repositories.resolve`.
    """
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        return repositories.in_cache(repo, revision, "dataset")
    return repositories.resolve(repo, revision, kind="dataset", listen=listen)


def fetch(root: Path, wanted: Iterable[Wanted], jobs: int = 4, listen: Listen = nobody) -> None:
    """Download the missing files, ``jobs`` at a time. A stopped download keeps its bytes, and the next call continues.

    Raises:
        Refused: every source of a file asks for a token.
        DataError: a file is not on the hub, differs from its checksum, or the repository is at another commit.
        SetupError: the hub cannot be reached, or the disk is full.
    """
    wanted = list(wanted)
    manifest = Manifest(root)
    if all(manifest.has(one.local) for one in wanted):
        return
    root.mkdir(parents=True, exist_ok=True)
    waiting = Event("note", "", text=f"another process downloads into {root}; waiting")
    with file_lock(root / ".lock", on_wait=lambda: listen(waiting)):
        manifest = Manifest(root)
        missing = [one for one in wanted if not manifest.has(one.local)]
        listen(Event("begin", str(root), total=len(missing)))
        fetching = _Fetch(root, manifest, missing, listen)
        fetching.run(fetching.fetch, missing, jobs)


class _Fetch(repositories.Downloads):
    """Brings single files into the layout; all threads of a :func:`fetch` share it."""

    def __init__(self, root: Path, manifest: Manifest, missing: list[Wanted], listen: Listen):
        super().__init__(listen)
        self.root, self.manifest, self._missing = root, manifest, missing
        self._refused: set[str] = set()
        self._snapshots: dict[str, Snapshot] = {}
        self._resolving = threading.Lock()

    def fetch(self, wanted: Wanted) -> None:
        """Bring a file from the first source that provides it."""
        for source, other in zip(wanted.sources, wanted.sources[1:], strict=False):
            try:
                if source.repo not in self._refused:
                    return self._fetch(wanted.local, source)
            except (Refused, Absent, NotCached) as error:
                with self._lock:
                    first = source.repo not in self._refused
                    self._refused.add(source.repo)
                if first:
                    text = f"{error.message}; taking the open copy {other.repo}\n  mend: {error.mend}"
                    self.say(Event("warning", "", text=text))
        return self._fetch(wanted.local, wanted.sources[-1])

    def _fetch(self, local: str, remote: Remote) -> None:
        from huggingface_hub import is_offline_mode

        snapshot = self._snapshot(remote)
        stated = snapshot.files.get(remote.path)
        if stated is None and is_offline_mode():
            raise repositories.not_in_cache(remote.repo, snapshot.folder / remote.path)
        if stated is None:
            mend = "the repository has no such file at this commit; check HF_ENDPOINT and the pinned revision"
            raise DataError("the hub has no such file", where=snapshot.url(remote.path), mend=mend)
        target = self.root / local
        if not (target.is_file() and repositories.is_right(target, stated)):
            _place(self.file(snapshot, remote.path, local).resolve(), target)
        record = {"url": snapshot.url(remote.path), "repo": remote.repo, "revision": remote.revision}
        record |= {"commit": snapshot.commit, "etag": stated.checksum}
        sha256 = stated.checksum if stated.large else file_sha256(target)
        self.manifest.record(local, {**record, "bytes": stated.bytes, "sha256": sha256})
        self.say(Event("done", local, stated.bytes, stated.bytes))

    def _snapshot(self, remote: Remote) -> Snapshot:
        """Return the repository at its commit; its files in the cache are compared with their checksums."""
        with self._resolving:
            if remote.repo not in self._snapshots:
                snapshot = snapshot_of(remote.repo, self.manifest.revision(remote), self.say)
                self.manifest.settle(remote, snapshot.commit)
                paths = {source.path for one in self._missing for source in one.sources if source.repo == remote.repo}
                self.keep(snapshot, sorted(paths & snapshot.files.keys()))
                self._snapshots[remote.repo] = snapshot
            return self._snapshots[remote.repo]


def _place(source: Path, target: Path) -> None:
    """Put a file of the cache into our layout, without a second copy of its bytes.

    A hard link outlives the cache, and every machine that sees the data set sees it. Between two disks it is a symbolic
    link, and on a disk without links a copy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    for link in (os.link, os.symlink):
        try:
            link(source, new)
            break
        except OSError:
            continue
    else:
        shutil.copyfile(source, new)
    os.replace(new, target)
    for part in target.parent.glob(f"{target.name}.*.part"):  # left by an earlier mdrbench
        part.unlink()
