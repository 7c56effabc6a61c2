"""The command ``experiment``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Cache, Quiet, Results, open_store
from mdrbench.core.console import print_json


def experiment(
    name: Annotated[str, typer.Argument(help="A shipped experiment, such as lab, or a YAML file.")],
    status: Annotated[bool, typer.Option("--status", help="Print which cells are in. Run nothing.")] = False,
    limit: Annotated[Optional[int], typer.Option(min=1, help="Stop after this many cells [default: all].")] = None,
    part: Annotated[
        str, typer.Option(help="Every N-th missing cell from the K-th on, as K/N: for N processes side by side.")
    ] = "1/1",
    page: Annotated[
        Optional[Path],
        typer.Option(
            help="Make the tables of a Markdown page again, between its marks `experiment NAME`. Run nothing."
        ),
    ] = None,
    results: Results = Path("results"),
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fill the missing cells of a declared experiment.

    A cell is a system with a seed, and has a result of its own. Stop it at any time and call it again: a cell is
    written whole or not at all, and steps that are done are kept.

    Example: mdrbench experiment lab --status
    """
    from mdrbench.commands import experiment as experiments
    from mdrbench.core.atomic_files import write_atomically

    declared = experiments.load(name)
    found = experiments.cells(declared, results)
    missing = [cell for cell in found if cell.made is None]
    made: list[str] = []
    if page is not None:
        write_atomically(page, experiments.with_tables(page.read_text(encoding="utf-8"), results))
    elif not status:
        wanted = experiments.part_of(missing, part)[:limit]
        for cell, path in experiments.fill(declared, wanted, open_store(cache), results, quiet):
            made.append(str(path))
            print(f"{cell.system}, seed {cell.seed}: written {path}", flush=True)
        found = experiments.cells(declared, results)
    rows = [
        {"system": cell.system, "seed": cell.seed, "in": cell.made is not None, "result": str(cell.path)}
        for cell in found
    ]
    if as_json:
        print_json({"cells": rows, "written": made})
        return
    from mdrbench.cli import tables_experiment

    tables_experiment.print_cells(declared, found)
