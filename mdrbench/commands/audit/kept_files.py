"""Verify the files that a result keeps: their names, their bytes, and the layout that mdrbench writes."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

from mdrbench.commands.audit import canonical
from mdrbench.core.errors import DataError
from mdrbench.core.types import Run, Topics
from mdrbench.evaluation.measures import TopicScores
from mdrbench.formats import trec
from mdrbench.results import File, Result, kept
from mdrbench.results.verified import Verified

ENDINGS = {"run": "run.trec.gz", "topics": "topics.tsv.gz"}


def whole(found: Verified, file: File, lang: str | None) -> Path | None:
    """Return the path of a recorded file, None (and a problem) if it is missing or has other bytes."""
    try:
        return kept.checked(found.path, file)
    except DataError as error:
        found.unreadable(error, lang)
        return None


def topic_scores(found: Verified, result: Result, lang: str) -> tuple[TopicScores | None, Topics]:
    """Read the topic-level scores and queries that a result keeps; a problem if they are not as mdrbench writes."""
    path = _path(found, result, lang, "topics")
    if path is None:
        return None, {}
    names = tuple(result.evaluated.measures)
    try:
        scores, queries = kept.read_topic_scores(path)
    except DataError as error:
        found.unreadable(error, lang)
        return None, {}
    lacking = [name for name in names if any(name not in row for row in scores.values())]
    if lacking or not scores:
        found.problem(f"lacks {', '.join(lacking) or 'topics'}", file=path, lang=lang)
        return None, {}
    if wrong := canonical.differing_topics_line(path, scores, queries, names):
        found.problem(wrong, file=path, lang=lang)
    return scores, queries


def run(found: Verified, result: Result, lang: str) -> Run | None:
    """Read the run that a result keeps; a problem if its ranks, tags or layout are not as mdrbench writes them."""
    path = _path(found, result, lang, "run")
    if path is None:
        return None
    try:
        hits = trec.read_run(path)
    except DataError as error:
        found.unreadable(error, lang)
        return None
    recipe = result.system.recipe
    tag = result.system.name if recipe is None else str(recipe.get("retriever", {}).get("name"))
    if wrong := canonical.differing_run_line(path, hits, tag):
        found.problem(wrong, file=path, lang=lang)
    return hits


def last_step(log: Path) -> int | None:
    """Return the last step in the kept log of a training, None if it cannot be read."""
    try:
        lines = gzip.decompress(log.read_bytes()).splitlines()
        return max(int(line["step"]) for line in map(json.loads, lines) if line["kind"] == "train")
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        return None


def _path(found: Verified, result: Result, lang: str, kind: str) -> Path | None:
    """Return a file beside the result, None (and a problem) if its name or its bytes are not those recorded."""
    file = result.languages[lang].files.get(kind)
    if file is None:
        found.problem(f"no {kind} file is recorded", lang=lang, mend="run the recipe again")
        return None
    derived = f"{found.path.stem}/{lang}-{result.split}.{ENDINGS[kind]}"
    found.same(f"the name of the {kind} file", file.path, derived, lang=lang)
    return whole(found, file, lang)
