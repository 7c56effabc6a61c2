"""Which result file is held against which: two folders, two files, or a folder and a git commit of it."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mdrbench import results
from mdrbench.core.errors import DataError, SetupError, UsageError


class Pair(NamedTuple):
    """A result by name (``sample/bm25``) with its reference's file and its own; None where there is none."""

    name: str
    before: Path | None
    now: Path | None


def root_of(path: Path) -> Path:
    """The results folder that a result file lies in."""
    folder = path.resolve().parent
    return folder.parent.parent if folder.name == "variants" else folder.parent


@contextmanager
def pairs(paths: list[Path], against: str) -> Iterator[list[Pair]]:
    """The results of a folder, or single result files, each with its reference.

    Args:
        against: a results folder, a result file (for a single file), or anything that git resolves to a commit. What
            exists on disk is taken for a path.

    Raises:
        UsageError: no results, no reference, or ``against`` is neither a path nor a commit.
    """
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise UsageError("give one folder of results, or result files", mend=f"leave out {folders[0]}")
    absent = [path for path in paths if not path.exists()]
    if absent:
        raise UsageError("no such result", where=str(absent[0]), mend="`mdrbench run` writes one")
    root = folders[0] if folders else root_of(paths[0])
    with tempfile.TemporaryDirectory(prefix="mdrbench-") as scratch:
        reference = Path(against) if Path(against).exists() else checkout(root, against, Path(scratch))
        found = _pairs(root, [] if folders else paths, reference)
        if not any(pair.before for pair in found):
            raise UsageError(
                f"'{against}' has no result to compare {'these' if len(found) > 1 else 'this'} with",
                mend="record the reference first: run the recipe at the older state, or commit its results",
            )
        yield found


def _pairs(root: Path, chosen: list[Path], reference: Path) -> list[Pair]:
    if reference.is_file():
        if len(chosen) != 1:
            raise UsageError("a single file is the reference of one file only", mend="give folders on both sides")
        return [Pair(_name(root, chosen[0]), reference, chosen[0])]
    if chosen:
        places = [path.resolve().relative_to(root.resolve()) for path in chosen]
        earlier = {place: reference / place for place in places if (reference / place).is_file()}
        now = dict(zip(places, chosen, strict=True))
    else:
        earlier = {path.relative_to(reference): path for path in results.files(reference)}
        now = {path.relative_to(root): path for path in results.files(root)}
    places = sorted({*earlier, *now})
    return [Pair(str(place.with_suffix("")), earlier.get(place), now.get(place)) for place in places]


def _name(root: Path, path: Path) -> str:
    return str(path.resolve().relative_to(root.resolve()).with_suffix(""))


def checkout(root: Path, ref: str, scratch: Path) -> Path:
    """The results folder as it was at a commit, unpacked under ``scratch``."""
    top_text, why = _git(root, "rev-parse", "--show-toplevel")
    if top_text is None:
        raise UsageError(
            f"'{ref}' is no folder, and git knows no repository of {root} ({why})",
            mend="give the folder of the reference results: --against DIR",
        )
    top = Path(top_text.decode().strip())
    commit, _ = (None, "") if ref.startswith("-") else _git(top, "rev-parse", "--verify", f"{ref}^{{commit}}")
    if commit is None:
        raise UsageError(
            f"'{ref}' is no folder and no commit of {top}",
            mend="`git fetch` it (in GitHub Actions: actions/checkout with `fetch-depth: 0`), or give a folder",
        )
    place = root.resolve().relative_to(top.resolve())
    packed, _ = _git(top, "archive", "--format=tar", commit.decode().strip(), "--", str(place))
    if packed is None:
        raise UsageError(f"the commit '{ref}' has no folder {place}", mend="commit the reference results first")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(scratch, filter="data")
    return scratch / place


def _git(folder: Path, *words: str) -> tuple[bytes | None, str]:
    """What git answers, None where it refuses, and then why."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    except FileNotFoundError:
        raise SetupError("git is not installed", mend="install git, or give a folder: --against DIR") from None
    why = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    return (done.stdout, "") if done.returncode == 0 else (None, why)


def require_measured(path: Path) -> results.Result:
    """A measured result; a published one is a DataError."""
    found = results.read(path)
    if found.kind != "measured":
        raise DataError("a published result cannot be checked", where=str(path), mend="give a measured result")
    return found
