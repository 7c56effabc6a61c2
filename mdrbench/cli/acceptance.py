"""``mdrbench acceptance``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Cache, Quiet, open_store, recorded_command
from mdrbench.core.console import print_json


def acceptance(
    encoder: Annotated[str, typer.Option(help="Recipe of the encoder that runs beside BM25 and mDPR.")] = "mcontriever",
    lang: Annotated[str, typer.Option(help="A language of MIRACL; Swahili is the smallest but one.")] = "sw",
    out: Annotated[Path, typer.Option(help="Folder for the report and the results.")] = Path("acceptance"),
    figures: Annotated[
        Optional[Path], typer.Option(help="Folder that holds `published/` [default: the figures of mdrbench].")
    ] = None,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check an installation against published scores on MIRACL.

    Data and models are fetched. The report, acceptance.md, can be attached to a bug or a release. Exit code 6 if a
    figure does not hold: Pyserini's to 0.0005, those of papers to 0.005.

    Example: mdrbench acceptance --encoder bge-m3
    """
    from mdrbench.commands.acceptance import run

    recipes = list(dict.fromkeys(("bm25", "mdpr", encoder)))
    report = run(recipes, "miracl", lang, open_store(cache), out, recorded_command(), quiet, figures)
    if as_json:
        rows = [{**row.figure._asdict(), "recipe": row.recipe, "measured": row.measured} for row in report.rows]
        print_json({"passed": report.passed, "report": str(report.path), "rows": rows})
    else:
        for row in report.rows:
            said = "holds" if row.holds else "DIFFERS"
            print(
                f"{said:<7} {row.recipe:<12} {row.figure.measure:<10} {row.measured:.4f}, published "
                f"{row.figure.value:.4f} ({row.figure.source})"
            )
        print(f"report: {report.path}")
    raise typer.Exit(0 if report.passed else 6)
