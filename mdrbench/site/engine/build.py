"""All pages, rendered and written whole or not at all; nothing is done where nothing has changed."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mdrbench import __version__
from mdrbench.core import registry
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import UsageError
from mdrbench.site.engine import inputs, keeping, parallel, search_index
from mdrbench.site.engine.inputs import MARKER
from mdrbench.site.engine.page import Asset, Copy, Page
from mdrbench.site.engine.rendering import Rendering
from mdrbench.site.engine.standing_pages import StandingPages, link
from mdrbench.site.model import board, pairs, scores, standings
from mdrbench.site.model.board import Board
from mdrbench.site.pages import (
    ablation_pages,
    about_pages,
    compare_pages,
    home_pages,
    language_pages,
    leaderboard_pages,
    system_pages,
)
from mdrbench.site.pages.charts import Drawing

Item = Page | Asset | Copy
PageMaker = Callable[[Board, Drawing], Iterator[Item]]

MAKERS: tuple[PageMaker, ...] = (
    leaderboard_pages.pages,
    system_pages.pages,
    language_pages.pages,
    ablation_pages.pages,
)
"""Kinds of pages of a collection whose list is known before systems are tested against each other."""

TESTED: tuple[PageMaker, ...] = (compare_pages.pages,)
"""The others."""


def build(results_root: Path, out: Path, data: Sequence[str] = ()) -> Path:
    """Render all results under ``results_root`` and the published figures into ``out``; returns the start page.

    ``data`` names data sets at hand, as ``--data`` does: pages that compare systems then show passages. Published
    figures come from the package and from ``results_root/published``. What is slow to make is kept in ``.OUT.cache``
    beside ``out`` and dropped when no build has used it for 30 days. While neither results nor mdrbench change, the
    site is left as it is; where only results of some collections change, the pages of the others are taken over.

    Raises:
        DataError: a file that is no valid result; the old site stays.
        UsageError: there is no result, or ``out`` holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise UsageError(f"{out} is not empty and no site of mdrbench's", mend="give an empty folder with --out")
    cache = out.with_name(f".{out.name}.cache")
    found, seen = inputs.files(results_root, data), cache / "inputs"
    state = inputs.state(found, data)
    if _text(seen) == f"{state} {_text(out / MARKER)}":
        return out / "index.html"
    fresh = out.with_name(f".{out.name}.{os.getpid()}.new")
    collecting = gc.isenabled()
    gc.disable()  # a build makes millions of objects and hardly any garbage: looking for it is a fifth of the time
    try:
        shown = board.load(results_root)
        shown.data = list(data)
        if not shown.collections:
            raise UsageError(f"no results in {results_root}", mend="`mdrbench run bm25 --data sample` makes one")
        standing = StandingPages(cache, out)
        marker, made = _write(shown, fresh, Drawing(cache / "charts"), standing, inputs.states(shown, found))
        _swap(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if collecting:
            gc.enable()
    standing.keep(marker, made)
    write_atomically(seen, f"{state} {marker}")
    keeping.drop_unused(cache)
    return out / "index.html"


Made = dict[str, tuple[str, dict[str, str]]]
"""Folder of a collection -> its state, and path -> SHA-256 of its files."""


def _write(
    shown: Board, fresh: Path, drawing: Drawing, standing: StandingPages, states: dict[str, str]
) -> tuple[str, Made]:
    """All files of the site into a new folder; what its marker says, and what was made of each collection."""
    scores.reader.cache_clear()  # a process that builds again must see results that were recorded anew
    source = registry.resource("site")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source / "static", fresh)
    taken = {folder: files for folder, state in states.items() if (files := standing.files(folder, state)) is not None}
    changed = [collection for collection in shown.collections if collection.folder not in taken]
    reader = scores.reader(drawing.cache.with_name("scores"))
    rendering, documents = Rendering(source / "templates", shown), []

    def prepare() -> None:
        import scipy.special  # noqa: F401  # for the tests behind letters: once, not in each process that makes some

        rendering.compile()
        documents.extend(item for item in about_pages.pages(shown, drawing) if isinstance(item, Page))
        standings.prepare(changed)

    reader.read_all([entry for one in changed for entry in one.measured], meanwhile=prepare)
    memo = drawing.cache.with_name("memo")
    tests = [job for collection in changed for job in pairs.tests(collection, reader, memo)]
    items: dict[str, list[Item]] = {collection.folder: [] for collection in changed}

    def collect(makers: Sequence[PageMaker]) -> None:
        for collection in changed:
            only = Board(shown.root, shown.collections, shown.data, collection)
            for maker in makers:
                items[collection.folder] += maker(only, drawing)

    parallel.run([*tests, *standings.letters(changed, reader, memo)], meanwhile=lambda: collect(MAKERS))
    collect(TESTED)
    general: list[Item] = [*home_pages.pages(shown, drawing), *documents]
    every = [*general, *(item for group in items.values() for item in group)]
    paths = {*(item.path for item in every), *(path for files in taken.values() for path in files)}
    general.append(Asset(search_index.PATH, search_index.script(shown, documents, paths)))
    rendering.know([*paths, search_index.PATH])
    for folder in {(fresh / path).parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    for files in taken.values():
        for path in files:
            standing.take(path, fresh)
    digests = _digests([*every, general[-1]], fresh, rendering)
    made = {folder: {item.path: digests[item.path] for item in group} for folder, group in items.items()} | taken
    for files in taken.values():
        digests |= files
    lines = sorted(f"{path} {digest}" for path, digest in digests.items())
    marker = f"mdrbench {__version__} {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}\n"
    (fresh / MARKER).write_text(marker, encoding="utf-8")
    return marker, {folder: (states[folder], files) for folder, files in made.items()}


def _digests(items: Iterable[Item], fresh: Path, rendering: Rendering) -> dict[str, str]:
    """Write files, pages over the cores; the SHA-256 of each by its path."""
    items = list(items)
    copies = [item for item in items if isinstance(item, Copy)]
    written = [item for item in items if not isinstance(item, Copy)]

    def write(number: int) -> str:
        item = written[number]
        data = item.data if isinstance(item, Asset) else rendering.render(item).encode("utf-8")
        (fresh / item.path).write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def copy() -> None:
        for item in copies:
            link(item.source, fresh / item.path)

    found = parallel.each(write, range(len(written)), meanwhile=copy)
    digests = {item.path: item.sha256 for item in copies}
    return digests | dict(zip((item.path for item in written), found, strict=True))


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _swap(fresh: Path, out: Path) -> None:
    """Put ``fresh`` in the place of ``out``."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.rename(out, old)
    os.rename(fresh, out)
    shutil.rmtree(old, ignore_errors=True)
