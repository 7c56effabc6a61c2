"""A page for every ablation: the effect of each part of a recipe, measured and as published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mdrbench.results import published
from mdrbench.results.ablations import Ablation, Effect, Variant
from mdrbench.site.model import number_format
from mdrbench.site.model.ablations import ALPHA, RecipeAblation, VariantEffect
from mdrbench.site.model.number_format import signed
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages import ablation_charts
from mdrbench.site.pages.charts import Figure
from mdrbench.site.pages.page import Page

SHADES = 6
"""Shades of a heat map on each side of zero."""


class HeatCell(NamedTuple):
    """A difference, its shade from -:data:`SHADES` to :data:`SHADES`, and whether its test is significant."""

    difference: float
    shade: int
    significant: bool
    p: float | None


class HeatMap(NamedTuple):
    """Differences by variant and language, the average first.

    ``largest`` is the largest absolute difference; it has the darkest shade.
    """

    languages: list[str]
    rows: list[tuple[Variant, list[HeatCell | None]]]
    largest: float


class VariantGroup(NamedTuple):
    """Variants of one kind under a heading: the chart of their effects, and the languages of significant effects."""

    anchor: str
    heading: str
    short: str
    note: str
    figure: Figure
    rows: list[VariantEffect]


def pages(model: SiteModel) -> Iterator[Page]:
    """Yield the page of each ablation, and a list of them for a collection that has several."""
    for recipe in model.ablations:
        yield Page(recipe.address, "ablation.html", f"Ablation of {recipe.name}", _context(recipe), "ablations")
    for collection in model.collections:
        several = model.ablations_of(collection)
        if len(several) > 1:
            context = {"collection": collection, "listed": [(recipe, _summary(recipe)) for recipe in several]}
            yield Page(f"{collection.folder}ablations/index.html", "ablations.html", "Ablations", context, "ablations")


def _summary(recipe: RecipeAblation) -> str:
    """Describe an ablation in one line."""
    ablation = recipe.ablation
    if ablation is None:
        return f"as published: {recipe.published[0].table}"
    measure = ablation.measures[0]
    effects = recipe.effects(measure)
    text = f"{len(ablation.variants)} variants, {len(ablation.languages)} languages"
    if effects:
        label, difference = effects[0].name.label, signed(effects[0].effect.difference)
        text += f"; the largest loss in {measure}: {label}, {difference}"
    return text


def _context(recipe: RecipeAblation) -> dict[str, Any]:
    return {
        "collection": recipe.collection,
        "recipe": recipe,
        "ablation": recipe.ablation,
        "units": number_format,
        "alpha": ALPHA,
        "published": [(other, published.SOURCES.get(other.source), recipe.beside(other)) for other in recipe.published],
        "collections_differ": any(
            (recipe.collection.name, recipe.collection.split) != (other.dataset, other.split)
            for other in recipe.published
        ),
        **(_measured(recipe, recipe.ablation) if recipe.ablation else {}),
    }


def _measured(recipe: RecipeAblation, ablation: Ablation) -> dict[str, Any]:
    measure = ablation.measures[0]
    steps, sweeps = recipe.steps(measure), recipe.sweeps(measure)
    return {
        "measure": measure,
        "groups": list(_groups(recipe, measure)),
        "waterfall": ablation_charts.waterfall(steps, measure) if steps else None,
        "sweeps": [ablation_charts.sweep(key, points, measure) for key, points in sweeps.items()],
        "seeds": ablation_charts.seeds(recipe.seeds(measure), measure),
        "heat_maps": [(name, heat) for name in ablation.measures if (heat := heat_map(recipe, name))],
        "complete_entry": recipe.entry(ablation.complete),
        "variant_entries": [(variant, recipe.entry(variant)) for variant in ablation.variants],
    }


def _groups(recipe: RecipeAblation, measure: str) -> Iterator[VariantGroup]:
    parts, rivals = recipe.effects(measure), recipe.effects(measure, ("rival",))
    if parts:
        note = "Below zero: the recipe is worse without the part."
        title, when = f"Effect of each part on {measure}", "when a part is removed"
        figure = ablation_charts.effects(parts, measure, title=title, when=when)
        yield VariantGroup("effects", "Effect of each part", "Effects", note, figure, parts)
    if rivals:
        note = f"Below zero: worse than {recipe.name}. The retriever, data, measures and seeds are the same."
        title, when = f"Other recipes beside {recipe.name}, {measure}", "with another recipe in its place"
        figure = ablation_charts.effects(rivals, measure, title=title, when=when)
        yield VariantGroup("rivals", "Other recipes in its place", "Other recipes", note, figure, rivals)


def heat_map(recipe: RecipeAblation, measure: str) -> HeatMap | None:
    """Return the differences of all variants by language, the largest loss first; None without this measure."""
    ablation = recipe.ablation
    variants = [variant for variant in (ablation.variants if ablation else []) if measure in variant.average]
    if ablation is None or not variants:
        return None
    variants.sort(key=lambda variant: (variant.average[measure].difference, variant.label))
    effects: list[list[Effect | None]] = [
        [variant.average[measure], *(variant.languages.get(lang, {}).get(measure) for lang in ablation.languages)]
        for variant in variants
    ]
    largest = max(abs(effect.difference) for row in effects for effect in row if effect)
    rows = [
        (variant, [_cell(effect, largest) for effect in row]) for variant, row in zip(variants, effects, strict=True)
    ]
    return HeatMap(ablation.languages, rows, largest)


def _cell(effect: Effect | None, largest: float) -> HeatCell | None:
    if effect is None:
        return None
    shade = round(SHADES * effect.difference / largest) if largest else 0
    return HeatCell(effect.difference, shade, effect.starred, effect.p_corrected)
