"""Download a model repository of the hub at one commit through huggingface_hub, and verify every file.

``snapshot_download`` resumes and runs in parallel, but it does not verify the bytes. Here each file is compared with
the hub's SHA-256 or git blob id.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mdrbench.core.errors import DataError, SetupError, did_you_mean
from mdrbench.core.store import file_sha256
from mdrbench.hub.client import git_blob_id
from mdrbench.hub.downloads import endpoint


class Unreachable(SetupError):
    """The hub does not answer, or not now."""


class Snapshot(NamedTuple):
    """A repository at a commit; ``files`` maps names to the hub's statements (size, checksum)."""

    repo: str
    endpoint: str
    commit: str
    files: dict[str, Any]


BESIDE = ("vocab.txt", "merges.txt", "chat_template.jinja")
"""Files of a model that have no ending of their own."""


def model_files(paths: Iterable[str], without: tuple[str, ...] = ()) -> list[str]:
    """Return the paths of a repository that PyTorch needs: configuration, tokenizer, weights and code, sorted.

    They are at the top and in the folders of sentence-transformers' layers (``1_Pooling``). Pickled weights are taken
    only if their folder has no safetensors. Files with a name in ``without`` are left out.
    """
    kept: dict[str, list[PurePosixPath]] = {}
    for path in map(PurePosixPath, paths):
        parent = str(path.parent)
        if (parent == "." or re.fullmatch(r"\d+_\w+", parent)) and path.name not in without:
            kept.setdefault(parent, []).append(path)
    result = []
    for folder in kept.values():
        weights = [p for p in folder if p.suffix == ".safetensors"]
        weights = weights or [p for p in folder if re.fullmatch(r"pytorch_model.*\.bin", p.name)]
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

    hub = endpoint()
    with hub_errors(repo, revision, hub, near, Unreachable):
        info = HfApi(hub).model_info(repo, revision=revision, files_metadata=True)
    return Snapshot(repo, hub, str(info.sha), {sibling.rfilename: sibling for sibling in info.siblings or ()})


def download(snapshot: Snapshot, names: list[str], work: Path, near: list[str]) -> None:
    """Download files into ``work`` and verify each; continue what an earlier attempt left there.

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

    with hub_errors(snapshot.repo, snapshot.commit, snapshot.endpoint, near, SetupError):
        snapshot_download(
            snapshot.repo,
            revision=snapshot.commit,
            local_dir=work,
            tqdm_class=Bar,
            allow_patterns=[escape(name) for name in names],
            endpoint=snapshot.endpoint,
        )
    for name in names:
        _verify(work / name, snapshot.files[name])
    shutil.rmtree(work / ".cache", ignore_errors=True)


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
    right = file_sha256(path) == announced.lfs.sha256 if announced.lfs else git_blob_id(path) == announced.blob_id
    if not right:
        path.unlink()
        raise DataError("the download differs from what the hub announced", where=path.name, mend=mend)
