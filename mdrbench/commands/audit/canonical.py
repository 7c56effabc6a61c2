"""Kept runs and topic-level scores are written in one way: ranks, tags and layout follow from the scores."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from mdrbench.core.types import Run, Topics
from mdrbench.evaluation import measures
from mdrbench.evaluation.measures import TopicScores
from mdrbench.formats import trec


def differing_run_line(path: Path, run: Run, tag: str) -> str | None:
    """Return a sentence about the first line of a kept run that mdrbench would not write, None if there is none.

    Args:
        run: the run that the file holds.
        tag: the tag that the system's runs carry.
    """
    return _first_difference(path, lambda to: trec.write_run(to, run, tag))


def differing_topics_line(path: Path, scores: TopicScores, queries: Topics, names: tuple[str, ...]) -> str | None:
    """Return a sentence about the first line of a table of topic-level scores that mdrbench would not write."""
    return _first_difference(path, lambda to: measures.write_topic_scores(to, scores, queries, names))


def _first_difference(path: Path, write: Callable[[Path], None]) -> str | None:
    with tempfile.TemporaryDirectory(prefix="mdrbench-") as scratch:
        written = Path(scratch) / path.name
        write(written)
        derived = gzip.decompress(written.read_bytes()).splitlines(keepends=True)
    try:
        stored = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    except (OSError, EOFError, zlib.error) as error:
        return f"is not a gzip file: {error}"
    for number, (one, other) in enumerate(zip(stored, derived, strict=False), 1):
        if one != other:
            told, expected = (line.decode(errors="replace").rstrip() for line in (one, other))
            return f"line {number} is '{told}', which should be '{expected}'"
    if len(stored) != len(derived):
        return f"has {len(stored)} lines, which should be {len(derived)}"
    return None
