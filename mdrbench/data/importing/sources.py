"""Read the SOURCE of ``mdrbench data import``."""

from __future__ import annotations

from pathlib import Path

from mdrbench.core.errors import UsageError
from mdrbench.data.importing import beir, files, hub, ir_datasets, mteb_tasks, nomiracl
from mdrbench.data.importing.origin import Import
from mdrbench.hub.dataset_configs import Repository, list_files
from mdrbench.hub.downloads import Listen, nobody

KINDS = "a folder in BEIR's format, ir_datasets:NAME, hub:OWNER/NAME, mteb:TASK, or --passages and --questions"


def read_source(
    source: str | None,
    passages: Path | None,
    questions: list[str],
    langs: list[str],
    root: Path,
    listen: Listen = nobody,
) -> Import:
    """Return the collection that the command line names.

    Args:
        source: a folder, or a name with its kind; None with ``passages`` and ``questions``.
        passages: a file of passages.
        questions: files of questions with their answers, as ``FILE`` or ``SPLIT=FILE``.
        langs: language codes; empty for all of the source.
        root: the data set's folder; downloads go to its folder ``sources``.
        listen: hears of downloads.

    Raises:
        UsageError: no source, or several, or one of an unknown kind.
        DataError, SetupError: the source cannot be read.
    """
    if source is None and passages is not None and questions:
        return files.read(passages, questions, langs)
    if source is None or passages is not None or questions:
        raise UsageError("Give one source.", mend=f"give {KINDS}")
    kind, _, name = source.partition(":")
    if kind == "ir_datasets" and name:
        return ir_datasets.read(name, langs)
    if kind == "mteb" and name:
        return mteb_tasks.read(name, langs)
    if kind == "hub" and name:
        repository, _, revision = name.partition("@")
        return _read_hub(Repository(repository, revision or "main"), langs, root, listen)
    if Path(source).is_dir():
        return _read_folder(Path(source), langs)
    raise UsageError(f"No source '{source}'.", mend=f"give {KINDS}")


def _read_hub(repository: Repository, langs: list[str], root: Path, listen: Listen) -> Import:
    files = list_files(repository)
    if nomiracl.is_published(files):
        return nomiracl.read_hub(repository, files, langs, root, listen)
    return hub.read(repository, langs, root, listen)


def _read_folder(folder: Path, langs: list[str]) -> Import:
    files = (path.relative_to(folder).as_posix() for path in folder.glob("data/*/topics/*"))
    if nomiracl.is_published(files) or nomiracl.lists_in(folder):
        return nomiracl.read_folder(folder, langs)
    return beir.read(folder, langs)
