"""Results -> tables: what stands beside what, without a word of HTML.

A table holds one collection (a data set, searched whole, or a pool of it), split and measure. Measured systems come
first; published figures follow in a group of their own that says what they were measured on. An average is shown only
with its label, and systems are ordered by it only among those that cover the same languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdrbench import results
from mdrbench.languages import ALL
from mdrbench.results import Cell, Result

PUBLISHED_DATASET = "miracl"


@dataclass(frozen=True)
class Row:
    """One system: its cells by language and its labelled average (None where the result has none).

    ``reproduced`` marks a published row that a measured system beside it names as what it reproduces.
    """

    name: str
    note: str
    origin: str
    cells: dict[str, Cell]
    average: Cell | None
    average_label: str
    average_over: int
    reproduced: bool


@dataclass(frozen=True)
class Table:
    """One measure of one collection and split. ``published_note`` says how the two groups relate."""

    dataset: str
    split: str
    measure: str
    languages: list[str]
    measured: list[Row]
    published: list[Row]
    published_note: str


def load(root: Path, published_root: Path) -> tuple[list[Result], list[Result]]:
    """All measured results of ``root``, all published ones of both, its own first; a bad file is a DataError."""
    measured = [results.read(path) for path in results.files(root)]
    published = {path.relative_to(r): path for r in (published_root, root) for path in results.published_files(r)}
    return measured, [results.read(published[name]) for name in sorted(published)]


def collection(result: Result) -> str:
    """What was searched: the data set's name, with the pool's where not the whole corpus was."""
    variant = result.evaluated.corpus_variant
    return result.dataset if variant == "full" else f"{result.dataset}-{variant}"


def tables(measured: list[Result], published: list[Result]) -> list[Table]:
    """One table for each collection, split and measure that has a measured or published row.

    Published rows are the collection's own; where it has none, MIRACL's are shown for orientation.
    """
    groups = sorted({(collection(result), result.split) for result in [*measured, *published]}, key=_dataset_order)
    found = []
    for dataset, split in groups:
        here = [result for result in measured if (collection(result), result.split) == (dataset, split)]
        own, miracl = (
            [result for result in published if (collection(result), result.split) == (name, split)]
            for name in (dataset, PUBLISHED_DATASET)
        )
        there = own or miracl
        for measure in dict.fromkeys(m for result in here or there for m in result.evaluated.measures):
            found.append(_table(dataset, split, measure, here, there))
    return found


def _dataset_order(group: tuple[str, str]) -> tuple[bool, str, bool, str]:
    """MIRACL first, then by name; dev before the other splits."""
    dataset, split = group
    return dataset != PUBLISHED_DATASET, dataset, split != "dev", split


def _table(dataset: str, split: str, measure: str, measured: list[Result], published: list[Result]) -> Table:
    same = any(collection(result) == dataset for result in published) or dataset == PUBLISHED_DATASET
    recipes = [result.system.recipe or {} for result in measured]
    reproduced = {name for recipe in recipes for name in recipe.get("published", {}).get("systems", [])}
    rows = [_row(result, measure, set()) for result in measured if measure in result.evaluated.measures]
    others = [_row(result, measure, reproduced) for result in published if measure in result.evaluated.measures]
    covered = {lang for row in [*rows, *(others if same else [])] for lang in row.cells}
    note = (
        "Published figures, each with its source."
        if same
        else f"Published figures on MIRACL {split}: another collection than {dataset}, for orientation only, "
        "not to be compared with the rows above."
    )
    languages = [code for code in ALL if code in covered] + sorted(covered - set(ALL))
    return Table(dataset, split, measure, languages, sorted(rows, key=_rank), sorted(others, key=_rank), note)


def _row(result: Result, measure: str, reproduced: set[str]) -> Row:
    cells = {lang: entry.scores[measure] for lang, entry in result.languages.items() if measure in entry.scores}
    average = next((a for a in result.averages if measure in a.scores), None)
    return Row(
        name=result.system.name,
        note=", ".join(result.system.overrides),
        origin=result.system.summary if result.kind == "published" else "measured",
        cells=cells,
        average=average.scores[measure] if average else None,
        average_label=average.label if average else "",
        average_over=len(average.languages) if average else 0,
        reproduced=result.system.name in reproduced,
    )


def _rank(row: Row) -> tuple[bool, int, float, str]:
    """Rows that a system beside them reproduces, then those that cover more of the 16 languages, then the better
    average."""
    covered = sum(lang in ALL for lang in row.cells)
    return not row.reproduced, -covered, -(row.average.value if row.average else 0.0), row.name
