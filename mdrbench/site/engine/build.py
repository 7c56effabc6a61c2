"""Builds the site: load the results, render every page, write all files, and put the new site in place of the old."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mdrbench import __version__
from mdrbench.core import registry
from mdrbench.core.errors import UsageError
from mdrbench.core.locks import file_lock
from mdrbench.site.cache import Cache

if TYPE_CHECKING:
    from mdrbench.site.engine.render import Renderer
    from mdrbench.site.model.site_model import SiteModel
    from mdrbench.site.pages.page import SiteFile

MARKER = ".mdrbench-site"
"""A file in every built site that holds the SHA-256 of all other files. A folder without it is never replaced."""


def build(results_root: Path, out: Path, data: Sequence[str] = ()) -> Path:
    """Build the site of all results under ``results_root`` and of the published figures.

    Published figures come from the package and from ``results_root/published``. The folder ``.OUT.cache`` beside
    ``out`` keeps results of slow work. If no input has changed since the last build, the site is left as it is.

    Args:
        out: the folder of the site. It is replaced as a whole; if anything fails, the old site stays.
        data: data sets whose passages are shown, as ``--data`` names them.

    Returns:
        The start page.

    Raises:
        UsageError: there is no result, or ``out`` holds something else than a site.
        DataError: a file is damaged, or differs from the one that a result was recorded with.
    """
    if not results_root.is_dir():
        raise UsageError(
            f"there is no results folder {results_root}",
            mend="name an existing folder with --results, or run `mdrbench run bm25 --data sample` first",
        )
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise UsageError(f"{out} is not empty and was not created by mdrbench", mend="name an empty folder with --out")
    kept = cache_folder(out)
    kept.mkdir(parents=True, exist_ok=True)
    with file_lock(kept / "lock"):
        inputs = inputs_hash(results_root, data)
        built_from = kept / "inputs"
        if _text(built_from) == f"{inputs} {_text(out / MARKER)}":
            return out / "index.html"
        marker = _build_and_swap(results_root, out, data, Cache(kept))
        built_from.write_text(f"{inputs} {marker}", encoding="utf-8")
    return out / "index.html"


def cache_folder(out: Path) -> Path:
    """Return the folder that keeps results of slow work beside a site."""
    return out.with_name(f".{out.name}.cache")


def _build_and_swap(results_root: Path, out: Path, data: Sequence[str], cache: Cache) -> str:
    """Write the site into a folder of the cache, then put it in the place of ``out``; return its marker."""
    from mdrbench.site.model.site_model import load

    new, old = cache.folder / "new", cache.folder / "old"
    for folder in (new, old):  # an interrupted build may have left them
        shutil.rmtree(folder, ignore_errors=True)
    try:
        marker = _write(load(results_root, data, cache), new, cache)
        if out.exists():
            os.rename(out, old)
        os.rename(new, out)
    finally:
        if old.exists() and not out.exists():
            os.rename(old, out)
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
    cache.drop_unused()
    return marker


def site_files(model: SiteModel) -> list[SiteFile]:
    """Return every file of the site, besides the static ones."""
    from mdrbench.site.pages import (
        ablation,
        about,
        audit,
        board_data,
        changes,
        compare,
        explore,
        home,
        language,
        leaderboard,
        published,
        search_index,
        system,
    )

    documents = list(about.pages())
    return [
        *home.pages(model),
        *leaderboard.pages(model),
        *system.pages(model),
        *published.pages(model),
        *audit.pages(model),
        *changes.pages(model),
        *board_data.assets(model),
        *language.pages(model),
        *ablation.pages(model),
        *compare.pages(model),
        *explore.pages(model),
        *documents,
        search_index.asset(model, documents),
    ]


def _write(model: SiteModel, folder: Path, cache: Cache) -> str:
    """Write all files of the site into a new folder; return its marker."""
    from mdrbench.site.engine.render import Renderer

    source = registry.resource("site")
    shutil.copytree(source / "static", folder)
    files = site_files(model)
    renderer = Renderer(source / "templates", (file.path for file in files), cache)
    for parent in {(folder / file.path).parent for file in files}:
        parent.mkdir(parents=True, exist_ok=True)
    hashes = sorted(f"{file.path} {_write_file(file, folder / file.path, renderer)}\n" for file in files)
    marker = f"mdrbench {__version__} {hashlib.sha256(''.join(hashes).encode()).hexdigest()}\n"
    (folder / MARKER).write_text(marker, encoding="utf-8")
    return marker


def _write_file(file: SiteFile, path: Path, renderer: Renderer) -> str:
    """Write one file; return its SHA-256."""
    from mdrbench.site.pages.page import Copy, Page

    if isinstance(file, Copy):
        _link(file.source, path)
        return file.sha256
    content = renderer.render(file) if isinstance(file, Page) else file.content
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# -- inputs ------------------------------------------------------------------------------------------------------------


def input_folders(results_root: Path, data: Sequence[str]) -> list[Path]:
    """Return the folders that the site is made from: results, data sets, templates, documents, recipes, the package."""
    site = registry.resource("site")
    resources = [registry.resource(name) for name in ("results", "docs", "baselines", "recipes")]
    package = Path(__file__).parents[2]
    folders = [results_root, *map(Path, data), site / "templates", site / "static", *resources, package]
    return [folder for folder in folders if folder.is_dir()]


def inputs_hash(results_root: Path, data: Sequence[str]) -> str:
    """Return one hash over path, size and time of change of every file that the site is made from."""
    from mdrbench.site.model import history

    digest = hashlib.sha256(f"{__version__} {list(data)} {history.latest(results_root)}\n".encode())
    for folder in input_folders(results_root, data):
        for path, stat in sorted(_stats(folder)):
            digest.update(f"{path} {stat}\n".encode())
    return digest.hexdigest()


def _stats(folder: str | Path) -> Iterator[tuple[str, str]]:
    """Yield files below a folder with size and time of change; hidden files and built sites are left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__pycache__")):
                continue
            if entry.is_file():
                stat = entry.stat()
                yield entry.path, f"{stat.st_size} {stat.st_mtime_ns}"
            elif entry.is_dir() and not os.path.exists(os.path.join(entry.path, MARKER)):
                yield from _stats(entry.path)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
