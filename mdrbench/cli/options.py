"""Options that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

Recipes = Annotated[list[str], typer.Argument(help="Recipe names (see `list`) or YAML files.", show_default=False)]
Data = Annotated[str, typer.Option(help="`miracl`, `sample`, or a folder in MIRACL's layout.")]
Langs = Annotated[str, typer.Option(help="Codes such as ar,bn, or all.")]
Split = Annotated[str, typer.Option(help="Topics and qrels to evaluate on.")]
Set = Annotated[Optional[list[str]], typer.Option("--set", help="Change a key: --set retriever.k1=1.2; repeatable.")]
Cache = Annotated[
    Optional[Path], typer.Option("--cache", help="Artifact store [default: $MDRBENCH_CACHE or ~/.cache/mdrbench].")
]
Results = Annotated[Path, typer.Option("--results", help="Folder of result files.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, failures only.")]


UNRECORDED = {"--results": 1, "--cache": 1, "--executor": 1, "--quiet": 0, "-q": 0, "--json": 0}
"""Options that say where and how, not what: name -> values that follow it."""


def recorded_command() -> str:
    """The command as a result keeps it: what can change a number, without this machine's folders."""
    import shlex

    kept, words = ["mdrbench"], iter(sys.argv[1:])
    for word in words:
        name, _, joined = word.partition("=")
        if name not in UNRECORDED:
            kept.append(word)
        elif not joined:
            for _ in range(UNRECORDED[name]):
                next(words, None)
    return shlex.join(kept)


def open_store(cache: Path | None):
    """The artifact store that ``--cache`` names, or the default one."""
    from mdrbench.core.store import Store, default_root

    return Store(cache or default_root())
