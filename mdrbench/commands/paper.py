"""Lay our figures beside those of a publication, table by table.

The experiment that repeats the publication (``recipes/experiments/``) names the systems of each table; the published
figures are those of ``results/published``. A system without a result of ours is told with what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mdrbench import results
from mdrbench.commands.experiment import Cell, Experiment, Table, command
from mdrbench.core import registry
from mdrbench.core.errors import UsageError, did_you_mean
from mdrbench.core.members import Member
from mdrbench.recipe import Recipe
from mdrbench.results import published


@dataclass(frozen=True)
class Row:
    """A system of a table.

    Attributes:
        published: the average that the publication prints; None if the figure is not among the published ones.
        ours: the average of our result over the experiment's languages; None if there is no result.
        needs: what a run needs that a laptop may lack.
        command: the command that makes the result.
    """

    system: str
    published: float | None
    ours: float | None
    needs: tuple[str, ...]
    command: str


def chosen(experiment: Experiment, tables: str) -> dict[str, Table]:
    """Return the tables that are asked for: ``all``, or their names, separated by commas.

    Raises:
        UsageError: the experiment has no such table.
    """
    if tables == "all":
        return experiment.tables
    wanted = [name.strip() for name in tables.split(",")]
    for name in wanted:
        if name not in experiment.tables:
            raise UsageError(f"no table '{name}'", mend=did_you_mean(name, list(experiment.tables)))
    return {name: experiment.tables[name] for name in wanted}


def printed(source: str) -> dict[tuple[str, str], float]:
    """Return the averages that a publication prints, from the shipped figures: (table, system) -> score."""
    root = registry.resource("results")
    found: dict[tuple[str, str], float] = {}
    for path in results.published_files(root):
        if path.parent.name == source:
            result = results.read(path)
            for average in result.averages:
                for score in average.scores.values():
                    found[_number(score.table or ""), result.system.name] = score.value
    for path in published.ablation_files(root):
        ablation = published.read_ablation(path)
        if ablation.source == source:
            table = _number(ablation.table)
            found[table, ablation.system] = ablation.complete
            found |= {(table, variant.label): variant.score for variant in ablation.variants}
    return found


def _number(table: str) -> str:
    return table.removeprefix("table ")


def rows(experiment: Experiment, name: str, cells: list[Cell], figures: dict[tuple[str, str], float]) -> Iterator[Row]:
    """Yield the systems of a table in its order."""
    table = experiment.tables[name]
    by_system = {cell.system: cell for cell in cells}
    for system in table.systems:
        cell = by_system[system]
        yield Row(
            system,
            figures.get((name, system)),
            _average(cell, table.measure, experiment.languages),
            needs(cell.recipe),
            command(experiment, cell),
        )


def _average(cell: Cell, measure: str, languages: tuple[str, ...]) -> float | None:
    if cell.made is None:
        return None
    return sum(cell.made.languages[lang].scores[measure].value for lang in languages) / len(languages)


def needs(recipe: Recipe) -> tuple[str, ...]:
    """Return what a run of a recipe needs beside the data: weights, an endpoint, a GPU."""
    negatives = recipe.negatives
    members = [recipe.retriever]
    if negatives is not None:
        members += [negatives.mining, negatives.judge, negatives.generation]
        members += [negatives.retriever] if negatives.retriever else []
    models = {str(part.config.model) for member in members for part in _all_parts(member) if part.family == "encoders"}
    asked = {
        str(member.config.model) for member in members if member.family in ("judges", "generators") and _asks(member)
    }
    found = [f"weights of {', '.join(sorted(models))}"] if models else []
    found += [f"an endpoint that serves {', '.join(sorted(asked))}"] if asked else []
    return tuple(found + (["a GPU"] if recipe.training is not None else []))


def _asks(member: Member) -> bool:
    config = member.config
    return hasattr(config, "base_url") and not any(getattr(config, name, False) for name in ("offline", "runs_here"))


def _all_parts(member: Member) -> Iterator[Member]:
    for part in member.parts.values():
        yield part
        yield from _all_parts(part)
