"""Arguments and options that several commands share. Imports typer alone at top level."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from mdrbench.core.secrets import redact

if TYPE_CHECKING:
    from mdrbench.core.store import Store


def complete_recipe(incomplete: str) -> list[str]:
    """Names of shipped recipes that begin with what was typed, for the shell's completion."""
    from mdrbench.core.registry import recipe_files

    return [name for name in recipe_files() if name.startswith(incomplete)]


Recipes = Annotated[
    list[str],
    typer.Argument(
        help="Names of recipes (see `mdrbench list`) or YAML files.",
        show_default=False,
        autocompletion=complete_recipe,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        help="Data set: `miracl`, `miracl-hard-negatives`, `wiki16`, `sample`, or a folder in MIRACL's layout."
    ),
]
Langs = Annotated[str, typer.Option(help="Language codes such as ar,bn, or all.")]
Split = Annotated[str, typer.Option(help="Split whose topics and qrels are used.")]
Final = Annotated[
    bool, typer.Option("--final", help="Allow --split test, and record that the scores are a final figure.")
]
Set = Annotated[
    Optional[list[str]],
    typer.Option("--set", help="Change a key of the recipe, such as --set retriever.k1=1.2. Repeatable."),
]
Cache = Annotated[
    Optional[Path],
    typer.Option("--cache", help="Folder of the artifact store [default: $MDRBENCH_CACHE or ~/.cache/mdrbench]."),
]
Results = Annotated[Path, typer.Option("--results", help="Folder of result files.")]
Executor = Annotated[
    str,
    typer.Option(help="Where steps run: `local`, `ray` (a cluster; needs mdrbench[ray]) or `queue` (mdrbench work)."),
]
Workers = Annotated[
    Optional[int],
    typer.Option(
        min=1,
        help="Worker processes [default: one for each GPU; on a machine without GPUs this process alone].",
        show_default=False,
    ),
]
Queue = Annotated[
    Optional[Path],
    typer.Option("--queue", help="Folder of --executor queue [default: queue in the cache].", show_default=False),
]
KeepEmbeddings = Annotated[
    Literal["yes", "no"],
    typer.Option(
        "--keep-embeddings",
        help="`no` removes the embeddings of a trained encoder as soon as they were searched. Scores and runs stay.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress. Failures and notes are still shown.")]


UNRECORDED = {
    **dict.fromkeys(("--results", "--cache", "--executor", "--workers", "--queue"), 1),
    **dict.fromkeys(("--quiet", "-q", "--json"), 0),
}
"""Options that cannot change a number: name -> how many values follow it."""


def recorded_command() -> str:
    """Return the command as a result records it, without :data:`UNRECORDED` options and their folders."""
    import shlex

    kept, words = ["mdrbench"], iter(sys.argv[1:])
    for word in words:
        name, _, joined = word.partition("=")
        if name not in UNRECORDED:
            kept.append(word)
        elif not joined:
            for _ in range(UNRECORDED[name]):
                next(words, None)
    return redact(shlex.join(map(redact, kept)))


def chosen_executor(name: str, workers: int | None, queue: Path | None) -> dict[str, Any]:
    """Return the settings of the executor that ``--executor``, ``--workers`` and ``--queue`` choose."""
    settings = {"workers": workers, "queue": None if queue is None else str(queue)}
    return {"name": name, **{key: value for key, value in settings.items() if value is not None}}


def open_store(cache: Path | None) -> Store:
    """Open the artifact store that ``--cache`` names, or the default store."""
    from mdrbench.core.store import Store, default_root

    return Store(cache or default_root())
