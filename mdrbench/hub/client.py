"""Download files of the Hugging Face hub at one commit; verify and record them, and resume what was interrupted.

::

    ROOT/.../NAME                a file; it appears under its name only when it is complete and verified
    ROOT/.../NAME.ETAG.part      the bytes that have arrived so far (the start of the ETag identifies the file)
    ROOT/manifest.json           commit of each repository; source, ETag, bytes and SHA-256 of each file

``huggingface_hub`` provides the token. Its ``hf_hub_download`` is not used: it compares sizes only, never bytes with
their ETag, and it follows a branch when the branch moves. The ETag of a large file is its SHA-256; the ETag of a small
file is its git blob id. The first answer of a repository fixes the commit; any other commit is an error from then on.
``HF_ENDPOINT`` names a mirror, ``HF_TOKEN`` (or ``hf auth login``) a token.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from mdrbench.core.errors import DataError, SetupError
from mdrbench.core.locks import file_lock
from mdrbench.core.store import file_sha256
from mdrbench.hub.downloads import Event, Listen, Manifest, Remote, Wanted, nobody
from mdrbench.hub.transfer import TIMEOUT, Again, Transfer, open_session, put_in_place, reason, run_all

if TYPE_CHECKING:
    import requests


class Refused(SetupError):
    """The hub asks for a token, or the user must accept terms first."""


class _Meta(NamedTuple):
    """What the hub states about a file before the download."""

    url: str
    commit: str
    etag: str
    size: int


def git_blob_id(path: Path) -> str:
    """Return the SHA-1 by which git, and therefore the hub, identifies a file's bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _verified(path: Path, meta: _Meta) -> str | None:
    """Return the SHA-256 of a file if size and ETag are those that the hub states, else None."""
    if path.stat().st_size != meta.size:
        return None
    if len(meta.etag) == 40 and git_blob_id(path) != meta.etag:
        return None
    digest = file_sha256(path)
    return digest if len(meta.etag) == 40 or digest == meta.etag else None


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
    with file_lock(root / ".lock", on_wait=lambda: listen(waiting)), _session(jobs) as session:
        manifest = Manifest(root)
        missing = [one for one in wanted if not manifest.has(one.local)]
        listen(Event("begin", str(root), total=len(missing)))
        client = _Client(root, manifest, session, listen)
        run_all(client, client.fetch, missing, jobs)


@contextmanager
def _session(jobs: int) -> Iterator[requests.Session]:
    """Open an HTTP session with the user's token; ``requests`` drops the token when a redirect leaves the host."""
    from huggingface_hub import get_token, is_offline_mode

    if is_offline_mode():
        raise SetupError("files are missing and HF_HUB_OFFLINE is set", mend="unset HF_HUB_OFFLINE to fetch them")
    with open_session(jobs) as session:
        if token := get_token():
            session.headers["Authorization"] = f"Bearer {token}"
        yield session


class _Client(Transfer):
    """Downloads single files; all threads of a :func:`fetch` share one client."""

    host, option = "the hub", "HF_ENDPOINT"

    def __init__(self, root: Path, manifest: Manifest, session: requests.Session, listen: Listen):
        super().__init__(session, listen)
        self.root, self.manifest = root, manifest
        self._refused: set[str] = set()

    def fetch(self, wanted: Wanted) -> None:
        """Download a file from the first source that provides it."""
        for source, other in zip(wanted.sources, wanted.sources[1:], strict=False):
            try:
                if source.repo not in self._refused:
                    return self._fetch(wanted.local, source)
            except Refused as error:
                with self._lock:
                    first = source.repo not in self._refused
                    self._refused.add(source.repo)
                if first:
                    text = f"{error.message}; taking the open copy {other.repo}\n  mend: {error.mend}"
                    self.say(Event("warning", "", text=text))
        return self._fetch(wanted.local, wanted.sources[-1])

    def _fetch(self, local: str, remote: Remote) -> None:
        url = remote.url(self.manifest.revision(remote))
        meta = self.patiently(local, lambda: self._head(url))
        self.manifest.settle(remote, meta.commit)
        target = self.root / local
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = _verified(target, meta) if target.is_file() else None
        if digest is None:
            digest = self._download(local, meta, target)
        record = {"url": url, "repo": remote.repo, "revision": remote.revision, "commit": meta.commit}
        self.manifest.record(local, {**record, "etag": meta.etag, "bytes": meta.size, "sha256": digest})
        self.say(Event("done", local, meta.size, meta.size))

    def _download(self, local: str, meta: _Meta, target: Path) -> str:
        """Complete the part, verify it and rename it; download a resumed part again if it does not verify."""
        part = target.with_name(f"{target.name}.{meta.etag[:12]}.part")
        resumed = part.exists()
        self.patiently(local, lambda: self.append(meta.url, local, meta.size, part))
        digest = _verified(part, meta)
        if digest is None:
            part.unlink()
            if resumed:
                return self._download(local, meta, target)
            raise DataError(
                f"the download differs from what the hub announced (ETag {meta.etag[:12]})",
                where=meta.url,
                mend="run the command again; if the error stays, a proxy or mirror (HF_ENDPOINT) changes files",
            )
        put_in_place(part, target)
        return digest

    def _head(self, url: str) -> _Meta:
        """Ask for commit, checksum and size; follow redirects up to the answer that states the commit.

        A mirror redirects to the hub before that answer, the hub to its content network after it. The token stays
        within the host of ``HF_ENDPOINT``.
        """
        import requests

        known: requests.structures.CaseInsensitiveDict[str] = requests.structures.CaseInsensitiveDict()
        at = url
        for _ in range(10):
            try:
                away = urlsplit(at).netloc != urlsplit(url).netloc
                headers = {"Authorization": None} if away else {}
                response = self.session.head(at, headers=headers, allow_redirects=False, timeout=TIMEOUT)
            except requests.RequestException as error:
                raise Again(reason(error)) from None
            self.check(response, url)
            known.update(response.headers)
            moved = urljoin(at, response.headers["Location"]) if response.is_redirect else at
            if moved == at or ("X-Repo-Commit" in known and urlsplit(moved).netloc != urlsplit(at).netloc):
                break
            at = moved
        etag = known.get("X-Linked-Etag", known.get("ETag", "")).removeprefix("W/").strip('"')
        size = known.get("X-Linked-Size", "" if response.is_redirect else known.get("Content-Length", ""))
        commit = known.get("X-Repo-Commit", "")
        if not (re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", etag) and size.isdigit() and commit):
            mend = "this is not the hub, or a mirror or proxy that drops its headers: check HF_ENDPOINT"
            raise SetupError(f"no commit, checksum (ETag '{etag}') or size", where=url, mend=mend)
        return _Meta(url, commit, etag, int(size))

    def check(self, response: requests.Response, url: str) -> None:
        """Raise the error that a status means; a closed repository has an error class of its own."""
        status = response.status_code
        if status in (401, 403):
            repo = urlsplit(url).path.partition("/resolve/")[0].split("/datasets/", 1)[-1]
            page = f"https://huggingface.co/datasets/{repo}"
            mend = f"accept its terms at {page}, then set HF_TOKEN to a token of yours"
            raise Refused(f"{repo} is closed to us ({status})", where=url, mend=mend)
        super().check(response, url)
