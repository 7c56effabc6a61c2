"""The start page: what this is, and each collection with its best systems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mdrbench.core.languages import ALL
from mdrbench.site.engine.page import Asset, Page
from mdrbench.site.model import scores, standings
from mdrbench.site.model.board import Board, Collection
from mdrbench.site.model.scores import ScoreReader
from mdrbench.site.model.standings import AVERAGE, Group, Row
from mdrbench.site.pages import leaderboard_pages
from mdrbench.site.pages.charts import Drawing

BEST = 5
"""Systems of a group that are shown."""


def pages(board: Board, drawing: Drawing) -> Iterator[Page | Asset]:
    """The start page."""
    reader, memo = scores.reader(drawing.cache.with_name("scores")), drawing.cache.with_name("memo")
    shown = [_collection(board, collection, reader, memo) for collection in board.collections]
    counts = {
        "measured": sum(len(c.measured) for c in board.collections),
        "published": sum(len(c.published) for c in board.collections),
        "languages": len({lang for c in board.collections for lang in c.languages}),
    }
    yield Page("index.html", "index.html", "", {"shown": shown, "counts": counts}, "leaderboards")


def _collection(board: Board, collection: Collection, reader: ScoreReader, memo: Any) -> dict[str, Any]:
    measure = next(iter(leaderboard_pages.measure_addresses(collection)))
    found = standings.of(collection, measure, reader, memo)
    groups = [
        {"title": group.title, "label": group.label, "rows": [_row(board, found, row) for row in _best(group)]}
        for group in found.groups
    ]
    return {
        "collection": collection,
        "measure": measure,
        "measures": list(collection.measures),
        "groups": [group for group in groups if group["rows"]],
        "languages": [code for code in ALL if code in found.languages],
        "more": sum(len(group.rows) for group in found.groups) - sum(len(group["rows"]) for group in groups),
    }


def _best(group: Group) -> list[Row]:
    """The first rows that are ranked by the group's average, each system once."""
    found: dict[str, Row] = {}
    for row in group.rows:
        if row.complete:
            found.setdefault(row.name, row)
    return list(found.values())[:BEST]


def _row(board: Board, found: standings.Standings, row: Row) -> dict[str, Any]:
    mark = row.marks[AVERAGE]
    first = sum(m.rank == 1 for lang, m in row.marks.items() if lang != AVERAGE)
    address = board.page_of(found.collection, row.entry)
    return {"row": row, "mark": mark, "address": address, "first_in": first}
