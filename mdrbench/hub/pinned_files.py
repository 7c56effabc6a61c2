"""Files of public repositories whose SHA-256 is known beforehand: fetched in parallel, verified, resumable.

::

    ROOT/LOCAL                   a file; it appears under its name only when it is complete and verified
    ROOT/LOCAL.SHA256.part       what has arrived of it so far (the beginning of its SHA-256 is in the name)

``MDRBENCH_SOURCES`` names a mirror of the host, which serves ``OWNER/REPO/COMMIT/PATH`` below its root.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256
from mdrbench.hub.downloads import Event, Listen
from mdrbench.hub.transfer import Transfer, open_session, put_in_place, run_all

if TYPE_CHECKING:
    import requests

DEFAULT_HOST = "https://raw.githubusercontent.com"


class PinnedFile(Protocol):
    """A file to fetch: ``local`` is its path below the root and below the host, ``bytes`` its size."""

    @property
    def local(self) -> str: ...

    @property
    def bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...


def host() -> str:
    """Return the address of the host, without a slash at its end."""
    return (os.environ.get("MDRBENCH_SOURCES") or DEFAULT_HOST).rstrip("/")


def missing(root: Path, files: Iterable[PinnedFile]) -> list[PinnedFile]:
    """Return the files that are not there with their pinned bytes; those that are there are read."""
    return [file for file in files if not _is_whole(root / file.local, file)]


def fetch(root: Path, files: Iterable[PinnedFile], jobs: int, listen: Listen) -> None:
    """Download the files that are missing, ``jobs`` at a time. The next call resumes what was interrupted.

    Raises:
        DataError: the host has no such file, or its bytes differ from the checksum.
        SetupError: the host cannot be reached, or the disk is full.
    """
    lacking = missing(root, files)
    if not lacking:
        return
    listen(Event("begin", str(root), total=len(lacking)))
    with open_session(jobs) as session:
        client = _Client(root, session, listen)
        run_all(client, client.fetch, lacking, jobs)


def altered(root: Path, files: Iterable[PinnedFile]) -> list[str]:
    """Read the files that are there; return the local paths of those whose bytes are not the pinned ones."""
    present = (file for file in files if (root / file.local).is_file())
    return [file.local for file in present if file_sha256(root / file.local) != file.sha256]


class _Client(Transfer):
    """Fetches single files."""

    host, option = "the host", "MDRBENCH_SOURCES"

    def __init__(self, root: Path, session: requests.Session, listen: Listen):
        super().__init__(session, listen)
        self._root = root

    def fetch(self, file: PinnedFile) -> None:
        """Fetch a file; a part that was resumed and is wrong at the end is fetched once more."""
        target = self._root / file.local
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.{file.sha256[:12]}.part")
        resumed = part.exists()
        self._complete(file, part)
        if file_sha256(part) != file.sha256 and resumed:
            part.unlink()
            self._complete(file, part)
        if file_sha256(part) != file.sha256:
            part.unlink()
            raise DataError(
                f"The bytes differ from the pinned checksum (SHA-256 {file.sha256[:12]}).",
                where=_url(file),
                mend="run the command again; if it stays so, a proxy or mirror (MDRBENCH_SOURCES) alters files",
            )
        put_in_place(part, target)
        self.say(Event("done", file.local, file.bytes, file.bytes))

    def _complete(self, file: PinnedFile, part: Path) -> None:
        self.patiently(file.local, lambda: self.append(_url(file), file.local, file.bytes, part))


def _url(file: PinnedFile) -> str:
    return f"{host()}/{quote(file.local)}"


def _is_whole(path: Path, file: PinnedFile) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and file_sha256(path) == file.sha256
