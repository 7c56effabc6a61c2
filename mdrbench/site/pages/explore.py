"""Two pages that scripts draw from a collection's ``board.js``: several systems side by side, and a plot of all."""

from __future__ import annotations

from collections.abc import Iterator

from mdrbench.site.model.properties import KINDS, LICENCES, TRAINING
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages.page import Page


def pages(model: SiteModel) -> Iterator[Page]:
    """Yield both pages for each collection with at least two systems in a group."""
    for collection, boards in model.leaderboards.items():
        board = next(iter(boards.values()))
        if all(len(group.rows) < 2 for group in board.groups):
            continue
        rows = [row for group in board.groups if group.kind != "predicted" for row in group.rows]
        context = {
            "collection": collection,
            "measure": board.measure,
            "languages_shown": board.languages,
            "kinds": [kind for kind in KINDS if any(row.properties.kind == kind for row in rows)],
            "licences": LICENCES,
            "training": TRAINING,
            "timed": any(row.entry.measured for row in rows),
            "rows": [row for row in rows if row.complete],
        }
        title = f"Compare several systems on {collection.title}"
        yield Page(f"{collection.folder}compare/several.html", "several.html", title, context, "compare")
        yield Page(f"{collection.folder}plot.html", "plot.html", f"Plot of {collection.title}", context, "plot")
