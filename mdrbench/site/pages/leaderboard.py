"""Leaderboards: a page for each collection and measure, and the same tables as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mdrbench.core.languages import SURPRISE
from mdrbench.results import published
from mdrbench.site.model import properties
from mdrbench.site.model.collection import PUBLISHED_DATASET, Collection, slug
from mdrbench.site.model.leaderboard import RankedScore
from mdrbench.site.model.ranking import HEAT, Leaderboard
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages import board_table, downloads
from mdrbench.site.pages.page import Asset, Page


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
                **_context(board, "../" * address.count("/")),
                "measures": addresses,
                "files": files,
                "published_at": _published_collection(model, collection),
            }
            yield Page(address, "leaderboard.html", f"{measure} on {collection.title}", context, "leaderboards")


def _context(board: Leaderboard, root: str) -> dict[str, Any]:
    columns = board_table.extras(board)
    ranked = [row for group in board.groups if group.kind != "predicted" for row in group.rows]
    published = [row for row in ranked if not row.entry.measured]
    return {
        "collection": board.collection,
        "board": board,
        "extras": columns,
        "groups": [
            (group, board_table.group_rows(board, group, columns, lambda path: root + path)) for group in board.groups
        ],
        "heads": [(code, properties.script(code), properties.resources(code)) for code in board.languages],
        "filters": _filters(board),
        "counts": _counts(board.collection),
        "averages": list(dict.fromkeys(group.label for group in board.groups)),
        "averaged": max((group.languages for group in board.groups), key=len, default=()),
        "surprise": [code for code in board.languages if code in SURPRISE],
        "rule": properties.RESOURCE_RULE,
        "published": len(published),
        "kinds": board_table.counted(published, lambda known: known.kind),
        "training": board_table.counted(published, lambda known: known.training),
        "training_words": board_table.TRAINING_WORDS,
        "training_marks": board_table.MARKS,
        "marked": _marks(score for row in ranked for score in row.scores.values()),
        "heat": [(9 - step, limit) for step, limit in enumerate(HEAT)],
        "variants": sum(len(group.variants) for group in board.groups),
        "predicted": any(group.kind == "predicted" for group in board.groups),
    }


def _marks(scores: Iterable[RankedScore]) -> set[str]:
    """Return the marks of the audit that any score has."""
    marks: set[str] = set()
    for score in scores:
        if score.wrong or score.disputed or score.foreign:
            marks |= {name for name in ("wrong", "disputed", "foreign") if getattr(score, name)}
    return marks


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
    known = [row.properties for row in rows]
    levels = {properties.resources(code) for code in board.languages}
    sizes = [choice for choice in properties.SIZES.items() if any(each.parameters is not None for each in known)]
    choices = [
        ("kind", "Kind", _same_labels([kind for kind in properties.KINDS if any(k.kind == kind for k in known)])),
        ("training", "Training data", _present(properties.TRAINING, {each.training for each in known})),
        ("size", "Model size", sizes),
        ("licence", "Licence", _present(properties.LICENCES, {each.licence_class for each in known})),
        ("origin", "Origin", [(origin, _origin_label(origin)) for origin in origins]),
        ("family", "Family", _same_labels(sorted({each.family for each in known}))),
        ("script", "Script", _same_labels(sorted({properties.script(code) for code in board.languages}))),
        ("resources", "Resources", _same_labels([x for x in (*properties.RESOURCES, "not known") if x in levels])),
    ]
    return [{"key": key, "title": title, "choices": values} for key, title, values in choices if len(values) > 1]


def _present(labels: dict[str, str], values: set[str]) -> list[tuple[str, str]]:
    return [(value, label) for value, label in labels.items() if value in values]


def _same_labels(values: list[str]) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


def _origin_label(origin: str) -> str:
    known = published.SOURCES.get(origin)
    return known.short if known and known.short else {"mteb": "MTEB"}.get(origin, origin)


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
