"""Two systems side by side: a page for each chosen pair, and a page that compares any two in the browser."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdrbench.site.model.comparisons import ALPHA, SystemComparison
from mdrbench.site.model.moved_topics import MOST_MOVED, MovedTopic
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages import browser_data, compare_charts
from mdrbench.site.pages.page import Asset, Page


def pages(model: SiteModel) -> Iterator[Page | Asset]:
    """Yield for each collection a page for each pair, the page for any two systems, and the data that it loads."""
    for collection in model.collections:
        if len(collection.measured) < 2:
            continue
        comparisons = model.comparisons[collection]
        for pair in comparisons:
            title = f"{pair.a.name} against {pair.b.name} on {collection.title}"
            context = _context(model.root, pair, model.moved[pair])
            yield Page(pair.address, "compare.html", title, context, "compare")
        yield from browser_data.assets(collection, comparisons, model.scores, model.leaderboards[collection])
        context = {"collection": collection, "comparisons": comparisons, "alpha": ALPHA}
        title = f"Compare systems on {collection.title}"
        yield Page(f"{collection.folder}compare/index.html", "compare_index.html", title, context, "compare")


def _context(root: Path, pair: SystemComparison, moved: list[MovedTopic]) -> dict[str, Any]:
    by_language = {lang: [topic for topic in moved if topic.moved.lang == lang] for lang in pair.scores}
    return {
        "collection": pair.collection,
        "pair": pair,
        "alpha": ALPHA,
        "for_a": pair.significant(1),
        "for_b": pair.significant(-1),
        "dumbbell": compare_charts.dumbbell(pair),
        "scatter": compare_charts.scatter(pair),
        "panels": compare_charts.panels(pair),
        "most_moved": moved[:MOST_MOVED],
        "topics": {lang: topics for lang, topics in by_language.items() if topics},
        "judgments_present": any(topic.judged is not None for topic in moved),
        "rankings_present": any(topic.a is not None or topic.b is not None for topic in moved),
        "command": _command(root, pair),
    }


def _command(root: Path, pair: SystemComparison) -> str:
    """Return the command that prints the same numbers."""
    names = [entry.path.relative_to(root).with_suffix("").as_posix() for entry in (pair.a, pair.b)]
    return shlex.join(["mdrbench", "compare", *names])
