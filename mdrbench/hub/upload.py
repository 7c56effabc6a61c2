"""Push a folder to the Hugging Face hub as one commit, and compare what the hub then has with the files here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench.core.errors import DataError, SetupError
from mdrbench.hub.downloads import endpoint
from mdrbench.hub.repositories import Kind, announced, hub_errors, is_right


class Pushed(NamedTuple):
    """A finished push: address and commit of the repository, number and bytes of the files."""

    url: str
    commit: str
    files: int
    bytes: int


def push(
    folder: Path, names: list[str], repo: str, kind: Kind, revision: str, message: str, private: bool = False
) -> Pushed:
    """Push files of a folder in one commit; the repository and the branch are created if they are absent.

    Files of the repository that are not pushed stay as they are.

    Args:
        folder: the folder that holds the files.
        names: paths below ``folder``; they become the paths in the repository.
        repo: ``OWNER/NAME``.
        kind: what the repository is on the hub.
        revision: the branch.
        message: the commit's title.
        private: whether a repository that is created is private.

    Raises:
        UsageError: ``repo`` is not the name of a repository.
        SetupError: there is no token, the token may not write there, or the hub cannot be reached.
        DataError: the hub's files differ from those here after the commit.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token, is_offline_mode
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if is_offline_mode():
        raise SetupError("HF_HUB_OFFLINE is set", mend="unset HF_HUB_OFFLINE to push")
    if get_token() is None:
        raise SetupError(
            "there is no token of the hub", mend="run `hf auth login`, or set HF_TOKEN to one that may write"
        )
    if not sys.stderr.isatty():
        disable_progress_bars()
    hub = HfApi(endpoint())
    operations = [CommitOperationAdd(name, folder / name) for name in names]
    try:
        with hub_errors(repo, revision, endpoint(), (), SetupError, kind):
            hub.create_repo(repo, repo_type=kind, private=private or None, exist_ok=True)
            if revision != "main":
                hub.create_branch(repo, branch=revision, repo_type=kind, exist_ok=True)
            made = hub.create_commit(repo, operations, commit_message=message, repo_type=kind, revision=revision)
            info: Any = hub.repo_info(repo, revision=made.oid, repo_type=kind, files_metadata=True)
    except RuntimeError as error:  # what create_commit makes of any failure while a large file is sent
        why = error.__cause__ or error
        raise SetupError(f"{error} {why}", where=f"{endpoint()}/{repo}", mend="run the command again") from None
    there = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    for name in names:
        if name not in there or not is_right(folder / name, announced(there[name])):
            mend = "run the command again: what the hub has already is not sent again"
            raise DataError(f"the hub's {name} at {made.oid} is not the file here", where=repo, mend=mend)
    size = sum((folder / name).stat().st_size for name in names)
    return Pushed(str(made.repo_url), made.oid, len(names), size)
