"""All pages, rendered and written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mdrbench import __version__, registry
from mdrbench.errors import UsageError
from mdrbench.site import board
from mdrbench.site.board import Board
from mdrbench.site.charts import Drawing
from mdrbench.site.page import Asset, Page

MARKER = ".mdrbench-site"
"""A file in every built site: a folder without it is never replaced."""

PageMaker = Callable[[Board, Drawing], Iterator[Page | Asset]]

MAKERS: tuple[PageMaker, ...] = ()
"""Every kind of page, in the order of the navigation."""


def build(results_root: Path, out: Path) -> Path:
    """Render all results under ``results_root`` and the published figures into ``out``; returns the start page.

    Published figures come from the package and from ``results_root/published``.
    """
    shown = board.load(results_root)
    if not shown.collections:
        raise UsageError(f"no results in {results_root}", mend="`mdrbench run bm25 --data sample` makes one")
    source = registry.resource("site")
    fresh = out.with_name(f".{out.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source / "static", fresh)
    environment = Environment(
        loader=FileSystemLoader(source / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawing = Drawing(out.with_name(f".{out.name}.charts"))
    for maker in MAKERS:
        for item in maker(shown, drawing):
            target = fresh / item.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(item, Asset):
                target.write_bytes(item.data)
            else:
                template = environment.get_template(item.template)
                text = template.render(board=shown, page=item, root=item.root, version=__version__, **item.context)
                target.write_text(text, encoding="utf-8")
    (fresh / MARKER).write_text(__version__ + "\n", encoding="utf-8")
    _swap(fresh, out)
    return out / "index.html"


def _swap(fresh: Path, out: Path) -> None:
    """Put ``fresh`` in the place of ``out``; a folder that is no built site is left alone."""
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        shutil.rmtree(fresh)
        raise UsageError(f"{out} is not empty and no site of mdrbench's", mend="give an empty folder with --out")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.rename(out, old)
    os.rename(fresh, out)
    shutil.rmtree(old, ignore_errors=True)
