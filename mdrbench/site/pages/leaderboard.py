"""Leaderboards: a page for each collection and measure, and the same tables as files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mdrbench.core.languages import SURPRISE
from mdrbench.results import published
from mdrbench.site.model import properties
from mdrbench.site.model.collection import PUBLISHED_DATASET, Collection, slug
from mdrbench.site.model.leaderboard import AVERAGE, LeaderboardRow, RankedScore
from mdrbench.site.model.number_format import number
from mdrbench.site.model.ranking import Leaderboard
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages import downloads
from mdrbench.site.pages.page import Asset, Page


class PrintedScore(NamedTuple):
    """A score as the table prints it: CSS classes, the value for scripts, and its marks."""

    classes: str
    full: str
    shown: str
    disputed: bool
    rank: str
    letters: str
    interval: str


NO_SCORE = PrintedScore("none", "", "–", False, "", "", "")


def pages(model: SiteModel) -> Iterator[Page | Asset]:
    """Yield a page and four downloads for each collection and measure."""
    for collection in model.collections:
        addresses = _measure_addresses(collection)
        for measure, address in addresses.items():
            board = model.leaderboards[collection][measure]
            stem = collection.folder + _measure_slug(measure)
            files = {kind: f"{stem}.{kind}" for kind in downloads.WRITERS}
            for kind, write in downloads.WRITERS.items():
                yield Asset(files[kind], write(board).encode("utf-8"))
            context = {
                **_context(board),
                "measures": addresses,
                "files": files,
                "published_at": _published_collection(model, collection),
            }
            yield Page(address, "leaderboard.html", f"{measure} on {collection.title}", context, "leaderboards")


def _context(board: Leaderboard) -> dict[str, Any]:
    return {
        "collection": board.collection,
        "board": board,
        "groups": [(group, [(row, _printed_scores(board, row)) for row in group.rows]) for group in board.groups],
        "heads": [(code, properties.script(code), properties.resources(code)) for code in board.languages],
        "filters": _filters(board),
        "counts": _counts(board.collection),
        "averages": list(dict.fromkeys(group.label for group in board.groups)),
        "averaged": max((group.languages for group in board.groups), key=len, default=()),
        "surprise": [code for code in board.languages if code in SURPRISE],
        "rule": properties.RESOURCE_RULE,
    }


def _printed_scores(board: Leaderboard, row: LeaderboardRow) -> tuple[PrintedScore, list[PrintedScore]]:
    """Return the average and the scores of all languages."""
    printed = [_printed(row.scores[code]) if code in row.scores else NO_SCORE for code in board.languages]
    average = row.scores.get(AVERAGE)
    if average is None:
        return NO_SCORE, printed
    if not row.complete:
        shown = number(average.cell.value)
        return PrintedScore("partial", "", shown, False, "", "", ""), printed
    return _printed(average), printed


def _printed(score: RankedScore) -> PrintedScore:
    value = score.cell.value
    classes = f"h{score.heat} top" if score.top else f"h{score.heat}"
    rank = str(score.rank)
    return PrintedScore(classes, number(value, 6), number(value), score.disputed, rank, score.letters, score.interval)


def _measure_slug(measure: str) -> str:
    return slug(measure.lower().replace("@", "-"))


def _measure_addresses(collection: Collection) -> dict[str, str]:
    """Return the address of each measure's page. Of two measures with the same slug, the second has no page."""
    addresses: dict[str, str] = {}
    for measure in collection.measures:
        address = f"{collection.folder}{_measure_slug(measure) if addresses else 'index'}.html"
        if address not in addresses.values():
            addresses[measure] = address
    return addresses


def _filters(board: Leaderboard) -> list[dict[str, Any]]:
    """Return the filters of rows and columns; a filter with a single choice is left out."""
    rows = [row for group in board.groups for row in group.rows]
    origins = list(dict.fromkeys(row.origin for row in rows))
    sizes = {row.properties.size for row in rows}
    levels = {properties.resources(code) for code in board.languages}
    choices = [
        ("origin", "Origin", [(origin, _origin_label(origin)) for origin in origins]),
        ("family", "Family", _same_labels(sorted({row.properties.family for row in rows}))),
        ("size", "Model size", _same_labels([size for size in properties.SIZES if size in sizes])),
        ("licence", "Licence", _same_labels(sorted({row.properties.licence for row in rows}))),
        ("script", "Script", _same_labels(sorted({properties.script(code) for code in board.languages}))),
        ("resources", "Resources", _same_labels([x for x in (*properties.RESOURCES, "not known") if x in levels])),
    ]
    return [{"key": key, "title": title, "choices": values} for key, title, values in choices if len(values) > 1]


def _same_labels(values: list[str]) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


def _origin_label(origin: str) -> str:
    known = published.SOURCES.get(origin)
    return known.short if known and known.short else origin


def _published_collection(model: SiteModel, collection: Collection) -> Collection | None:
    """Return the collection that has the published figures of the split, if this collection has none."""
    if collection.published:
        return None
    same = (c for c in model.collections if (c.name, c.split) == (PUBLISHED_DATASET, collection.split))
    return next(same, None)


def _counts(collection: Collection) -> dict[str, int]:
    """Count passages and judged topics of all languages, as the first system with a language recorded them."""
    counts: dict[str, tuple[int, int]] = {}
    for entry in collection.measured:
        for lang, language in entry.result.languages.items():
            if language.dataset:
                counts.setdefault(lang, (language.dataset.passages, language.dataset.judged_topics))
    return {"passages": sum(p for p, _ in counts.values()), "topics": sum(t for _, t in counts.values())}
