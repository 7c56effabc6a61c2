"""Find the reference of each result: in two folders, in two files, or in a git commit of a folder."""

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
from mdrbench.results.stored import SealState


class Pair(NamedTuple):
    """A result by name (``sample/bm25``) with the file of its reference and its own; None if there is none."""

    name: str
    before: Path | None
    now: Path | None


def root_of(path: Path) -> Path:
    """Return the results folder that a result file lies in."""
    folder = path.resolve().parent
    return folder.parent.parent if folder.name == "variants" else folder.parent


@contextmanager
def pairs(paths: list[Path], against: str) -> Iterator[list[Pair]]:
    """Yield the results of a folder, or single result files, each with its reference.

    Args:
        paths: result files, or one folder: a results folder, the folder of one data set, or of its variants.
        against: such a folder, a result file (for a single file), or anything that git resolves to a commit. An
            existing path is preferred to a commit.

    Raises:
        UsageError: there are no results or no reference, or ``against`` is neither a path nor a commit.
    """
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise UsageError("give one folder of results, or result files", mend=f"leave out {folders[0]}")
    absent = [path for path in paths if not path.exists()]
    if absent:
        raise UsageError("no such result", where=str(absent[0]), mend="`mdrbench run` writes one")
    place = folders[0] if folders else root_of(paths[0])
    with tempfile.TemporaryDirectory(prefix="mdrbench-") as scratch:
        reference = Path(against) if Path(against).exists() else checkout(place, against, Path(scratch))
        found = _pairs(place, [] if folders else paths, reference)
        if not any(pair.before for pair in found):
            raise UsageError(
                f"'{against}' has no result to compare {'these' if len(found) > 1 else 'this'} with",
                mend="record the reference first: run the recipe at the older state, or commit its results",
            )
        yield found


def _pairs(place: Path, chosen: list[Path], reference: Path) -> list[Pair]:
    if reference.is_file():
        if len(chosen) != 1:
            raise UsageError("a single file is the reference of one file only", mend="give folders on both sides")
        return [Pair(_name(chosen[0]), reference, chosen[0])]
    if chosen:
        places = [path.resolve().relative_to(place.resolve()) for path in chosen]
        earlier = {one: reference / one for one in places if (reference / one).is_file()}
        now = dict(zip(places, chosen, strict=True))
    else:
        earlier = {path.relative_to(reference): path for path in results.under(reference)}
        now = {path.relative_to(place): path for path in results.under(place)}
        if not earlier.keys() & now.keys():  # the folder of one data set against a folder of several, or the reverse
            now = {Path(f"{_name(path)}.json"): path for path in now.values()}
            datasets = {one.parts[0] for one in now}
            named = {Path(f"{_name(path)}.json"): path for path in earlier.values()}
            earlier = {one: path for one, path in named.items() if one.parts[0] in datasets}
    return [
        Pair(_name(now.get(one) or place / one), earlier.get(one), now.get(one)) for one in sorted({*earlier, *now})
    ]


def _name(path: Path) -> str:
    return str(path.resolve().relative_to(root_of(path)).with_suffix(""))


def checkout(root: Path, ref: str, scratch: Path) -> Path:
    """Unpack a folder as it was at a commit under ``scratch``; return where it is."""
    top_text, why = _git(root, "rev-parse", "--show-toplevel")
    if top_text is None:
        raise UsageError(
            f"'{ref}' is not a folder, and {root} is not in a git repository ({why})",
            mend="give the folder of the reference results: --against DIR",
        )
    top = Path(top_text.decode().strip())
    commit, _ = (None, "") if ref.startswith("-") else _git(top, "rev-parse", "--verify", f"{ref}^{{commit}}")
    if commit is None:
        raise UsageError(
            f"'{ref}' is neither a folder nor a commit of {top}",
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
    """Return the output of git, or None and the reason if it fails."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    except FileNotFoundError:
        raise SetupError("git is not installed", mend="install git, or give a folder: --against DIR") from None
    why = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    return (done.stdout, "") if done.returncode == 0 else (None, why)


def require_measured(path: Path, states: tuple[SealState, ...] = ("sealed",)) -> results.Result:
    """Read a measured result; a published one, or one without an accepted seal, is a DataError."""
    found = results.read(path, states)
    if found.kind != "measured":
        raise DataError("a published result cannot be checked", where=str(path), mend="give a measured result")
    return found
