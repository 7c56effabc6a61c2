"""Two systems side by side: a page for each chosen pair, and a page that compares any two in the browser."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mdrbench.evaluation import inference
from mdrbench.site.model.collection import language_name
from mdrbench.site.model.comparisons import ALPHA, SystemComparison
from mdrbench.site.model.moved_topics import MOST_MOVED, MovedTopic
from mdrbench.site.model.number_format import number, signed
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages import browser_data, compare_charts
from mdrbench.site.pages.markup import text
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
    by_language: dict[str, list[MovedTopic]] = {lang: [] for lang in pair.scores}
    for topic in moved:
        by_language[topic.moved.lang].append(topic)
    return {
        "collection": pair.collection,
        "pair": pair,
        "alpha": ALPHA,
        "for_a": pair.significant(1),
        "for_b": pair.significant(-1),
        "dumbbell": compare_charts.dumbbell(pair),
        "scatter": compare_charts.scatter(pair),
        "panels": compare_charts.panels(pair),
        "tests": _tests(pair),
        "most_moved": moved[:MOST_MOVED],
        "topics": {lang: topics for lang, topics in by_language.items() if topics},
        "judgments_present": any(topic.judged is not None for topic in moved),
        "rankings_present": any(topic.a is not None or topic.b is not None for topic in moved),
        "command": _command(root, pair),
    }


def _tests(pair: SystemComparison) -> Markup:
    """Write the rows of the table of tests: scores, wins, ties and losses as shares of a bar, and p values."""
    root = "../" * pair.address.count("/")
    lines = []
    for row in pair.languages:
        test = row.test
        page = root + pair.collection.language_page(row.lang)
        mark = ""
        if row.mark:
            words = "significant" if row.mark == inference.STAR else "significant in topics alone"
            mark = f'<abbr title="{words}">{row.mark}</abbr>'
        counts = test.wins, test.ties, test.losses
        bar = "".join(
            f'<i class="{kind}" style="width:{100 * count / (test.topics or 1):.2f}%"></i>'
            for kind, count in zip("wtl", counts, strict=True)
        )
        best = "best" if row.mark else ""
        cells = [f"<td>{test.topics}</td>"]
        cells += [f"<td>{number(mean, 4)}</td>" for mean in (test.mean_a, test.mean_b)]
        cells += [f'<td class="{best}">{signed(test.difference, 4)}{mark}</td>']
        cells += [f'<td class="axis"><span class="wtl" aria-hidden="true">{bar}</span>\n</td>']
        cells += ["".join(f"<td>{count}</td>" for count in counts)]
        cells += [f'<td>{_p(test.p)}</td><td class="{best}">{_p(row.p_corrected)}</td>']
        real = ' class="real"' if row.mark else ""
        head = f'<th scope="row" class="left"><a href="{page}">{text(language_name(row.lang))}</a></th>'
        lines.append("\n".join([f'<tr id="row-{text(row.lang)}"{real}>', head, *cells, "</tr>\n"]))
    return Markup("".join(lines))


def _p(value: float) -> str:
    """Print a p value in as many digits as matter."""
    return "&lt;&nbsp;0.0001" if value < 0.00005 else f"{value:.4f}"


def _command(root: Path, pair: SystemComparison) -> str:
    """Return the command that prints the same numbers."""
    names = [entry.path.relative_to(root).with_suffix("").as_posix() for entry in (pair.a, pair.b)]
    return shlex.join(["mdrbench", "compare", *names])
