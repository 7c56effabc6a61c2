"""The commands about hard negatives: ``mine``, ``agreement`` and ``negatives``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Cache, Data, Langs, Quiet, Set, open_store
from mdrbench.core.console import print_json, say

app = typer.Typer(no_args_is_help=True, help="Look at the hard negatives of a recipe.")

RecipeName = Annotated[str, typer.Argument(help="A recipe with a section `negatives`.", show_default=False)]


def mine(
    recipe: RecipeName,
    data: Data = "miracl",
    langs: Langs = "all",
    changes: Set = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Mine, then say what judging would cost; the judge is not asked.")
    ] = False,
    export: Annotated[
        Optional[str],
        typer.Option(
            help="Also write the training groups, texts included, for another trainer: sentence-transformers, "
            "labeled-list, tevatron or flag-embedding.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for --export, one file a language.")] = Path("groups"),
    columns: Annotated[
        int,
        typer.Option(
            min=1, help="Negatives of a row of --export sentence-transformers; queries with fewer are left out."
        ),
    ] = 7,
    executor: Annotated[str, typer.Option(help="Where steps run: local, or ray (needs mdrbench[ray]).")] = "local",
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make the hard negatives of a recipe and print what was mined, eliminated and generated in each language."""
    from mdrbench.cli import tables, tables_negatives
    from mdrbench.commands import negatives as running_negatives

    store = open_store(cache)
    if dry_run:
        rows = running_negatives.estimate(recipe, data, langs, changes or [], store, quiet=quiet)
        if as_json:
            print_json(rows)
        else:
            tables_negatives.print_estimate(tables.console(), rows)
        return
    mined, error = running_negatives.make(
        recipe, data, langs, changes or [], store, quiet=quiet, executor=executor
    )  # fmt: skip
    rows = tables_negatives.statistics(mined)
    if as_json:
        print_json(rows)
    elif rows:
        tables_negatives.print_statistics(tables.console(), mined, rows)
    for row in running_negatives.export(mined, export, out, columns) if export else ():
        left_out = "".join(f"; left out: {count} with {why}" for why, count in row["left_out"].items())
        say(f"{row['path']}: {row['rows']} rows of {row['groups']} queries{left_out}")
    if error:
        raise error


def agreement(
    recipe: RecipeName,
    data: Data = "miracl",
    langs: Langs = "all",
    changes: Set = None,
    pairs: Annotated[int, typer.Option(min=1, help="Judged pairs asked about in each language, at most.")] = 200,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Hold the judge of a recipe against the qrels: precision, recall and Cohen's kappa per language."""
    from mdrbench.cli import tables, tables_negatives
    from mdrbench.commands import negatives as running_negatives

    rows, error = running_negatives.agreement(
        recipe, data, langs, changes or [], pairs, open_store(cache), quiet=quiet
    )  # fmt: skip
    if as_json:
        print_json(rows)
    elif rows:
        tables_negatives.print_agreement(tables.console(), rows)
    if error:
        raise error


@app.command()
def show(
    query: Annotated[str, typer.Argument(help="The qid, or the text, of a training query.")],
    recipe: Annotated[str, typer.Option(help="The recipe whose negatives were made.")],
    data: Data = "miracl",
    langs: Langs = "all",
    changes: Set = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """List a query's negatives with text, score, source, the judge's grade, and whether the qrels hold them."""
    from mdrbench.cli import tables, tables_negatives
    from mdrbench.commands import negatives as running_negatives

    mined = running_negatives.find(recipe, data, langs, changes or [], open_store(cache))
    found = running_negatives.show(mined, query)
    if as_json:
        print_json(
            [
                {
                    "lang": one.lang,
                    "qid": one.qid,
                    "query": one.query,
                    "positives": [passage._asdict() for passage in one.positives],
                    "negatives": [{**n._asdict(), "title": p.title, "text": p.text} for n, p in one.negatives],
                }
                for one in found
            ]
        )
    else:
        for one in found:
            tables_negatives.print_shown(tables.console(), one)
