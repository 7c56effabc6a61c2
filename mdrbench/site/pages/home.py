"""The start page: each collection with its best systems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mdrbench.core.languages import ALL
from mdrbench.site.model.collection import Collection
from mdrbench.site.model.leaderboard import AVERAGE, ComparableGroup, LeaderboardRow
from mdrbench.site.model.ranking import Leaderboard
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages.page import Page

BEST = 5
"""Systems of a group that are shown."""


def pages(model: SiteModel) -> Iterator[Page]:
    """Yield the start page."""
    shelves = [_shelf(collection, model.leaderboards[collection]) for collection in model.collections]
    counts = {
        "measured": sum(len(c.measured) for c in model.collections),
        "published": sum(len(c.published) for c in model.collections),
        "languages": len({lang for c in model.collections for lang in c.languages}),
    }
    yield Page("index.html", "index.html", "", {"shelves": shelves, "counts": counts}, "leaderboards")


def _shelf(collection: Collection, leaderboards: dict[str, Leaderboard]) -> dict[str, Any]:
    """Return the part of the page that shows one collection."""
    measure = collection.measures[0]
    board = leaderboards[measure]
    groups = [
        {"title": group.title, "label": group.label, "rows": [_row(collection, row) for row in _best(group)]}
        for group in board.groups
    ]
    return {
        "collection": collection,
        "measure": measure,
        "groups": [group for group in groups if group["rows"]],
        "languages": [code for code in ALL if code in board.languages],
        "more": sum(len(group.rows) for group in board.groups) - sum(len(group["rows"]) for group in groups),
    }


def _best(group: ComparableGroup) -> list[LeaderboardRow]:
    """Return the first rows that the group's average ranks, each system once."""
    rows: dict[str, LeaderboardRow] = {}
    for row in group.rows:
        if row.complete:
            rows.setdefault(row.name, row)
    return list(rows.values())[:BEST]


def _row(collection: Collection, row: LeaderboardRow) -> dict[str, Any]:
    first = sum(score.rank == 1 for lang, score in row.scores.items() if lang != AVERAGE)
    address = collection.system_page(row.entry)
    return {"row": row, "score": row.scores[AVERAGE], "address": address, "first_in": first}
