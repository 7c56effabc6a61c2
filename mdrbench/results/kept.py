"""The files that are kept beside a result: runs, topic-level scores and logs of trainings.

Each is read only after its size and SHA-256 were compared with the result's record.
"""

from __future__ import annotations

from pathlib import Path

from mdrbench.core import console
from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256
from mdrbench.core.types import Topics
from mdrbench.evaluation import measures
from mdrbench.results import File, LanguageResult

RESTORE = "restore the file, or run the recipe again"


def checked(result_file: Path, file: File) -> Path:
    """Return the path of a file kept beside a result.

    Raises:
        DataError: it is missing, or its bytes are not those that the result recorded.
    """
    path = result_file.parent / file.path
    if not path.is_file():
        raise DataError("is missing", where=console.shown(path), mend="keep it beside the result, or run again")
    size, sha256 = path.stat().st_size, file_sha256(path)
    if (size, sha256) != (file.bytes, file.sha256):
        raise DataError(
            f"is not the file the result was recorded with ({file.bytes} bytes, {file.sha256[:12]}; "
            f"found {size} bytes, {sha256[:12]})",
            where=console.shown(path),
            mend=RESTORE,
        )
    return path


def topic_scores(result_file: Path, entry: LanguageResult) -> tuple[measures.TopicScores, Topics] | None:
    """Return the scores and queries of a language's topics; None if the result keeps none.

    Raises:
        DataError: the file is missing, was changed, or is not a table of topic-level scores.
    """
    file = entry.files.get("topics")
    return None if file is None else read_topic_scores(checked(result_file, file))


def read_topic_scores(path: Path) -> tuple[measures.TopicScores, Topics]:
    """Read a table of topic-level scores; a DataError if it is not one."""
    try:
        return measures.read_topic_scores(path)
    except ValueError as error:
        where = console.shown(path)
        raise DataError(f"is not a table of topic-level scores: {error}", where=where, mend=RESTORE) from None
