"""Download files of the hub's repositories, models and data sets, into huggingface_hub's own cache; verify each file.

``huggingface_hub`` gives tokens, redirects, locks, Xet and the layout of the cache, which other programs share. Files
that the cache holds are used there. Three things are added, because ``hf_hub_download`` has none of them: every file
is compared with the hub's SHA-256 or git blob id; a busy hub (429, 5xx) and a broken connection are asked again; and a
large file that was interrupted continues where it stopped, also after its process was killed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from mdrbench.core.disk_space import NUMBERS as FULL_DISK
from mdrbench.core.errors import DataError, MdrbenchError, SetupError, UsageError, did_you_mean
from mdrbench.core.locks import file_lock
from mdrbench.core.store import file_sha256
from mdrbench.hub.downloads import Event, Listen, endpoint, nobody
from mdrbench.hub.transfer import Again, Fetching, reason, run_all, wait_asked

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

T = TypeVar("T")
Kind = Literal["model", "dataset"]


class Unreachable(SetupError):
    """The hub does not answer, or not now."""


class Refused(SetupError):
    """The hub asks for a token, or the user must accept terms first."""


class Absent(DataError):
    """The hub has no such repository, or it is private."""


class NotCached(SetupError):
    """The cache lacks a file, and the hub may not be asked (``HF_HUB_OFFLINE``)."""


class Announced(NamedTuple):
    """What the hub states about a file: its bytes, and the SHA-256 (large files) or git blob id (small ones)."""

    bytes: int
    checksum: str

    @property
    def large(self) -> bool:
        """Whether the file is in git LFS."""
        return len(self.checksum) == 64


class Snapshot(NamedTuple):
    """A repository at a commit; ``files`` maps their paths to what is stated about them."""

    repo: str
    kind: Kind
    endpoint: str
    commit: str
    files: dict[str, Announced]

    @property
    def folder(self) -> Path:
        """The folder of this commit in the cache."""
        return cache_folder(self.repo, self.kind) / "snapshots" / self.commit

    def url(self, path: str) -> str:
        """Return the address of a file."""
        return f"{_page(self.endpoint, self.repo, self.kind)}/resolve/{self.commit}/{quote(path)}"


def _page(hub: str, repo: str, kind: Kind) -> str:
    return f"{hub}/datasets/{repo}" if kind == "dataset" else f"{hub}/{repo}"


def cache_folder(repo: str, kind: Kind = "model") -> Path:
    """Return the folder of a repository in huggingface_hub's cache (``HF_HUB_CACHE``, ``HF_HOME``)."""
    from huggingface_hub import constants

    return (
        Path(os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE).expanduser()
        / f"{kind}s--{repo.replace('/', '--')}"
    )


def git_blob_id(path: Path) -> str:
    """Return the SHA-1 by which git, and therefore the hub, identifies a file's bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def announced(sibling: Any) -> Announced:
    """Return what huggingface_hub's ``RepoSibling`` states about a file."""
    return Announced(sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else sibling.blob_id)


def is_right(path: Path, stated: Announced) -> bool:
    """Whether a file has the SHA-256 or git blob id that the hub announced."""
    return bool((file_sha256(path) if stated.large else git_blob_id(path)) == stated.checksum)


# -- which commit, and which files -------------------------------------------------------------------------------------


def resolve(
    repo: str, revision: str, near: Iterable[str] = (), kind: Kind = "model", listen: Listen = nobody
) -> Snapshot:
    """Ask the hub for the commit of a revision and its files; ``near`` are names to suggest instead of an unknown one.

    Raises:
        Unreachable: the hub does not answer.
        Refused: the hub asks for a token.
        DataError: no such repository or revision.
    """
    from huggingface_hub import HfApi

    fetching = Downloads(listen)
    fetching.unreachable = Unreachable
    with hub_errors(repo, revision, endpoint(), near, Unreachable, kind):
        hub = _behind_mirror(endpoint(), repo, kind)
        question: Any = {"revision": revision, "repo_type": kind, "files_metadata": True}
        info: Any = fetching.ask(repo, lambda: HfApi(hub).repo_info(repo, **question), network=False)
    files = {file.rfilename: announced(file) for file in info.siblings or ()}
    if not (info.sha and all(stated.checksum for stated in files.values())):
        raise _no_hub(_page(hub, repo, kind))
    return Snapshot(repo, kind, hub, info.sha, files)


def _behind_mirror(hub: str, repo: str, kind: Kind) -> str:
    """Return the address that a mirror redirects its requests to; ``hub`` itself if it answers them.

    ``huggingface_hub`` follows such a redirect for questions, but not for files.
    """
    from huggingface_hub import get_session

    answered = urlsplit(str(get_session().head(f"{hub}/api/{kind}s/{repo}", follow_redirects=True).url))
    return hub if answered.netloc == urlsplit(hub).netloc else f"{answered.scheme}://{answered.netloc}"


def in_cache(repo: str, revision: str, kind: Kind) -> Snapshot:
    """Return the files of a revision that the cache holds, for work without a network.

    The cache links each file to a blob that is named by its checksum. Files that it could not link are left out.

    Raises:
        NotCached: it holds none.
    """
    folder = cache_folder(repo, kind)
    ref = folder / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    there = folder / "snapshots" / commit
    links = [path for path in there.rglob("*") if path.is_symlink() and path.is_file()]
    files = {path.relative_to(there).as_posix(): path.resolve() for path in links}
    if not files:
        raise not_in_cache(repo, there)
    stated = {name: Announced(blob.stat().st_size, blob.name) for name, blob in files.items()}
    return Snapshot(repo, kind, endpoint(), commit, stated)


def not_in_cache(repo: str, where: Path) -> NotCached:
    """Return the error of files that are needed and may not be fetched."""
    message = f"files of {repo} are missing in the Hugging Face cache, and HF_HUB_OFFLINE is set"
    return NotCached(message, where=str(where), mend="unset HF_HUB_OFFLINE to fetch them")


# -- downloads ---------------------------------------------------------------------------------------------------------


def download(snapshot: Snapshot, names: list[str], listen: Listen = nobody, jobs: int = 8) -> Path:
    """Download files into huggingface_hub's cache, verify each, and return the folder of the snapshot.

    Files that are there and have the announced bytes are kept; others are downloaded again.

    Raises:
        SetupError: the connection broke for good, or the disk is full.
        DataError: a file differs from what the hub announced.
    """
    downloads = Downloads(listen)
    downloads.keep(snapshot, names)

    def one(name: str) -> None:
        downloads.file(snapshot, name, name)
        size = snapshot.files[name].bytes
        downloads.say(Event("done", name, size, size))

    listen(Event("begin", str(snapshot.folder), total=len(names)))
    downloads.run(one, names, jobs)
    return snapshot.folder


def remove(path: Path) -> None:
    """Remove a damaged file. Of a snapshot, its blob goes and all links, so that nobody takes it for whole.

    The other blobs stay and are not downloaded again.
    """
    path.resolve().unlink(missing_ok=True)
    for folder in path.parents:
        if folder.parent.name == "snapshots":
            shutil.rmtree(folder, ignore_errors=True)
            break


class Downloads(Fetching):
    """Downloads files of repositories; all threads of one fetch share it."""

    option = "HF_ENDPOINT"

    def __init__(self, listen: Listen):
        super().__init__(listen)
        self._right: set[Path] = set()
        self._spoilt: list[Path] = []

    def run(self, work: Callable[[T], None], tasks: Iterable[T], jobs: int) -> None:
        """Do tasks that call :meth:`file`, ``jobs`` at a time; afterwards remove what came damaged."""
        try:
            run_all(self, work, tasks, jobs)
        finally:
            for path in self._spoilt:
                remove(path)

    def keep(self, snapshot: Snapshot, names: Iterable[str]) -> None:
        """Read the files that the cache holds of a snapshot, and remove those that are damaged.

        Raises:
            DataError: a file is damaged, and cannot be downloaded again (``HF_HUB_OFFLINE``); nothing is removed.
        """
        from huggingface_hub import is_offline_mode

        for path, name in [(snapshot.folder / name, name) for name in names]:
            if path.is_file() and is_right(path, snapshot.files[name]):
                self._right.add(path)
            elif path.is_file() and is_offline_mode():
                raise DataError(
                    "the file differs from the checksum that the Hugging Face cache names it by",
                    where=str(path),
                    mend="unset HF_HUB_OFFLINE to download it again",
                )
            elif path.is_file():
                remove(path)

    def file(self, snapshot: Snapshot, name: str, shown: str) -> Path:
        """Return a file in the cache, with the bytes that the hub announced; download it if it is not there.

        Args:
            shown: the name of the file in events.
        """
        from huggingface_hub import hf_hub_download

        stated, path = snapshot.files[name], snapshot.folder / name
        if path in self._right and path.is_file():
            return path
        repo, hub, kind = snapshot.repo, snapshot.endpoint, snapshot.kind
        at: Any = {"repo_type": kind, "revision": snapshot.commit, "endpoint": hub}
        at |= {"cache_dir": cache_folder(repo, kind).parent, "tqdm_class": self._bar(shown, stated.bytes)}
        with hub_errors(repo, snapshot.commit, hub, (), SetupError, kind):
            if stated.large:
                self._fill_blob(snapshot, name, shown)
            self.ask(shown, lambda: hf_hub_download(repo, name, **at))
        if not is_right(path, stated):
            self._spoilt.append(path)
            raise DataError(
                "the download differs from what the hub announced",
                where=name,
                mend="run again; if the error stays, a mirror or proxy (HF_ENDPOINT) changes files",
            )
        return path

    def _fill_blob(self, snapshot: Snapshot, name: str, shown: str) -> None:
        """Download the bytes of a large file into the cache's blob, from where an interrupted download stopped.

        ``hf_hub_download`` deletes the bytes of a file when it fails, and leaves them unused when it is killed. It
        does download a file of which there are no bytes, if the hub offers Xet for it.
        """
        from huggingface_hub import constants, get_hf_file_metadata

        stated, cache = snapshot.files[name], cache_folder(snapshot.repo, snapshot.kind)
        blob = cache / "blobs" / stated.checksum
        lock = cache.parent / ".locks" / cache.name / f"{stated.checksum}.lock"  # as huggingface_hub calls it
        if blob.exists():
            return
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with file_lock(lock):
            parts = sorted(blob.parent.glob(f"{blob.name}*.incomplete"), key=lambda part: part.stat().st_size)
            xet = not parts and find_spec("hf_xet") and not constants.HF_HUB_DISABLE_XET
            if xet and self.ask(shown, lambda: get_hf_file_metadata(snapshot.url(name))).xet_file_data:
                return
            part = parts[-1] if parts else blob.with_name(f"{blob.name}.incomplete")
            self._append(snapshot, name, shown, part)
            if parts and not is_right(part, stated):  # the bytes that were there are not the beginning of this file
                part.unlink()
                self._append(snapshot, name, shown, part)
            os.replace(part, blob)
            for stale in parts[:-1]:
                stale.unlink(missing_ok=True)

    def _append(self, snapshot: Snapshot, name: str, shown: str, part: Path) -> None:
        """Download the bytes that a part lacks."""
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        size = snapshot.files[name].bytes
        part.touch()

        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        bar = self._bar(shown, size)

        def once() -> None:
            with open(part, "ab") as file:
                if file.tell() > size:
                    file.truncate(0)
                known: Any = {"resume_size": file.tell(), "expected_size": size}
                http_get(snapshot.url(name), file, headers=headers, tqdm_class=bar, **known)

        self.ask(shown, once, gained=lambda: part.stat().st_size)

    def ask(
        self, shown: str, question: Callable[[], T], network: bool = True, gained: Callable[[], int] = lambda: 0
    ) -> T:
        """Ask the hub, and ask again as long as the answer may change.

        Args:
            network: whether to ask again after errors of the network, too.
            gained: the bytes that have come; an attempt that gained some does not count as a failure.
        """

        def once() -> T:
            before = gained()
            try:
                return question()
            except Exception as error:
                if again := _may_pass(error, network, lambda: gained() > before):
                    raise again from None
                raise

        return self.patiently(shown, once)

    def _bar(self, shown: str, size: int) -> Any:
        """Return a class that huggingface_hub takes for tqdm: it passes progress on, and ends a download on a stop."""
        from huggingface_hub.utils.tqdm import tqdm

        fetching = self

        class Bar(tqdm):
            def __init__(self, *words: Any, **options: Any):
                super().__init__(*words, **{**options, "disable": True})  # type: ignore[no-untyped-call]
                self.done = options.get("initial") or 0

            def update(self, n: float | None = 1) -> bool | None:
                fetching.check_stop()
                self.done += int(n or 0)
                fetching.say(Event("progress", shown, self.done, size))
                return None

            def update_transfer(self, n: float | None = 1) -> None:
                """Ignore what Xet received and has not written yet."""

            def set_transfer_postfix_str(self, *words: Any, **options: Any) -> None:
                """Ignore the rate of Xet."""

        return Bar


# -- errors ------------------------------------------------------------------------------------------------------------

AGAIN = "check the network and HF_ENDPOINT, then run again: what has come is kept"


def _is_busy(status: int) -> bool:
    return status in (408, 429) or status >= 500


def _cause(error: Exception) -> Exception:
    """Return the error of the request behind one that says that a file is not in the cache either."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else None
    return cause if isinstance(cause, Exception) else error


def _is_of_network(error: Exception) -> bool:
    """Whether the connection broke. huggingface_hub 1 brings httpx, 2 httpx2; their errors have the same names."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    cut = isinstance(error, OSError) and "Consistency check failed" in str(error)
    return cut or isinstance(error, ConnectionError) or bool(names & {"TransportError", "XetDownloadError"})


def _may_pass(error: Exception, network: bool, gained: Callable[[], bool]) -> Again | None:
    """Return the failure to repeat, None if asking again is of no use."""
    from huggingface_hub.errors import HfHubHTTPError

    error = _cause(error)
    if isinstance(error, HfHubHTTPError):
        if _is_busy(status := error.response.status_code):
            return Again(f"the hub answers {status}", wait_asked(error.response.headers), gained())
    elif network and _is_of_network(error):
        return Again(reason(error), gained=gained())
    return None


@contextmanager
def hub_errors(
    repo: str, revision: str, hub: str, near: Iterable[str], unreachable: type[SetupError], kind: Kind = "model"
) -> Iterator[None]:
    """Turn errors of huggingface_hub into ours; ``unreachable`` is raised if the hub does not answer."""
    try:
        yield
    except MdrbenchError:
        raise
    except Exception as error:
        told = _told(_cause(error), repo, revision, _page(hub, repo, kind), near, unreachable)
        if told is None:
            raise
        raise told from None


def _told(
    error: Exception, repo: str, revision: str, where: str, near: Iterable[str], unreachable: type[SetupError]
) -> MdrbenchError | None:
    """Return the error to show; None for one that is not the hub's."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return UsageError(f"'{repo}' is not the name of a repository: {error}", mend="give OWNER/NAME")
    if isinstance(error, json.JSONDecodeError):
        return _no_hub(where)
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error, repo, revision, where, list(near), unreachable)
    if isinstance(error, OSError) and error.errno in {*FULL_DISK, errno.EROFS, errno.EACCES}:
        mend = "free some space, or set HF_HOME to a folder on another disk; what has come is kept"
        return SetupError(f"cannot be written: {error.strerror}", where=error.filename or where, mend=mend)
    if isinstance(error, (errors.OfflineModeIsEnabled, errors.EntryNotFoundError)) or _is_of_network(error):
        return unreachable(f"the hub cannot be reached ({type(error).__name__})", where=where, mend=AGAIN)
    return None


def _answered(
    error: HfHubHTTPError, repo: str, revision: str, where: str, near: list[str], unreachable: type[SetupError]
) -> MdrbenchError:
    """Return the error of an answer."""
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        mend = "give a commit, tag or branch of this repository"
        return DataError(f"the hub has no revision '{revision}'", where=where, mend=mend)
    if isinstance(error, errors.GatedRepoError):
        mend = f"accept the terms at {where}, then set HF_TOKEN to a token of yours"
        return Refused(f"{repo} is gated", where=where, mend=mend)
    if isinstance(error, errors.RepositoryNotFoundError):
        mend = f"{did_you_mean(repo, near) if near else 'check its name'}; a private one needs HF_TOKEN"
        return Absent(f"the hub has no {repo}, or you have no access to it", where=where, mend=mend)
    status = error.response.status_code
    if status in (401, 403):
        mend = "set HF_TOKEN to a token of yours that may do this (`hf auth login`)"
        return Refused(f"the hub refuses this token ({status})", where=where, mend=mend)
    kind = unreachable if _is_busy(status) else SetupError
    return kind(f"the hub answers {status}", where=where, mend=AGAIN)


def _no_hub(where: str) -> SetupError:
    mend = "check HF_ENDPOINT: this is another server, or a mirror or proxy in between changes answers"
    return SetupError("the answer has no commit or no checksums, so it is not the hub's", where=where, mend=mend)
