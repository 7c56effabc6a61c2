"""Raw files of the Hugging Face hub at one commit: whole, verified, recorded; interrupted downloads are resumed.

::

    ROOT/.../NAME                a file; it appears under its name only when it is complete and verified
    ROOT/.../NAME.ETAG.part      what has arrived of it so far (the beginning of its ETag ties it to these bytes)
    ROOT/manifest.json           commit of each repository; source, ETag, bytes and SHA-256 of each file

``huggingface_hub`` gives the token. Its ``hf_hub_download`` is not used: it compares sizes only, never the bytes with
their ETag, and follows a branch wherever it moves. The ETag of a large file is its SHA-256, of another its git blob
id. The first answer of a repository fixes its commit; from then on that commit is asked for, and another is an error.
``HF_ENDPOINT`` names a mirror, ``HF_TOKEN`` (or ``hf auth login``) a token.
"""

from __future__ import annotations

import email.utils
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from mdrbench.core.errors import DataError, SetupError
from mdrbench.core.locks import file_lock
from mdrbench.core.store import file_sha256
from mdrbench.hub.downloads import Event, Listen, Manifest, Remote, Wanted, nobody

if TYPE_CHECKING:
    import requests

ATTEMPTS = 6
"""Failures in a row, without a byte gained, after which a file is given up."""
BACKOFF, LONGEST_WAIT = 1.0, 600.0
"""Seconds: the first wait, doubled each time; the most that a Retry-After is obeyed."""
TIMEOUT = (10, 60)
"""Seconds to connect, and between two packets."""
BLOCK = 1 << 16  # bytes


class Refused(SetupError):
    """The hub wants a token, or its terms accepted."""


class _Again(Exception):
    """A failure that may pass: ``after`` is what the server asks to wait (seconds), ``gained`` whether bytes came."""

    def __init__(self, reason: str, after: float | None = None, gained: bool = False):
        super().__init__(reason)
        self.after, self.gained = after, gained


class _Stopped(Exception):
    """Another download failed, or the user interrupted."""


class _Meta(NamedTuple):
    """What the hub says of a file before it is fetched."""

    url: str
    commit: str
    etag: str
    size: int


def git_blob_id(path: Path) -> str:
    """The SHA-1 by which git, and so the hub, names a file's bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _verified(path: Path, meta: _Meta) -> str | None:
    """The SHA-256 of a file that is what the hub says, else None."""
    if path.stat().st_size != meta.size:
        return None
    if len(meta.etag) == 40 and git_blob_id(path) != meta.etag:
        return None
    digest = file_sha256(path)
    return digest if len(meta.etag) == 40 or digest == meta.etag else None


def fetch(root: Path, wanted: Iterable[Wanted], jobs: int = 4, listen: Listen = nobody) -> None:
    """Download what is missing, ``jobs`` files at a time. What has come stays: the next call goes on from there.

    Raises:
        Refused: every source of a file wants a token.
        DataError: a file is not on the hub, differs from its checksum, or the repository is at another commit.
        SetupError: the hub cannot be reached, or the disk is full.
    """
    wanted = list(wanted)
    manifest = Manifest(root)
    if all(manifest.has(one.local) for one in wanted):
        return
    root.mkdir(parents=True, exist_ok=True)
    waiting = Event("note", "", text=f"another process is fetching into {root}; waiting")
    with (
        file_lock(root / ".lock", on_wait=lambda: listen(waiting)),
        _session(jobs) as session,
        ThreadPoolExecutor(jobs) as pool,
    ):
        manifest = Manifest(root)
        missing = [one for one in wanted if not manifest.has(one.local)]
        listen(Event("begin", str(root), total=len(missing)))
        client = _Client(root, manifest, session, listen)
        futures = [pool.submit(client.fetch, one) for one in missing]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            client.stop.set()
            for future in futures:
                future.cancel()
            raise


@contextmanager
def _session(jobs: int):
    """An HTTP session with the user's token; ``requests`` drops the token when it is sent on to another host."""
    import requests
    from huggingface_hub import get_token, is_offline_mode

    if is_offline_mode():
        raise SetupError("files are missing and HF_HUB_OFFLINE is set", mend="unset HF_HUB_OFFLINE to fetch them")
    with requests.Session() as session:
        session.headers.update({"Accept-Encoding": "identity", "User-Agent": "mdrbench"})
        if token := get_token():
            session.headers["Authorization"] = f"Bearer {token}"
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=jobs))
        yield session


class _Client:
    """Fetches single files; one for all threads of a :func:`fetch`."""

    def __init__(self, root: Path, manifest: Manifest, session: requests.Session, listen: Listen):
        self.root, self.manifest, self.session, self._listen = root, manifest, session, listen
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._refused: set[str] = set()

    def say(self, event: Event) -> None:
        with self._lock:
            self._listen(event)

    def fetch(self, wanted: Wanted) -> None:
        """Fetch a file from the first source that gives it."""
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
        meta = self._patiently(local, lambda: self._head(url))
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
        """Complete the part, verify it and rename it; a part that was resumed and fails is fetched once more."""
        part = target.with_name(f"{target.name}.{meta.etag[:12]}.part")
        resumed = part.exists()
        self._patiently(local, lambda: self._body(local, meta, part))
        digest = _verified(part, meta)
        if digest is None:
            part.unlink()
            if resumed:
                return self._download(local, meta, target)
            raise DataError(
                f"what came is not what the hub announced (ETag {meta.etag[:12]})",
                where=meta.url,
                mend="run the command again; if it stays so, a proxy or mirror (HF_ENDPOINT) alters files",
            )
        os.replace(part, target)
        for stale in target.parent.glob(f"{target.name}.*.part"):
            stale.unlink()
        return digest

    def _patiently(self, name: str, work: Callable):
        """Repeat what may yet succeed, waiting longer each time or as long as the server asks."""
        failures = 0
        while True:
            if self.stop.is_set():
                raise _Stopped
            try:
                return work()
            except _Again as error:
                failures = 1 if error.gained else failures + 1
                wait = BACKOFF * 2 ** (failures - 1) if error.after is None else min(error.after, LONGEST_WAIT)
                if failures >= ATTEMPTS:
                    mend = "check the network and HF_ENDPOINT; run again: what has come is kept"
                    raise SetupError(f"given up after {failures} attempts: {error}", where=name, mend=mend) from None
                self.say(Event("note", name, text=f"{error}; again in {wait:.0f} s"))
                self.stop.wait(wait)

    def _head(self, url: str) -> _Meta:
        """Ask for commit, checksum and size, following redirects within the hub but not to its content network."""
        import requests

        known = requests.structures.CaseInsensitiveDict()
        at = url
        for _ in range(10):
            try:
                response = self.session.head(at, allow_redirects=False, timeout=TIMEOUT)
            except requests.RequestException as error:
                raise _Again(_reason(error)) from None
            _check(response, url)
            known.update(response.headers)
            moved = urljoin(at, response.headers["Location"]) if response.is_redirect else at
            if moved == at or urlsplit(moved).netloc != urlsplit(at).netloc:
                break
            at = moved
        etag = known.get("X-Linked-Etag", known.get("ETag", "")).removeprefix("W/").strip('"')
        size = known.get("X-Linked-Size", "" if response.is_redirect else known.get("Content-Length", ""))
        commit = known.get("X-Repo-Commit", "")
        if not (re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", etag) and size.isdigit() and commit):
            mend = "this is not the hub, or a mirror or proxy that drops its headers: check HF_ENDPOINT"
            raise SetupError(f"no commit, checksum (ETag '{etag}') or size", where=url, mend=mend)
        return _Meta(url, commit, etag, int(size))

    def _body(self, local: str, meta: _Meta, part: Path) -> None:
        """One request for the bytes that the part still lacks."""
        import requests

        start = part.stat().st_size if part.exists() else 0
        if start >= meta.size > 0:
            return
        wanted = {"Range": f"bytes={start}-"} if start else {}
        have = start
        try:
            with self.session.get(meta.url, headers=wanted, stream=True, timeout=TIMEOUT) as response:
                if response.status_code == 416:
                    part.unlink()
                    raise _Again("the part on disk does not fit")
                _check(response, meta.url)
                appending = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
                have = start if appending else 0
                with open(part, "ab" if appending else "wb") as file:
                    for block in response.iter_content(BLOCK):
                        if self.stop.is_set():
                            raise _Stopped
                        have += _write(file, block, part)
                        self.say(Event("progress", local, have, meta.size))
        except requests.RequestException as error:
            raise _Again(_reason(error), gained=have > start) from None
        if have < meta.size:
            raise _Again(f"{have} of {meta.size} bytes came", gained=have > start)


def _write(file, block: bytes, part: Path) -> int:
    try:
        return file.write(block)
    except OSError as error:
        mend = "free some space, or set MDRBENCH_DATA to another disk; what has come is kept"
        raise SetupError(f"cannot be written: {error.strerror}", where=str(part), mend=mend) from None


def _reason(error: Exception) -> str:
    """The innermost words of a network error."""
    return str(error).rsplit(": ", 1)[-1].strip("'\")(") or type(error).__name__


def _check(response: requests.Response, url: str) -> None:
    """Turn a status other than success or redirect into the error it means."""
    status = response.status_code
    if status < 400:
        return
    if status in (408, 429) or status >= 500:
        raise _Again(f"the hub answers {status}", after=_retry_after(response.headers.get("Retry-After", "")))
    if status in (401, 403):
        repo = urlsplit(url).path.partition("/resolve/")[0].split("/datasets/", 1)[-1]
        raise Refused(
            f"{repo} is closed to us ({status})",
            where=url,
            mend=f"accept its terms at https://huggingface.co/datasets/{repo}, then set HF_TOKEN to a token of yours",
        )
    kind, mend = SetupError, "check HF_ENDPOINT, and that no proxy is in between"
    if status in (404, 410):
        kind, mend = DataError, "the hub has no such file at this commit; check HF_ENDPOINT and the pinned revision"
    raise kind(f"the hub answers {status}", where=url, mend=mend)


def _retry_after(text: str) -> float | None:
    """Seconds to wait, from a Retry-After in seconds or as a date."""
    if text.isdigit():
        return float(text)
    date = email.utils.parsedate_tz(text)
    return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else None
