"""All pages, rendered and written whole or not at all; nothing is done where nothing has changed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mdrbench import __version__, registry
from mdrbench.errors import UsageError
from mdrbench.formats.writing import write_atomically
from mdrbench.site import (
    ablation_pages,
    about_pages,
    board,
    compare_pages,
    home_pages,
    language_pages,
    leaderboard_pages,
    scores,
    search_index,
    system_pages,
)
from mdrbench.site.board import Board
from mdrbench.site.charts import Drawing
from mdrbench.site.page import Asset, Copy, Page
from mdrbench.site.rendering import Rendering

MARKER = ".mdrbench-site"
"""A file in every built site, the SHA-256 of all others in it: a folder without it is never replaced."""

PageMaker = Callable[[Board, Drawing], Iterator[Page | Asset | Copy]]

MAKERS: tuple[PageMaker, ...] = (
    home_pages.pages,
    about_pages.pages,
    leaderboard_pages.pages,
    system_pages.pages,
    language_pages.pages,
    compare_pages.pages,
    ablation_pages.pages,
)
"""Every kind of page."""


def build(results_root: Path, out: Path, data: Sequence[str] = ()) -> Path:
    """Render all results under ``results_root`` and the published figures into ``out``; returns the start page.

    ``data`` names data sets at hand, as ``--data`` does: pages that compare systems then show passages. Published
    figures come from the package and from ``results_root/published``. What is slow to make is kept in ``.OUT.cache``
    beside ``out``; while neither results nor mdrbench change, the site is left as it is.

    Raises:
        DataError: a file that is no valid result; the old site stays.
        UsageError: there is no result, or ``out`` holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise UsageError(f"{out} is not empty and no site of mdrbench's", mend="give an empty folder with --out")
    cache = out.with_name(f".{out.name}.cache")
    state, seen = inputs(results_root, data), cache / "inputs"
    if _text(seen) == f"{state} {_text(out / MARKER)}":
        return out / "index.html"
    fresh = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        shown = board.load(results_root)
        shown.data = list(data)
        marker = _write(shown, fresh, Drawing(cache / "charts"))
        _swap(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    cache.mkdir(exist_ok=True)
    write_atomically(seen, f"{state} {marker}")
    return out / "index.html"


def _write(shown: Board, fresh: Path, drawing: Drawing) -> str:
    """All files of the site into a new folder; what its marker says."""
    if not shown.collections:
        raise UsageError(f"no results in {shown.root}", mend="`mdrbench run bm25 --data sample` makes one")
    scores.reader.cache_clear()  # a process that builds again must see results that were recorded anew
    source = registry.resource("site")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source / "static", fresh)
    items = [item for maker in MAKERS for item in maker(shown, drawing)]
    items.append(
        Asset(search_index.PATH, search_index.script(shown, [item for item in items if isinstance(item, Page)]))
    )
    rendering = Rendering(source / "templates", shown, [item.path for item in items])
    digests = []
    for item in items:
        target = fresh / item.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(item, Copy):
            _link(item.source, target)
            digests.append(f"{item.path} {item.sha256}")
            continue
        data = item.data if isinstance(item, Asset) else rendering.render(item).encode("utf-8")
        target.write_bytes(data)
        digests.append(f"{item.path} {hashlib.sha256(data).hexdigest()}")
    marker = f"mdrbench {__version__} {hashlib.sha256(chr(10).join(sorted(digests)).encode()).hexdigest()}\n"
    (fresh / MARKER).write_text(marker, encoding="utf-8")
    return marker


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where they are on different disks."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def inputs(results_root: Path, data: Sequence[str] = ()) -> str:
    """One hash over what the site is made from, by path, size and time of change: results, templates, this package,
    and the folders among ``data``."""
    package = Path(__file__).parent
    folders = [
        results_root,
        *map(Path, data),
        *(registry.resource(name) for name in ("site", "results", "docs", "baselines", "recipes")),
    ]
    found = hashlib.sha256(f"{__version__} {list(data)}\n".encode())
    for folder in [*folders, package, package.parent]:
        for path in sorted(_files(folder, deep=folder != package.parent)):
            stat = path.stat()
            found.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _files(folder: Path, deep: bool) -> Iterator[Path]:
    """Files of a folder (none where it is missing) and, where ``deep``, of those in it: no built site, none hidden."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__pycache__")):
                continue
            if entry.is_file():
                yield Path(entry.path)
            elif deep and entry.is_dir() and not os.path.exists(os.path.join(entry.path, MARKER)):
                yield from _files(Path(entry.path), deep)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _swap(fresh: Path, out: Path) -> None:
    """Put ``fresh`` in the place of ``out``."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.rename(out, old)
    os.rename(fresh, out)
    shutil.rmtree(old, ignore_errors=True)
