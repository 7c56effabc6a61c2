"""The table of an experiment's cells."""

from __future__ import annotations

from mdrbench.cli import tables
from mdrbench.commands.experiment import MEASURES, Cell, Experiment


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
