"""The commands ``mine``, ``agreement`` and ``negatives``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import (
    AsJson,
    Cache,
    Data,
    Executor,
    Final,
    Langs,
    Queue,
    Quiet,
    Set,
    Workers,
    chosen_executor,
    complete_recipe,
    open_store,
)
from mdrbench.core.console import print_json, say

app = typer.Typer(no_args_is_help=True, help="Look at the hard negatives of a recipe.")

RecipeName = Annotated[str, typer.Argument(help="A recipe with a section `negatives`.", autocompletion=complete_recipe)]


def mine(
    recipe: RecipeName,
    data: Data = "miracl",
    langs: Langs = "all",
    changes: Set = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Mine, then print what judge and generator would be asked. Neither is asked."),
    ] = False,
    export: Annotated[
        Optional[str],
        typer.Option(
            help="Also write the training groups with their texts for another trainer: sentence-transformers, "
            "labeled-list, tevatron or flag-embedding.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for --export, with one file per language.")] = Path("groups"),
    columns: Annotated[
        int,
        typer.Option(
            min=1,
            help="Negatives per row of --export sentence-transformers. Queries with fewer negatives are left out.",
        ),
    ] = 7,
    executor: Executor = "local",
    workers: Workers = None,
    queue: Queue = None,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make the hard negatives of a recipe.

    Prints how many were mined, eliminated by the judge and found by generated queries in each language.

    Example: mdrbench mine boosted-sample --data sample --langs sw
    """
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
        recipe, data, langs, changes or [], store, quiet=quiet, executor=chosen_executor(executor, workers, queue)
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
    pairs: Annotated[int, typer.Option(min=1, help="At most this many judged pairs per language.")] = 200,
    split: Annotated[str, typer.Option(help="Split whose judgments the judge is compared with.")] = "train",
    final: Final = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also choose cut-offs by kappa, and print them as YAML for the recipe.")
    ] = False,
    judgments: Annotated[
        Optional[Path],
        typer.Option(help="Folder of other judgments, qrels-LANG-SPLIT.tsv in TREC's format, in place of the qrels."),
    ] = None,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare the judge of a recipe with the qrels.

    With --judgments it is compared with your own annotators. Prints precision, recall and Cohen's kappa per language.

    Example: mdrbench agreement boosted-me5-small-6l --data PATH --langs all --calibrate
    """
    from mdrbench.cli import tables, tables_negatives
    from mdrbench.commands import negatives as running_negatives

    rows, error = running_negatives.agreement(
        recipe,
        data,
        langs,
        changes or [],
        pairs,
        open_store(cache),
        split=split,
        final=final,
        judgments=judgments,
        quiet=quiet,
    )
    if error and calibrate:
        raise error
    chosen = running_negatives.calibrate(rows, data, split, judgments) if calibrate else {}
    if as_json:
        print_json({**rows, **({"cutoffs": {k: c._asdict() for k, c in chosen.items()}} if chosen else {})})
    elif rows:
        tables_negatives.print_agreement(tables.console(), rows)
    if chosen and not as_json:
        from mdrbench.negatives.calibration import as_yaml

        print(as_yaml(chosen))
    if error:
        raise error


@app.command()
def show(
    query: Annotated[str, typer.Argument(help="The qid or the text of a training query.")],
    recipe: Annotated[str, typer.Option(help="The recipe whose negatives were made.", autocompletion=complete_recipe)],
    data: Data = "miracl",
    langs: Langs = "all",
    changes: Set = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Show the negatives of one training query.

    Each negative has its text, score, source, the judge's grade, and whether the qrels judge it.
    """
    from mdrbench.cli import tables, tables_negatives
    from mdrbench.commands import negatives as running_negatives

    mined = running_negatives.find(recipe, data, langs, changes or [], open_store(cache))
    groups = running_negatives.show(mined, query)
    if as_json:
        print_json(
            [
                {
                    "lang": group.lang,
                    "qid": group.qid,
                    "query": group.query,
                    "positives": [passage._asdict() for passage in group.positives],
                    "negatives": [{**n._asdict(), "title": p.title, "text": p.text} for n, p in group.negatives],
                }
                for group in groups
            ]
        )
    else:
        for group in groups:
            tables_negatives.print_shown(tables.console(), group)
