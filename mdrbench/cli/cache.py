"""``mdrbench cache``: list, check and delete artifacts. Imports typer alone at top level."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Cache, open_store
from mdrbench.core.console import print_json

app = typer.Typer(no_args_is_help=True, help="List, check and delete computed artifacts.")


@app.command("ls")
def ls(cache: Cache = None, as_json: AsJson = False) -> None:
    """List artifacts with size and last use."""
    from mdrbench.pipeline.cache_admin import rows

    artifacts = rows(open_store(cache))
    if as_json:
        print_json(artifacts)
        return
    from mdrbench.cli.tables import human_bytes

    for row in artifacts:
        note = f"  unreachable: {row['unreachable']}" if row["unreachable"] else ""
        size = human_bytes(row["bytes"])
        print(f"{row['key'][:12]}  {row['stage']:<9} {row['scope']:<4} {size:>9}  {row['used']}{note}")
    unreachable = sum(1 for row in artifacts if row["unreachable"])
    note = f"; no current key reaches {unreachable} of them" if unreachable else ""
    print(f"{len(artifacts)} artifacts, {human_bytes(sum(row['bytes'] for row in artifacts))}{note}")


@app.command("verify")
def verify(cache: Cache = None, as_json: AsJson = False) -> None:
    """Hash every artifact again. Exit code 5 if a file is damaged."""
    from mdrbench.pipeline.cache_admin import verify as verify_artifacts

    problems = verify_artifacts(open_store(cache))
    if as_json:
        print_json(problems)
    else:
        for row in problems:
            print(f"{row['stage']} {row['key'][:12]}: {row['problem']}")
        mend = "; mend: `mdrbench cache rm KEY`, then run the recipe again" if problems else ""
        print(f"{len(problems)} problems{mend}")
    if problems:
        raise typer.Exit(5)


@app.command("gc")
def gc(
    older_than: Annotated[float, typer.Option(min=0, help="Delete artifacts not used for this many days.")] = 30,
    max_size: Annotated[
        Optional[str], typer.Option(help="Keep at most this much, most recently used first. Example: 20GB.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted. Delete nothing.")] = False,
    cache: Cache = None,
) -> None:
    """Delete artifacts that were not used for a while.

    Also deletes what killed runs left behind. Artifacts that another process uses are kept.

    Example: mdrbench cache gc --older-than 7 --max-size 20GB --dry-run
    """
    from mdrbench.pipeline.cache_admin import collect

    print(collect(open_store(cache), older_than, max_size, dry_run))


@app.command("rm")
def rm(
    keys: Annotated[list[str], typer.Argument(help="Keys, their first characters, or names of stages.")],
    cache: Cache = None,
) -> None:
    """Delete artifacts by key or stage."""
    from mdrbench.pipeline.cache_admin import remove

    print(remove(open_store(cache), keys))
