"""Leaderboards: for each collection a page a measure, and the same tables as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from mdrbench.core.languages import SURPRISE
from mdrbench.results import published
from mdrbench.site.engine.page import Asset, Page, slug
from mdrbench.site.model import scores, standings, traits
from mdrbench.site.model.board import PUBLISHED_DATASET, Board, Collection
from mdrbench.site.model.standings import Row, Standings
from mdrbench.site.pages import downloads
from mdrbench.site.pages.charts import Drawing

FIRST = "nDCG@10"
"""The measure of a collection's first page, where it has it."""


class Cell(NamedTuple):
    """A score as it is printed: its CSS classes, in full for scripts, and what is said of it."""

    classes: str
    full: str
    shown: str
    disputed: bool
    rank: str
    letters: str
    interval: str


NO_SCORE = Cell("", "", "", False, "", "", "")


def pages(board: Board, drawing: Drawing) -> Iterator[Page | Asset]:
    """A page and four files for each collection and measure."""
    reader = scores.reader(drawing.cache.with_name("scores"))
    for collection in board.made:
        addresses = measure_addresses(collection)
        for measure, address in addresses.items():
            found = standings.of(collection, measure, reader, drawing.cache.with_name("memo"))
            files = {}
            stem = collection.folder + slug(measure.lower().replace("@", "-"))
            for kind, write in downloads.KINDS.items():
                path = files[kind] = f"{stem}.{kind}"
                yield Asset(path, partial(_encoded, write, found))
            context = partial(_context, board, found, addresses, files)
            yield Page(address, "leaderboard.html", f"{measure} on {collection.title}", context, "leaderboards")


def _encoded(write: Callable[[Standings], str], found: Standings) -> bytes:
    return write(found).encode("utf-8")


def _context(board: Board, found: Standings, addresses: dict[str, str], files: dict[str, str]) -> dict[str, Any]:
    return {
        "collection": found.collection,
        "standings": found,
        "measures": addresses,
        "files": files,
        "cells": partial(_cells, found.languages),
        "filters": _filters(found),
        "published_at": _published(board, found.collection),
        "counts": _counts(found.collection),
        "average": standings.AVERAGE,
        "averages": list(dict.fromkeys(group.label for group in found.groups)),
        "averaged": max((group.languages for group in found.groups), key=len, default=()),
        "surprise": [code for code in found.languages if code in SURPRISE],
        "script": traits.script,
        "resources": traits.resources,
        "rule": traits.RESOURCE_RULE,
    }


def _cells(languages: list[str], row: Row) -> Iterator[Cell]:
    """A row's cells, made while they are printed: a large table has thousands."""
    for code in languages:
        mark = row.marks.get(code)
        if mark is None:
            yield NO_SCORE
            continue
        classes = f"h{mark.heat} top" if mark.top else f"h{mark.heat}"
        yield Cell(classes, mark.full, mark.shown, mark.disputed, str(mark.rank), mark.letters, mark.interval)


def measure_addresses(collection: Collection) -> dict[str, str]:
    """Measure -> address of its page; nDCG@10 first."""
    ordered = sorted(collection.measures, key=lambda m: (m != FIRST, collection.measures.index(m)))
    found: dict[str, str] = {}
    for measure in ordered:
        name = slug(measure.lower().replace("@", "-"))
        address = f"{collection.folder}{'index' if not found else name}.html"
        if address in found.values():  # two measures of hostile names that one slug stands for
            continue
        found[measure] = address
    return found


def _filters(found: Standings) -> list[dict[str, Any]]:
    """Choices that tell rows or columns apart; one with a single choice is left out."""
    rows = [row for group in found.groups for row in group.rows]
    sizes = ["no model", "up to 150M", "150M to 400M", "over 400M", "not stated"]
    kinds = {"measured": "measured", "submitted": "handed in"}
    families = sorted({row.traits.family for row in rows})
    present = {row.traits.size for row in rows}
    origins = list(dict.fromkeys(row.origin for row in rows))
    scripts = sorted({traits.script(code) for code in found.languages})
    levels = [level for level in (*traits.RESOURCES, "not known") if level in map(traits.resources, found.languages)]
    choices = [
        ("origin", "Origin", [(o, kinds.get(o) or _publication(o)) for o in origins]),
        ("family", "Family", [(f, f) for f in families]),
        ("size", "Model size", [(size, size) for size in sizes if size in present]),
        ("licence", "Licence", [(x, x) for x in sorted({row.traits.licence for row in rows})]),
        ("script", "Script", [(s, s) for s in scripts]),
        ("resources", "Resources", [(level, level) for level in levels]),
    ]
    return [{"key": key, "title": title, "choices": c} for key, title, c in choices if len(c) > 1]


def _publication(key: str) -> str:
    known = published.SOURCES.get(key)
    return known.short if known and known.short else key


def _published(board: Board, collection: Collection) -> Collection | None:
    """Where published figures of the split are, for a collection that has none."""
    if collection.published:
        return None
    same = (c for c in board.collections if (c.name, c.split) == (PUBLISHED_DATASET, collection.split))
    return next(same, None)


def _counts(collection: Collection) -> dict[str, int]:
    """Passages and judged topics over all languages, as the first system that has a language counted them."""
    seen: dict[str, tuple[int, int]] = {}
    for entry in collection.measured:
        for lang, found in entry.result.languages.items():
            if found.dataset:
                seen.setdefault(lang, (found.dataset.passages, found.dataset.judged_topics))
    return {"passages": sum(p for p, _ in seen.values()), "topics": sum(t for _, t in seen.values())}
