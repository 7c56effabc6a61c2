"""The command ``import-published``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import Results


def import_published(
    figures: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV with the columns source, table, backbone, method, split, metric, lang, value.",
        ),
    ],
    results: Results = Path("results"),
    pyserini_versions: Annotated[
        Optional[Path],
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Table of the cells that differ between Pyserini 1.6.0 and 2.3.0; both versions are written.",
        ),
    ] = None,
) -> None:
    """Import figures of the literature from a CSV file.

    They are written to results/published, one figure a row of the file, with source and table.
    """
    from mdrbench.results import published

    rows = published.read_csv(figures)
    if pyserini_versions:
        rows = published.with_versions(rows, published.read_versions(pyserini_versions))
    print(f"{len(rows)} figures in {len(published.write(rows, results))} files under {results / 'published'}")
