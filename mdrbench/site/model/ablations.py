"""Stored and published ablations, in the shapes that their pages show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mdrbench.core import registry
from mdrbench.core.errors import DataError
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import published
from mdrbench.results.ablations import Ablation, Complete, Effect, Name, Variant
from mdrbench.results.published import PublishedAblation
from mdrbench.site.model.collection import Collection, Entry, slug

ALPHA = PROTOCOL.level
"""A corrected p value below it is called significant."""

COMPLETE = "complete"
"""The label of the complete recipe."""


class VariantEffect(NamedTuple):
    """One variant under one of its names, by one measure.

    Attributes:
        worse, better: the languages whose difference has a star.
        entry: the result of its first run.
    """

    name: Name
    variant: Variant
    effect: Effect
    worse: list[str]
    better: list[str]
    entry: Entry | None

    @property
    def significant(self) -> bool:
        """Whether the average difference gets a star."""
        return self.effect.starred


class CumulativeStep(NamedTuple):
    """One step from the plainest variant to the complete recipe; ``gain`` is the difference to the step before."""

    label: str
    score: float
    gain: float | None
    effect: Effect | None
    entry: Entry | None


class SweepPoint(NamedTuple):
    """One value of a key that is varied; the complete recipe's own value has no ``effect``."""

    value: str
    score: float
    effect: Effect | None
    entry: Entry | None


class SeedScore(NamedTuple):
    """One run of a recipe and its average; the average is None if the run's result is not present."""

    label: str
    seed: int
    score: float | None
    entry: Entry | None


class PublishedEffect(NamedTuple):
    """A variant of a published ablation, and the measured variant without the same parts."""

    label: str
    score: float
    difference: float
    measured: VariantEffect | None


@dataclass(frozen=True, eq=False)
class RecipeAblation:
    """The ablation of one recipe on one collection: measured, published, or both."""

    collection: Collection
    name: str
    address: str
    ablation: Ablation | None
    published: list[PublishedAblation]

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        """The collection's results by their path from the data set's folder, as runs name them."""
        entries = {}
        for entry in self.collection.measured:
            folder = "variants/" if entry.path.parent.name == "variants" else ""
            entries[folder + entry.path.name] = entry
        return entries

    @cached_property
    def entries(self) -> set[Entry]:
        """The results of all its runs that are present."""
        recipes: list[Variant | Complete] = []
        if self.ablation:
            recipes = [self.ablation.complete, *self.ablation.variants]
        runs = [run.result for recipe in recipes for run in recipe.runs]
        return {self._entries[path] for path in runs if path in self._entries}

    def entry(self, recipe: Variant | Complete) -> Entry | None:
        """Return the result of the first run of a variant or of the complete recipe."""
        return self._entries.get(recipe.runs[0].result)

    def effects(self, measure: str, kinds: tuple[str, ...] = ("part", "stage")) -> list[VariantEffect]:
        """Return the variants that have a name of these kinds; the largest loss comes first."""
        variants = self.ablation.variants if self.ablation else []
        effects = [row for variant in variants if (row := self._effect(variant, measure, kinds)) is not None]
        return sorted(effects, key=lambda row: (row.effect.difference, row.name.label))

    def _effect(self, variant: Variant, measure: str, kinds: tuple[str, ...]) -> VariantEffect | None:
        name = next((name for name in variant.names if name.kind in kinds), None)
        effect = variant.average.get(measure)
        if name is None or effect is None:
            return None
        tested = {lang: cells[measure] for lang, cells in variant.languages.items() if measure in cells}
        significant = [lang for lang, cell in tested.items() if cell.starred]
        worse = [lang for lang in significant if tested[lang].difference < 0]
        better = [lang for lang in significant if lang not in worse]
        return VariantEffect(name, variant, effect, worse, better, self.entry(variant))

    def steps(self, measure: str) -> list[CumulativeStep]:
        """Return the steps from all stages off to the complete recipe; none if the ablation has no such variants."""
        if self.ablation is None or measure not in self.ablation.complete.average:
            return []
        variants = [
            (name, variant)
            for variant in self.ablation.variants
            for name in variant.names
            if name.kind == "cumulative" and measure in variant.average
        ]
        if not variants:
            return []
        steps: list[CumulativeStep] = []
        for name, variant in sorted(variants, key=lambda pair: (-len(pair[0].parts), pair[0].label)):
            effect = variant.average[measure]
            gain = effect.score - steps[-1].score if steps else None
            steps.append(CumulativeStep(name.label, effect.score, gain, effect, self.entry(variant)))
        complete = self.ablation.complete
        label = next((name.label for name in complete.names if name.kind == "cumulative"), COMPLETE)
        score = complete.average[measure].value
        steps.append(CumulativeStep(label, score, score - steps[-1].score, None, self.entry(complete)))
        return steps

    def sweeps(self, measure: str) -> dict[str, list[SweepPoint]]:
        """Return for each varied key its values: by size if all are numbers, else in the order they were given."""
        sweeps: dict[str, list[SweepPoint]] = {}
        if self.ablation is None or measure not in self.ablation.complete.average:
            return sweeps
        for variant in self.ablation.variants:
            for name in variant.names:
                if name.kind == "sweep" and name.key is not None and (effect := variant.average.get(measure)):
                    point = SweepPoint(name.value or "", effect.score, effect, self.entry(variant))
                    sweeps.setdefault(name.key, []).append(point)
        complete = self.ablation.complete
        for name in complete.names:
            if name.kind == "sweep" and name.key in sweeps:
                score = complete.average[measure].value
                sweeps[name.key].append(SweepPoint(name.value or "", score, None, self.entry(complete)))
        return {key: _in_order(points) for key, points in sweeps.items()}

    def seeds(self, measure: str) -> list[SeedScore]:
        """Return every run of every recipe if each was run with several seeds, the complete recipe's first."""
        if self.ablation is None or self.ablation.seeds < 2:
            return []
        recipes = [(COMPLETE, self.ablation.complete.runs), *((v.label, v.runs) for v in self.ablation.variants)]
        scores = []
        for label, runs in recipes:
            for run in runs:
                entry = self._entries.get(run.result)
                average = entry.average(measure) if entry else None
                scores.append(SeedScore(label, run.seed, average[1].value if average else None, entry))
        return scores

    def beside(self, other: PublishedAblation) -> list[PublishedEffect]:
        """Return the variants of a published ablation, each with the measured variant without the same parts."""
        effects = self.effects(other.measure)
        measured = {tuple(row.name.parts): row for row in effects}
        for row in effects:
            measured |= {tuple(name.parts): row for name in row.variant.names if name.kind == "stage"}
        return [
            PublishedEffect(
                variant.label, variant.score, variant.score - other.complete, measured.get(tuple(variant.parts))
            )
            for variant in other.variants
        ]


def as_number(text: str) -> float | None:
    """Return a typed value as a number, or None if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return None


def _in_order(points: list[SweepPoint]) -> list[SweepPoint]:
    numbers = [as_number(point.value) for point in points]
    if any(number is None for number in numbers):
        return points
    return sorted(points, key=lambda point: float(point.value))


def recipe_ablations(
    root: Path, collections: Sequence[Collection], stored: Mapping[Path, Ablation]
) -> list[RecipeAblation]:
    """Return all ablations of all collections, in the order of the collections.

    Raises:
        DataError: a file is not a valid published ablation, or a stored ablation has no result of its collection.
    """
    published_ablations = _published(root)
    ablations = list(_measured(collections, stored, published_ablations))
    for other in published_ablations:
        collection = _find(collections, other.dataset, other.split)
        if collection and not any(a.collection is collection and other in a.published for a in ablations):
            place = other.dataset, other.split, other.recipe
            same = [p for p in published_ablations if (p.dataset, p.split, p.recipe) == place]
            ablations.append(_recipe_ablation(collection, other.recipe, other.recipe, None, same))
    order = {id(collection): number for number, collection in enumerate(collections)}
    return sorted(ablations, key=lambda a: (order[id(a.collection)], a.ablation is None, a.address))


def _measured(
    collections: Sequence[Collection], stored: Mapping[Path, Ablation], published_ablations: list[PublishedAblation]
) -> Iterator[RecipeAblation]:
    for path, ablation in stored.items():
        collection = _find(collections, ablation.dataset, ablation.split)
        if collection is None:
            raise DataError(
                f"there is no result of {ablation.dataset} ({ablation.split}), but this is an ablation of it",
                where=str(path),
                mend="keep the results that it names, or remove it",
            )
        stem = path.stem.removesuffix(f".{ablation.split}")
        same_parts = _with_same_parts(ablation, published_ablations)
        yield _recipe_ablation(collection, ablation.recipe, stem, ablation, same_parts)


def _find(collections: Sequence[Collection], dataset: str, split: str) -> Collection | None:
    return next((c for c in collections if (c.name, c.split) == (dataset, split)), None)


def _recipe_ablation(
    collection: Collection, recipe: str, stem: str, ablation: Ablation | None, others: list[PublishedAblation]
) -> RecipeAblation:
    name = " ".join([recipe, *(ablation.overrides if ablation else [])])
    return RecipeAblation(collection, name, f"{collection.folder}ablations/{slug(stem)}.html", ablation, others)


def _with_same_parts(ablation: Ablation, published_ablations: list[PublishedAblation]) -> list[PublishedAblation]:
    """Return the published ablations that remove a part that this ablation removes too."""
    parts = {tuple(name.parts) for variant in ablation.variants for name in variant.names if name.parts}
    return [
        other
        for other in published_ablations
        if other.measure in ablation.measures and any(tuple(variant.parts) in parts for variant in other.variants)
    ]


def _published(root: Path) -> list[PublishedAblation]:
    roots = (registry.resource("results"), root)
    files = {path.relative_to(folder): path for folder in roots for path in published.ablation_files(folder)}
    return [published.read_ablation(files[name]) for name in sorted(files)]
