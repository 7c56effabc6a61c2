"""Stored and published ablations, in the shapes that their pages show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mdrbench.core import registry
from mdrbench.core.errors import DataError
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import ablations as ablation_results
from mdrbench.results import published
from mdrbench.results.ablations import Ablation, Complete, Effect, Name, Variant
from mdrbench.results.published import PublishedAblation
from mdrbench.site.engine.page import slug
from mdrbench.site.model.board import Board, Collection, Entry

ALPHA = PROTOCOL.level
"""Corrected p values below it are called significant."""
COMPLETE = "complete"


class Row(NamedTuple):
    """One variant under one of its names, by one measure.

    ``worse`` and ``better`` are the languages whose corrected p value is below :data:`ALPHA`; ``entry`` is the result
    of its first run.
    """

    name: Name
    variant: Variant
    effect: Effect
    worse: list[str]
    better: list[str]
    entry: Entry | None

    @property
    def significant(self) -> bool:
        """Whether the average's interval excludes no difference."""
        return excludes_zero(self.effect)


class Step(NamedTuple):
    """One step from the plainest variant to the complete recipe. ``gain`` is what it adds to the step before."""

    label: str
    score: float
    gain: float | None
    effect: Effect | None
    entry: Entry | None


class Point(NamedTuple):
    """One value of a key that is varied; the complete recipe's own has no ``effect``."""

    value: str
    score: float
    effect: Effect | None
    entry: Entry | None


class Seed(NamedTuple):
    """One run of a recipe and its average, None where its result is not at hand."""

    label: str
    seed: int
    score: float | None
    entry: Entry | None


class Beside(NamedTuple):
    """A variant of a published ablation, and what was measured here without the same parts."""

    label: str
    score: float
    difference: float
    row: Row | None


@dataclass(frozen=True, eq=False)
class Shown:
    """The page of one recipe's ablation: what was measured on its collection, what was published, or both."""

    collection: Collection
    name: str
    address: str
    ablation: Ablation | None
    published: list[PublishedAblation]

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        """The collection's results by their path from the data set's folder, as runs name them."""
        found = {}
        for entry in self.collection.measured:
            within = "variants/" if entry.path.parent.name == "variants" else ""
            found[within + entry.path.name] = entry
        return found

    @cached_property
    def _used(self) -> set[int]:
        every = (self.ablation.complete, *self.ablation.variants) if self.ablation else ()
        return {id(self._entries.get(run.result)) for one in every for run in one.runs}

    def entry(self, one: Variant | Complete) -> Entry | None:
        """The result of its first run."""
        return self._entries.get(one.runs[0].result)

    def uses(self, entry: Entry) -> bool:
        """Whether an entry is one of its runs."""
        return id(entry) in self._used

    def rows(self, measure: str, kinds: tuple[str, ...] = ("part", "stage")) -> list[Row]:
        """Variants that have a name of these kinds, those that lose most first."""
        found = [
            row
            for variant in (self.ablation.variants if self.ablation else [])
            if (row := self._row(variant, measure, kinds)) is not None
        ]
        return sorted(found, key=lambda row: (row.effect.difference, row.name.label))

    def _row(self, variant: Variant, measure: str, kinds: tuple[str, ...]) -> Row | None:
        name = next((name for name in variant.names if name.kind in kinds), None)
        effect = variant.average.get(measure)
        if name is None or effect is None:
            return None
        tested = {lang: cells[measure] for lang, cells in variant.languages.items() if measure in cells}
        sure = [lang for lang, cell in tested.items() if cell.p_holm is not None and cell.p_holm < ALPHA]
        worse = [lang for lang in sure if tested[lang].difference < 0]
        return Row(name, variant, effect, worse, [lang for lang in sure if lang not in worse], self.entry(variant))

    def steps(self, measure: str) -> list[Step]:
        """From all stages off to the complete recipe; none where the ablation did not build it up."""
        if self.ablation is None or measure not in self.ablation.complete.average:
            return []
        complete = self.ablation.complete
        found = [
            (name, variant.average[measure].score, variant.average[measure], self.entry(variant))
            for variant in self.ablation.variants
            for name in variant.names
            if name.kind == "cumulative" and measure in variant.average
        ]
        last = next((name for name in complete.names if name.kind == "cumulative"), None)
        found.sort(key=lambda one: (-len(one[0].parts), one[0].label))
        if not found:
            return []
        ends = [
            (
                last or Name(label=COMPLETE, kind="cumulative"),
                complete.average[measure].value,
                None,
                self.entry(complete),
            )
        ]
        steps: list[Step] = []
        for name, score, effect, entry in [*found, *ends]:
            gain = score - steps[-1].score if steps else None
            steps.append(Step(name.label, score, gain, effect, entry))
        return steps

    def sweeps(self, measure: str) -> dict[str, list[Point]]:
        """Key -> its values in order: by size where all are numbers, else as they were given."""
        found: dict[str, list[Point]] = {}
        if self.ablation is None or measure not in self.ablation.complete.average:
            return found
        for variant in self.ablation.variants:
            for name in variant.names:
                if name.kind == "sweep" and name.key is not None and (effect := variant.average.get(measure)):
                    point = Point(name.value or "", effect.score, effect, self.entry(variant))
                    found.setdefault(name.key, []).append(point)
        complete = self.ablation.complete
        for name in complete.names:
            if name.kind == "sweep" and name.key in found:
                score = complete.average[measure].value
                found[name.key].append(Point(name.value or "", score, None, self.entry(complete)))
        return {key: _in_order(points) for key, points in found.items()}

    def seeds(self, measure: str) -> list[Seed]:
        """Every run of every recipe where each was run with several seeds, the complete recipe's first."""
        if self.ablation is None or self.ablation.seeds < 2:
            return []
        every = [(COMPLETE, self.ablation.complete.runs), *((one.label, one.runs) for one in self.ablation.variants)]
        found = []
        for label, runs in every:
            for run in runs:
                entry = self._entries.get(run.result)
                average = entry.average(measure) if entry else None
                found.append(Seed(label, run.seed, average[1].value if average else None, entry))
        return found

    def beside(self, other: PublishedAblation) -> list[Beside]:
        """The variants of a published ablation, each with what was measured here without the same parts."""
        measured = {tuple(row.name.parts): row for row in self.rows(other.measure)}
        for row in self.rows(other.measure):
            measured |= {tuple(name.parts): row for name in row.variant.names if name.kind == "stage"}
        return [
            Beside(one.label, one.score, one.score - other.complete, measured.get(tuple(one.parts)))
            for one in other.variants
        ]


def excludes_zero(effect: Effect) -> bool:
    """Whether an interval lies on one side of no difference."""
    return effect.low > 0 or effect.high < 0


def as_number(text: str) -> float | None:
    """A value that was typed, where it is a number."""
    try:
        return float(text)
    except ValueError:
        return None


def _in_order(points: list[Point]) -> list[Point]:
    numbers = [as_number(point.value) for point in points]
    if any(number is None for number in numbers):
        return points
    return sorted(points, key=lambda point: float(point.value))


def load(board: Board) -> list[Shown]:
    """All ablations of all collections, in the order of the collections.

    Raises:
        DataError: a file is no valid ablation, or there is no result of its collection.
    """
    printed = _published(board)
    found: list[Shown] = []
    for path in ablation_results.files(board.root):
        one = ablation_results.read(path)
        collection = next((c for c in board.collections if (c.name, c.split) == (one.dataset, one.split)), None)
        if collection is None:
            raise DataError(
                f"there is no result of {one.dataset} ({one.split}), which it is about",
                where=str(path),
                mend="keep the results that it names, or remove it",
            )
        stem = path.stem.removesuffix(f".{one.split}")
        found.append(_shown(collection, one.recipe, stem, one, _alike(one, printed)))
    for other in printed:
        collection = next((c for c in board.collections if (c.name, c.split) == (other.dataset, other.split)), None)
        if collection and not any(shown.collection is collection and other in shown.published for shown in found):
            same = [p for p in printed if (p.dataset, p.split, p.recipe) == (other.dataset, other.split, other.recipe)]
            found.append(_shown(collection, other.recipe, other.recipe, None, same))
    place = {id(collection): at for at, collection in enumerate(board.collections)}
    return sorted(found, key=lambda shown: (place[id(shown.collection)], shown.ablation is None, shown.address))


def _shown(
    collection: Collection, name: str, stem: str, one: Ablation | None, others: list[PublishedAblation]
) -> Shown:
    label = " ".join([name, *(one.overrides if one else [])])
    return Shown(collection, label, f"{collection.folder}ablations/{slug(stem)}.html", one, others)


def _alike(one: Ablation, printed: list[PublishedAblation]) -> list[PublishedAblation]:
    """Published ablations that take away a part that this one takes away too."""
    parts = {tuple(name.parts) for variant in one.variants for name in variant.names if name.parts}
    return [
        other
        for other in printed
        if other.measure in one.measures and any(tuple(variant.parts) in parts for variant in other.variants)
    ]


def _published(board: Board) -> list[PublishedAblation]:
    roots = (registry.resource("results"), board.root)
    files = {path.relative_to(root): path for root in roots for path in published.ablation_files(root)}
    return [published.read_ablation(files[name]) for name in sorted(files)]
