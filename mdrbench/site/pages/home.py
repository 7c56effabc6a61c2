"""The start page: which retriever is best in a language, and is the difference real?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mdrbench.core.languages import ALL
from mdrbench.site.model.answers import answer
from mdrbench.site.model.collection import Collection
from mdrbench.site.model.leaderboard import AVERAGE
from mdrbench.site.model.properties import LICENCES, SIZES, TRAINING
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages.changes import lines
from mdrbench.site.pages.page import Page

FIRST = "sw"
"""The language whose answer is shown before a reader chooses."""


def pages(model: SiteModel) -> Iterator[Page]:
    """Yield the start page."""
    main = model.collections[0]
    board = model.leaderboards[main][main.measures[0]]
    answers = {lang: found for lang in board.languages if (found := answer(board, lang))}
    first = FIRST if FIRST in answers else next(iter(answers), "")
    context = {
        "main": main,
        "measure": board.measure,
        "answers": answers,
        "overall": answer(board, AVERAGE),
        "first": first,
        "verdicts": {found.verdict for found in answers.values()},
        "collections": [_described(model, collection) for collection in model.collections],
        "sizes": SIZES,
        "licences": {key: LICENCES[key] for key in ("free", "restricted", "closed")},
        "training": TRAINING,
        "moved": [(version, lines(version)) for version in model.versions[:3]],
        "counts": {
            "measured": sum(len(c.systems) for c in model.collections),
            "published": len(model.published),
            "figures": sum(len(e.result.languages) for c in model.collections for e in c.published),
            "languages": len({lang for c in model.collections for lang in c.languages}),
        },
    }
    yield Page("index.html", "index.html", "", context, "leaderboards")


def _described(model: SiteModel, collection: Collection) -> dict[str, Any]:
    """Describe a collection in the list of collections."""
    board = model.leaderboards[collection][collection.measures[0]]
    best = answer(board, AVERAGE)
    passages = {
        lang: language.dataset.passages
        for entry in reversed(collection.measured)
        for lang, language in entry.result.languages.items()
        if language.dataset
    }
    return {
        "collection": collection,
        "measured": len(collection.systems),
        "published": sum(len(group.rows) for group in board.groups if group.kind == "published"),
        "best": best.best[0] if best else None,
        "languages": len([code for code in ALL if code in board.languages]),
        "passages": sum(passages.values()),
    }
