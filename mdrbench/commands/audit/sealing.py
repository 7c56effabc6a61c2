"""Upgrade stored files of an older schema: derive every number again, and seal the files that hold no contradiction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mdrbench import results
from mdrbench.commands.audit import verification
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError, UsageError
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.results import ablations, stored
from mdrbench.results.verified import Verified

AGAIN = "run the recipe again"


def seal(
    paths: list[Path], dataset: MiraclFolder | None, progress: Callable[[str], None] = print
) -> tuple[list[Path], list[Verified]]:
    """Seal the unsealed files among ``paths``; nothing is written if one of them holds a contradiction.

    Results come first: the numbers of an ablation are derived from sealed results only.

    Args:
        paths: files or folders, as for :func:`verification.verify`.
        dataset: the data on which measured results are scored again.

    Returns:
        The files that were sealed, and the verified files that hold contradictions.

    Raises:
        UsageError: a measured result is to be sealed without its data.
    """
    files = [file for path in paths for file in (verification.stored_in(path) if path.is_dir() else [path])]
    unsealed = [file for file in files if stored.seal_state(stored.read_json(file, again=AGAIN)) == "unsealed"]
    measured = [file for file in unsealed if results.PUBLISHED not in file.resolve().parts]
    if dataset is None and measured:
        raise UsageError(
            f"{measured[0]} can be sealed only after its runs were scored again", mend="give its data: --data DATA"
        )
    sealed: list[Path] = []
    for file in sorted(unsealed, key=ablations.is_one):
        [found] = verification.verify([file], None if ablations.is_one(file) else dataset, progress=progress)
        found.problems = [problem for problem in found.problems if problem.what != verification.UNSEALED]
        if found.problems or (file in measured and not ablations.is_one(file) and not found.rescored):
            return sealed, [found]
        write_atomically(file, sealed_text(file))
        sealed.append(file)
    return sealed, []


def sealed_text(file: Path) -> str:
    """Return the text of a stored file with its seal; its layout stays."""
    try:
        return stored.seal_text(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"cannot be sealed: {error}", where=str(file), mend=AGAIN) from None


def sealed_files(paths: list[Path]) -> list[Path]:
    """Return the files of ``paths`` and their folders; a DataError if one of them has no valid seal."""
    files = [file for path in paths for file in (verification.stored_in(path) if path.is_dir() else [path])]
    if not files:
        raise UsageError(f"no results in {paths[0]}", mend="`mdrbench run bm25 --data sample` makes one")
    for file in files:
        stored.require_seal(file, again=AGAIN)
    return files
