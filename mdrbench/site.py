"""Tables -> a static site under ``site/public``, written whole or not at all. Imports neither torch nor pyserini."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mdrbench import __version__, leaderboard, registry
from mdrbench.errors import UsageError
from mdrbench.languages import LANGUAGES

MARKER = ".mdrbench-site"
"""A file in every built site: a folder without it is never replaced."""


def build(results_root: Path, out: Path) -> Path:
    """Render all results under ``results_root`` and the published figures into ``out``; returns the start page.

    Published figures come from the package and from ``results_root/published``.
    """
    measured, published = leaderboard.load(results_root, registry.resource("results"))
    tables = leaderboard.tables(measured, published)
    if not tables:
        raise UsageError(f"no results in {results_root}", mend="`mdrbench run bm25 --data sample` makes one")
    source = registry.resource("site")
    environment = Environment(
        loader=FileSystemLoader(source / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("index.html").render(
        tables=tables, languages=LANGUAGES, version=__version__, measured=len(measured), published=len(published)
    )
    fresh = out.with_name(f".{out.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source / "static", fresh)
    (fresh / "index.html").write_text(page, encoding="utf-8")
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
