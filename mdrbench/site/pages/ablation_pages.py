"""A page for every ablation: what each part of a recipe is worth, measured here and as published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mdrbench.results import published
from mdrbench.results.ablations import Variant
from mdrbench.site.engine.page import Asset, Page
from mdrbench.site.model import ablation_data, units
from mdrbench.site.model.ablation_data import ALPHA, Row, Shown
from mdrbench.site.model.board import Board, Collection
from mdrbench.site.pages import ablation_charts
from mdrbench.site.pages.charts import Drawing, Figure

LEVELS = 6
"""Shades of a heat map on each side of zero."""


class HeatCell(NamedTuple):
    """A difference: its shade from -:data:`LEVELS` to :data:`LEVELS`, and whether its test is significant."""

    difference: float
    shade: int
    significant: bool
    p: float | None


class Heat(NamedTuple):
    """Differences by variant and language, the average first; ``most`` is the largest of them, of the darkest shade."""

    languages: list[str]
    rows: list[tuple[Variant, str, list[HeatCell | None]]]
    most: float


class Group(NamedTuple):
    """Variants of one kind under their heading: the drawing of their effects, and where each is significant."""

    anchor: str
    heading: str
    short: str
    note: str
    figure: Figure
    rows: list[Row]


def pages(board: Board, drawing: Drawing) -> Iterator[Page | Asset]:
    """The page of each ablation, and a list of them where a collection has several."""
    found = ablation_data.load(board)
    for shown in found:
        if shown.collection not in board.made:
            continue
        yield Page(shown.address, "ablation.html", f"Ablation of {shown.name}", _context(shown, drawing), "ablations")
    for collection in board.made:
        here = [shown for shown in found if shown.collection is collection]
        if len(here) > 1:
            context = {"collection": collection, "shown": [(one, _brief(one)) for one in here]}
            yield Page(f"{collection.folder}ablations/index.html", "ablations.html", "Ablations", context, "ablations")


def _brief(shown: Shown) -> str:
    """One line about an ablation."""
    if shown.ablation is None:
        return f"as published: {shown.published[0].table}"
    one = shown.ablation
    rows = shown.rows(one.measures[0])
    said = f"{len(one.variants)} variants, {len(one.languages)} languages"
    if rows:
        name, difference = rows[0].name.label, ablation_charts.signed(rows[0].effect.difference)
        said += f"; the largest loss in {one.measures[0]}: {name}, {difference}"
    return said


def _context(shown: Shown, drawing: Drawing) -> dict:
    one = shown.ablation
    measure = one.measures[0] if one else ""
    groups = list(_groups(shown, drawing, measure)) if one else []
    steps = shown.steps(measure) if one else []
    return {
        "collection": shown.collection,
        "shown": shown,
        "ablation": one,
        "measure": measure,
        "groups": groups,
        "waterfall": ablation_charts.waterfall(drawing, steps, measure) if len(steps) > 1 else None,
        "sweeps": [
            ablation_charts.sweep(drawing, key, points, measure) for key, points in shown.sweeps(measure).items()
        ],
        "seeds": ablation_charts.seeds(drawing, shown.seeds(measure), measure) if one else None,
        "heats": [(name, heat(shown, name)) for name in one.measures] if one else [],
        "printed": [(other, published.SOURCES.get(other.source), shown.beside(other)) for other in shown.published],
        "complete_entry": shown.entry(one.complete) if one else None,
        "alpha": ALPHA,
        "units": units,
        "collections_differ": any(_differs(shown.collection, other) for other in shown.published),
        "variant_entries": [(variant, shown.entry(variant)) for variant in one.variants] if one else [],
    }


def _groups(shown: Shown, drawing: Drawing, measure: str) -> Iterator[Group]:
    parts, rivals = shown.rows(measure), shown.rows(measure, ("rival",))
    if parts:
        note = "Below zero: the recipe is worse without the part."
        title, when = f"Effect of each part on {measure}", "when a part is taken away"
        figure = ablation_charts.effects(drawing, parts, measure, title=title, when=when)
        yield Group("effects", "Effect of each part", "Effects", note, figure, parts)
    if rivals:
        note = f"Below zero: worse than {shown.name}. The same retriever, data, measures and seeds."
        title, when = f"Other recipes beside {shown.name}, {measure}", "with another recipe in its place"
        figure = ablation_charts.effects(drawing, rivals, measure, title=title, when=when)
        yield Group("rivals", "Other recipes in its place", "Other recipes", note, figure, rivals)


def _differs(collection: Collection, other: published.PublishedAblation) -> bool:
    return (collection.name, collection.split) != (other.dataset, other.split)


def heat(shown: Shown, measure: str) -> Heat | None:
    """Differences of all variants by language, those that lose most first; None where none has the measure."""
    one = shown.ablation
    found = [variant for variant in (one.variants if one else []) if measure in variant.average]
    if one is None or not found:
        return None
    found.sort(key=lambda variant: (variant.average[measure].difference, variant.label))
    effects = {
        id(variant): [
            variant.average[measure],
            *(variant.languages.get(lang, {}).get(measure) for lang in one.languages),
        ]
        for variant in found
    }
    most = max(abs(effect.difference) for row in effects.values() for effect in row if effect)
    rows = []
    for variant in found:
        cells: list[HeatCell | None] = []
        for at, effect in enumerate(effects[id(variant)]):
            if effect is None:
                cells.append(None)
                continue
            shade = round(LEVELS * effect.difference / most) if most else 0
            tested = effect.p_holm is not None and effect.p_holm < ALPHA
            sure = ablation_data.excludes_zero(effect) if at == 0 else tested
            cells.append(HeatCell(effect.difference, shade, sure, effect.p_holm))
        rows.append((variant, variant.label, cells))
    return Heat(one.languages, rows, most)
