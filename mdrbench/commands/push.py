"""``mdrbench push``: a trained model or a folder of results becomes a repository on the hub."""

from __future__ import annotations

from pathlib import Path

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.hub import model_files, upload
from mdrbench.hub.repositories import Kind
from mdrbench.results import ablations, kept

CARD = "README.md"


def run(
    folder: Path, repo: str, revision: str = "main", message: str | None = None, private: bool = False
) -> upload.Pushed:
    """Push a folder with a model (``config.json`` and weights) or with results.

    Of a model the files that PyTorch needs and the model card are pushed; of results every visible file, after the
    seal of each result and ablation, and the SHA-256 of each run, table and log were compared.

    Raises:
        DataError: the folder holds neither, a result is not valid, or a link leads out of the folder.
        UsageError, SetupError, DataError: see :func:`mdrbench.hub.upload.push`.
    """
    kind, names = contents(folder)
    return upload.push(folder, names, repo, kind, revision, message or f"Push {folder.resolve().name}", private)


def contents(folder: Path) -> tuple[Kind, list[str]]:
    """Return the kind of repository that a folder becomes, and the paths of the files to push."""
    if not folder.is_dir():
        raise DataError("there is no such folder", where=str(folder), mend="give a folder with a model or with results")
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    visible = [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]
    model = model_files.model_files(visible)
    if model_files.has_weights(model):
        return "model", [*model, *([CARD] if CARD in visible else [])]
    measured = results.under(folder)
    for path in measured:
        _check_kept(path, results.read(path))
    for path in results.published_files(folder):
        results.read(path)
    for path in [*ablations.files(folder), *folder.glob("ablations/*.json")]:
        ablations.read(path)
    if not measured:
        mend = "give a folder that holds config.json and weights, or a folder of results"
        raise DataError("there is neither a model nor a result in this folder", where=str(folder), mend=mend)
    for name in visible:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            mend = "put the file itself there, or take the link away"
            raise DataError("is a link to a file outside the folder", where=str(folder / name), mend=mend)
    return "dataset", visible


def _check_kept(path: Path, result: results.Result) -> None:
    files = [file for entry in result.languages.values() for file in entry.files.values()]
    for file in [*files, *(training.log for training in result.trainings.values() if training.log)]:
        kept.checked(path, file)
