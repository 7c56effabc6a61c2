"""The commands ``experiment`` and ``paper``. Imports typer alone at top level."""

from __future__ import annotations

import dataclasses
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
        str, typer.Option(help="Every N-th cell from the K-th on, as K/N: for N processes side by side.")
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
    made: list[str] = []
    if page is not None:
        write_atomically(page, experiments.with_tables(page.read_text(encoding="utf-8"), results))
    elif not status:
        wanted = [cell for cell in experiments.part_of(found, part) if cell.made is None][:limit]
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


def paper(
    tables: Annotated[str, typer.Option(help="Tables such as 1,2 or weights, or all.")] = "all",
    name: Annotated[
        str, typer.Option("--of", help="The publication: a shipped experiment with tables.")
    ] = "huang2025boosting",
    data: Annotated[
        Optional[str], typer.Option(help="Lay results on another data set beside [default: that of the publication].")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run the systems that have no result yet.")] = False,
    results: Results = Path("results"),
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Lay our figures beside those of a paper, table by table.

    Without --run nothing is run: a system without a result is told with what it needs. --json has the command of
    each system.

    Example: mdrbench paper --tables 1,3
    """
    from mdrbench.commands import experiment as experiments
    from mdrbench.commands import paper as papers

    declared = experiments.load(name)
    published_on = declared.data
    if data is not None:
        declared = declared.model_copy(update={"data": data})
    wanted = papers.chosen(declared, tables)
    cells = experiments.cells(declared, results)
    if run:
        asked = {system for table in wanted.values() for system in table.systems}
        missing = [cell for cell in cells if cell.made is None and cell.system in asked]
        for cell, path in experiments.fill(declared, missing, open_store(cache), results, quiet):
            print(f"{cell.system}: written {path}", flush=True)
        cells = experiments.cells(declared, results)
    figures = papers.printed(declared.source or name)
    rows = {table: list(papers.rows(declared, table, cells, figures)) for table in wanted}
    if as_json:
        print_json({table: [dataclasses.asdict(row) for row in found] for table, found in rows.items()})
        return
    from mdrbench.cli import tables_experiment

    tables_experiment.print_paper(declared, rows, published_on)
