"""What the site is made from, by path, size and time of change: of all of it, and of each collection's pages."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mdrbench import __version__
from mdrbench.core import registry
from mdrbench.core.store import key_of
from mdrbench.site.model import recipe_diff, system_facts
from mdrbench.site.model.board import Board, Collection, Entry

MARKER = ".mdrbench-site"
"""A file in every built site, the SHA-256 of all others in it: a folder without it is never replaced."""


def files(results_root: Path, data: Sequence[str] = ()) -> dict[str, str]:
    """Path -> size and time of change of every file: results, templates, documents, this package, and the folders
    among ``data``."""
    folders = [
        results_root,
        *map(Path, data),
        *(registry.resource(name) for name in ("site", "results", "docs", "baselines", "recipes")),
        Path(__file__).parents[2],
    ]
    return {path: mark for folder in folders for path, mark in sorted(_files(folder))}


def state(found: dict[str, str], data: Sequence[str] = ()) -> str:
    """One hash over what :func:`files` found."""
    lines = (f"{path} {mark}\n" for path, mark in found.items())
    return hashlib.sha256("".join([f"{__version__} {list(data)}\n", *lines]).encode()).hexdigest()


def states(shown: Board, found: dict[str, str]) -> dict[str, str]:
    """Folder of a collection -> a hash over all that its pages are made from: the files of its systems, the systems of
    other collections that they name, and whatever is of no measured system."""
    own = {c.folder: [path for entry in c.measured for path in _kept(entry)] for c in shown.collections}
    owned = {path for paths in own.values() for path in paths}
    rest = {path: mark for path, mark in found.items() if path not in owned}
    common = key_of([state(rest, shown.data), sorted(own), str(shown.root)])
    return {
        c.folder: key_of([common, [[path, found.get(path)] for path in own[c.folder]], _named(shown, c)])
        for c in shown.collections
    }


def _kept(entry: Entry) -> list[str]:
    kept = (os.path.join(entry.path.parent, file.path) for _, _, file in system_facts.kept_files(entry))
    return [str(entry.path), *kept]


def _named(shown: Board, collection: Collection) -> list[object]:
    """Systems of other collections that its pages may name: parents of its recipes, and what reproduces a figure."""
    parents = {recipe_diff.parent(entry) for entry in collection.measured}
    published = {entry.result.system.name for entry in collection.published}
    return [
        [other.folder, entry.slug, entry.name, entry.result.system.recipe]
        for other in shown.collections
        if other is not collection
        for entry in other.measured
        if entry.result.system.name in parents or published & set(recipe_diff.claims(entry.result.system.recipe or {}))
    ]


def _files(folder: str | Path) -> Iterator[tuple[str, str]]:
    """Files of a folder and of those in it, with their marks: no built site, none hidden; none where it is missing."""
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__pycache__")):
                continue
            if entry.is_file():
                stat = entry.stat()
                yield entry.path, f"{stat.st_size} {stat.st_mtime_ns}"
            elif entry.is_dir() and not os.path.exists(os.path.join(entry.path, MARKER)):
                yield from _files(entry.path)
