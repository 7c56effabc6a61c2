"""Read the SOURCE of ``mdrbench data import``."""

from __future__ import annotations

from pathlib import Path

from mdrbench.core.errors import UsageError
from mdrbench.data.importing import beir, files, hub, ir_datasets
from mdrbench.data.importing.origin import Import
from mdrbench.hub.dataset_configs import Repository
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
        return hub.read_task(name, langs, root, listen)
    if kind == "hub" and name:
        repository, _, revision = name.partition("@")
        return hub.read(Repository(repository, revision or "main"), langs, root, None, listen)
    if Path(source).is_dir():
        return beir.read(Path(source), langs)
    raise UsageError(f"No source '{source}'.", mend=f"give {KINDS}")
