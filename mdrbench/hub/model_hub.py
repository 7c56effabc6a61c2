"""Download a model repository of the hub at one commit into huggingface_hub's own cache, and verify every file.

``snapshot_download`` resumes and runs in parallel, but it does not verify the bytes. Here each file is compared with
the hub's SHA-256 or git blob id. Files that the cache already holds are used and not downloaded again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from mdrbench.core.console import say
from mdrbench.core.errors import DataError, SetupError, did_you_mean
from mdrbench.core.store import file_sha256
from mdrbench.hub.client import git_blob_id
from mdrbench.hub.downloads import endpoint
from mdrbench.hub.transfer import LONGEST_WAIT, wait_asked

T = TypeVar("T")


class Unreachable(SetupError):
    """The hub does not answer, or not now."""


class Snapshot(NamedTuple):
    """A repository at a commit; ``files`` maps names to the hub's statements (size, checksum)."""

    repo: str
    endpoint: str
    commit: str
    files: dict[str, Any]


BESIDE = (
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "sparse_linear.pt",
    "colbert_linear.pt",
    "artifact.metadata",
)
"""Files of a model that have no ending of their own; the last ones are heads of BGE-M3 and ColBERT's settings."""


def model_files(paths: Iterable[str], without: tuple[str, ...] = ()) -> list[str]:
    """Return the paths of a repository that PyTorch needs: configuration, tokenizer, weights and code, sorted.

    They are at the top, in the folders of sentence-transformers' layers (``1_Pooling``) and in those of adapters.
    Pickled weights are taken only if their folder has no safetensors. Files with a name in ``without`` are left out.
    """
    kept: dict[str, list[PurePosixPath]] = {}
    places = [PurePosixPath(path) for path in paths]
    adapters = {str(path.parent) for path in places if path.name == "adapter_config.json"}
    for path in places:
        parent = str(path.parent)
        if (parent in (".", *adapters) or re.fullmatch(r"\d+_\w+", parent)) and path.name not in without:
            kept.setdefault(parent, []).append(path)
    result = []
    for folder in kept.values():
        weights = [p for p in folder if p.suffix == ".safetensors"]
        weights = weights or [p for p in folder if re.fullmatch(r"(pytorch|adapter)_model.*\.bin", p.name)]
        result += weights + [p for p in folder if p.suffix in (".json", ".model", ".py") or p.name in BESIDE]
    return sorted(map(str, result))


def has_weights(names: list[str]) -> bool:
    """Whether these files hold a configuration and weights."""
    return "config.json" in names and any(name.endswith((".safetensors", ".bin")) for name in names)


def resolve(repo: str, revision: str, near: list[str]) -> Snapshot:
    """Ask the hub for the commit of a revision and its files; ``near`` are names to suggest instead of an unknown one.

    Raises:
        Unreachable: the hub does not answer.
        SetupError: the hub asks for a token.
        DataError: no such repository or revision.
    """
    from huggingface_hub import HfApi

    with hub_errors(repo, revision, endpoint(), near, Unreachable):
        hub = _behind_mirror(endpoint(), repo)
        info = _patiently(lambda: HfApi(hub).model_info(repo, revision=revision, files_metadata=True))
    return Snapshot(repo, hub, str(info.sha), {sibling.rfilename: sibling for sibling in info.siblings or ()})


def _behind_mirror(hub: str, repo: str) -> str:
    """Return the address that a mirror redirects its requests to; ``hub`` itself if it answers them.

    ``huggingface_hub`` follows such a redirect for questions, but not for files.
    """
    from huggingface_hub import get_session

    answered = urlsplit(str(get_session().head(f"{hub}/api/models/{repo}", follow_redirects=True).url))
    return hub if answered.netloc == urlsplit(hub).netloc else f"{answered.scheme}://{answered.netloc}"


def _patiently(ask: Callable[[], T]) -> T:
    """Ask the hub; as often as its rate limit is spent, wait until it resets and ask again."""
    from huggingface_hub.errors import HfHubHTTPError

    waited = 0.0
    while True:
        try:
            return ask()
        except HfHubHTTPError as error:
            seconds = wait_asked(error.response.headers) if error.response.status_code == 429 else None
            if seconds is None or waited + seconds > LONGEST_WAIT:
                raise
            say(f"the hub's rate limit is spent; asking again in {seconds:.0f} s")
            time.sleep(seconds)
            waited += max(seconds, 1.0)


WHOLE = ".gitattributes"
"""Every repository has it, and no program asks for it alone: a snapshot with it holds all files that matter."""


def cache_folder(repo: str) -> Path:
    """Return the folder of a model repository in huggingface_hub's cache (``HF_HUB_CACHE``, ``HF_HOME``)."""
    from huggingface_hub import constants

    return Path(os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def whole_snapshot(repo: str, revision: str) -> Path | None:
    """Return the snapshot of a revision in huggingface_hub's cache if it provably lacks no file that matters.

    A program may have downloaded some files of a repository only. A snapshot is whole if it has weights with all their
    shards, as links to blobs, and :data:`WHOLE`. Instead of the latter it may have sentence-transformers' settings
    (``modules.json`` and the prompts), or the cache's note that the repository has none.
    """
    folder = cache_folder(repo)
    ref = folder / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        return None
    names = model_files(p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file())
    shards = [
        shard
        for index in snapshot.glob("*.index.json")
        for shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    ]
    absent = folder / ".no_exist" / commit
    prompts = "config_sentence_transformers.json"
    known = (
        (snapshot / WHOLE).is_file()
        or (absent / "modules.json").is_file()
        or ((snapshot / "modules.json").is_file() and any((at / prompts).is_file() for at in (snapshot, absent)))
    )
    linked = all((snapshot / name).is_symlink() for name in {*names, *shards})
    return snapshot if has_weights(names) and known and linked else None


def remove(path: Path) -> None:
    """Remove a damaged file of a model. Of a snapshot, its blob goes and all links, so that nobody takes it for whole.

    The other blobs stay and are not downloaded again.
    """
    path.resolve().unlink(missing_ok=True)
    for folder in path.parents:
        if folder.parent.name == "snapshots":
            shutil.rmtree(folder)
            break


def download(snapshot: Snapshot, names: list[str], near: list[str]) -> Path:
    """Download files into huggingface_hub's cache, verify each, and return the folder of the snapshot.

    Files that are there and have the announced bytes are kept; others are downloaded again.

    Raises:
        SetupError: the connection broke.
        DataError: a file differs from what the hub announced.
    """
    from glob import escape

    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        """A progress bar on a terminal, none elsewhere."""

        def __init__(self, *words: Any, **options: Any):
            super().__init__(*words, **{"disable": None, **options})  # type: ignore[no-untyped-call]

    folder = cache_folder(snapshot.repo)
    there = folder / "snapshots" / snapshot.commit
    for name in names:
        if (there / name).is_file() and not is_right(there / name, snapshot.files[name]):
            remove(there / name)
    with hub_errors(snapshot.repo, snapshot.commit, snapshot.endpoint, near, SetupError):
        path = _patiently(
            lambda: snapshot_download(
                snapshot.repo,
                revision=snapshot.commit,
                cache_dir=folder.parent,
                tqdm_class=Bar,
                allow_patterns=[escape(name) for name in (*names, WHOLE)],
                endpoint=snapshot.endpoint,
            )
        )
    for name in names:
        _verify(Path(path) / name, snapshot.files[name])
    return Path(path)


@contextmanager
def hub_errors(
    repo: str, revision: str, endpoint: str, near: list[str], unreachable: type[SetupError]
) -> Iterator[None]:
    """Turn errors of huggingface_hub into ours; ``unreachable`` is raised if the hub does not answer."""
    from huggingface_hub import errors

    where = f"{endpoint}/{repo}"
    again = "check the network and HF_ENDPOINT, then run again: what has come is kept"
    try:
        yield
    except errors.GatedRepoError:
        mend = f"accept the terms at {where}, then set HF_TOKEN to a token of yours"
        raise SetupError(f"{repo} is gated", where=where, mend=mend) from None
    except errors.RepositoryNotFoundError:
        mend = f"{did_you_mean(repo, near)}; a private one needs HF_TOKEN"
        raise DataError(f"the hub has no {repo}, or you have no access to it", where=where, mend=mend) from None
    except errors.RevisionNotFoundError:
        mend = "give a commit, tag or branch of this repository"
        raise DataError(f"the hub has no revision '{revision}'", where=where, mend=mend) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            mend = "set HF_TOKEN to a token of yours that may do this (`hf auth login`)"
            raise SetupError(f"the hub refuses this token ({status})", where=where, mend=mend) from None
        kind = unreachable if status in (408, 429) or status >= 500 else SetupError
        raise kind(f"the hub answers {status}", where=where, mend=again) from None
    except Exception as error:
        # huggingface_hub 1 brings httpx, 2 httpx2; the base class of their network errors has the same name
        network = any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
        if not network and not isinstance(error, (ConnectionError, errors.EntryNotFoundError)):
            raise
        raise unreachable(f"the hub cannot be reached ({type(error).__name__})", where=where, mend=again) from None


def _verify(path: Path, announced: Any) -> None:
    """Compare a file with the hub's SHA-256 or git blob id; if it differs, remove it and raise a DataError."""
    mend = "run again; if the error stays, a mirror or proxy (HF_ENDPOINT) changes files"
    if not path.is_file():
        raise SetupError("the connection broke before this file", where=path.name, mend=mend)
    if not is_right(path, announced):
        remove(path)
        raise DataError("the download differs from what the hub announced", where=path.name, mend=mend)


def is_right(path: Path, announced: Any) -> bool:
    """Whether a file has the SHA-256 or git blob id that the hub announced."""
    if announced.lfs:
        return bool(file_sha256(path) == announced.lfs.sha256)
    return bool(git_blob_id(path) == announced.blob_id)
