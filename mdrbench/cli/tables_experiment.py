"""The tables of an experiment: its cells, and a paper's figures beside ours."""

from __future__ import annotations

from mdrbench.cli import tables
from mdrbench.commands.experiment import MEASURES, Cell, Experiment
from mdrbench.commands.paper import Row


def print_cells(experiment: Experiment, cells: list[Cell]) -> None:
    """Print each cell with its average, or that it is missing."""
    console = tables.console()
    made = [cell for cell in cells if cell.made is not None]
    title = f"{experiment.summary}: {len(made)} of {len(cells)} cells are in"
    table = tables.new_table(title, "system", ["seed", *MEASURES])
    for cell in cells:
        scores = cell.made.averages[0].scores if cell.made else {}
        cells_of = [f"{scores[name].value:.4f}" if name in scores else "-" for name in MEASURES]
        table.add_row(cell.system, str(cell.seed), *cells_of)
    console.print(table)


def print_paper(experiment: Experiment, tables_: dict[str, list[Row]], published_on: str) -> None:
    """Print for each table the published averages, ours, and what a system without a result of ours needs.

    Args:
        published_on: the data set of the published figures.
    """
    console = tables.console()
    for name, rows in tables_.items():
        declared = experiment.tables[name]
        number = f"table {name}" if name.isdigit() else name
        title = f"{experiment.source}, {number}: {declared.caption}, {declared.measure}"
        table = tables.new_table(title, "system", ["published", f"ours, {experiment.data}"])
        table.add_column("a run needs", overflow="fold")
        for row in rows:
            ours = "-" if row.ours is None else f"{row.ours:.4f}"
            printed = "-" if row.published is None else f"{row.published:.3f}"
            table.add_row(row.system, printed, ours, "" if row.ours is not None else "; ".join(row.needs) or "nothing")
        console.print(table)
    if experiment.data != published_on:
        console.print(f"The published figures are of {published_on}: compare systems within a column, not across.")
    if any(row.ours is None for rows in tables_.values() for row in rows):
        console.print("`mdrbench paper --run` runs what is missing; `--json` prints the command of each system.")
