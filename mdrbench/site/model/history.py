"""What moved between versions of the results: the commits of the results folder that changed a score."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mdrbench.evaluation import measures
from mdrbench.results import PUBLISHED
from mdrbench.site.cache import Cache

FORMAT = 1
"""Raise it if the cached changes differ for the same commit."""

MOST_COMMITS = 60
"""Commits of the results folder that are looked at, the latest first."""

MOST_VERSIONS = 20
"""Versions that are shown."""

EQUAL = 0.0005
"""Scores closer than this print alike, and no change is shown."""

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
"""Characters that a title may have and XML may not."""

Scores = dict[str, float]
"""Language, or ``average`` -> score."""


class Change(NamedTuple):
    """A system whose scores moved.

    Attributes:
        what: ``added``, ``removed`` or ``changed``.
        measure: the measure of the scores.
        before, after: the average, or None.
        added: languages that are new.
        moved: language -> score before and after.
    """

    dataset: str
    system: str
    what: str
    measure: str
    before: float | None
    after: float | None
    added: list[str]
    moved: dict[str, list[float]]


class Version(NamedTuple):
    """A commit that changed scores.

    Attributes:
        date: ISO 8601, with time zone.
        changes: measured systems.
        published: source of published figures -> how many of its files changed.
    """

    commit: str
    date: str
    title: str
    changes: list[Change]
    published: dict[str, int]


def versions(root: Path, cache: Cache) -> list[Version]:
    """Return the latest versions of the results, the latest first; nothing if git does not track the folder."""
    found = []
    for commit, date, title, files in _commits(root):
        source = [FORMAT, commit]
        changes, published = cache.get("version", source, partial(_changes, root, files))
        if changes or published:
            found.append(Version(commit, date, title, [Change(*change) for change in changes], published))
        if len(found) == MOST_VERSIONS:
            break
    return found


def latest(root: Path) -> str:
    """Return the last commit that changed the results; nothing if git does not track the folder."""
    return _git(root, "log", "-1", "--format=%H", "--", ".").strip()


def _git(root: Path, *words: str, asked: str = "") -> str:
    """Return what git prints about a folder; nothing if there is no git, or no repository that tracks the folder."""
    command = ["git", "-C", str(root), "--no-optional-locks", *words]
    try:
        done = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


class _File(NamedTuple):
    """A changed file: its path below the results folder, and its blobs before and after; a blob of zeros is absent."""

    path: str
    before: str
    after: str


def _commits(root: Path) -> Iterator[tuple[str, str, str, list[_File]]]:
    """Yield commit, date, title and changed files, the latest commit first.

    The oldest commit of a shallow clone is left out: to git, all of its files are new.
    """
    words = ["log", f"-{MOST_COMMITS}", "--format=%x01%H%x00%cI%x00%P%x00%s", "--raw", "--no-abbrev", "--no-renames"]
    shallow = _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    for text in re.split("\x01(?=[0-9a-f]{40,64}\x00)", _git(root, *words, "--relative", "--", "."))[1:]:
        head, *lines = text.split("\n")
        commit, date, parents, title = head.split("\x00")
        if shallow and not parents:
            continue
        files = []
        for line in lines:
            facts, _, path = line.partition("\t")
            if path.endswith(".json"):
                _, _, before, after, _ = facts.split(" ")
                files.append(_File(path, before, after))
        yield commit, date, CONTROLS.sub(" ", title), files


def _changes(root: Path, files: list[_File]) -> tuple[list[Change], dict[str, int]]:
    published: dict[str, int] = {}
    measured = []
    for file in files:
        parts = PurePosixPath(file.path).parts
        if parts[0] == PUBLISHED and len(parts) > 2:
            published[parts[1]] = published.get(parts[1], 0) + 1
        elif len(parts) == 2 and parts[0] != "schema":
            measured.append(file)
    changes = [_change(file, *(_scores(root, blob) for blob in (file.before, file.after))) for file in measured]
    return [change for change in changes if change], published


def _scores(root: Path, blob: str) -> tuple[str, Scores]:
    """Return the measure and the scores of a result of any schema; nothing for an absent or unreadable one."""
    if not blob.strip("0"):
        return "", {}
    try:
        result: dict[str, Any] = json.loads(_git(root, "cat-file", "blob", blob))
        known = result["evaluated"]["measures"]
        measure = measures.DEFAULT[0] if measures.DEFAULT[0] in known else known[0]
        scores = {lang: float(own["scores"][measure]["value"]) for lang, own in result["languages"].items()}
        averages = [own["scores"][measure]["value"] for own in result["averages"] if measure in own["scores"]]
    except (ValueError, KeyError, TypeError, IndexError):
        return "", {}
    return measure, {**scores, **({"average": float(averages[0])} if averages else {})}


def _change(file: _File, old: tuple[str, Scores], new: tuple[str, Scores]) -> Change | None:
    """Compare two versions of a result; None if no score moved."""
    (old_measure, before), (new_measure, after) = old, new
    if not before and not after:
        return None
    added = [lang for lang in after if lang not in before and lang != "average"]
    moved = {
        lang: [before[lang], score]
        for lang, score in after.items()
        if lang in before and lang != "average" and abs(score - before[lang]) >= EQUAL
    }
    what = "removed" if not after else "changed" if before else "added"
    if what == "changed" and not added and not moved:
        return None
    path = PurePosixPath(file.path)
    averages = before.get("average"), after.get("average")
    return Change(path.parts[0], path.stem, what, new_measure or old_measure, *averages, added, moved)
