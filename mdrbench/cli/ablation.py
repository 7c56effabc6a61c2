"""The command ``ablate``. Imports typer alone at top level."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mdrbench.cli.options import (
    AsJson,
    Cache,
    Data,
    Executor,
    KeepEmbeddings,
    Langs,
    Queue,
    Quiet,
    Results,
    Set,
    Split,
    Workers,
    chosen_executor,
    complete_recipe,
    open_store,
    recorded_command,
)
from mdrbench.core.console import print_json

PARTS = {
    "--no-training": "Without training: the encoder as released.",
    "--no-hard-neg": "Without hard negatives: in-batch negatives only.",
    "--no-ensemble": "Without the ensemble: candidates of the recipe's own retriever.",
    "--no-judge": "Without the judge: as many top candidates as the judge would keep.",
    "--paper-stage-1": "Without stage 1, as in the paper: the top of one retriever leaves no gap to fill.",
    "--paper-no-judge": "Without the judge, as in the paper: all candidates are kept.",
    "--no-reference": "The judge sees no positive passage.",
    "--no-generation": "Without negatives from generated queries.",
    "--no-round-trip": "Keep generated queries that do not find their positive.",
    "--no-mift": "Use the generator before its instruction tuning (MIFT).",
    "--no-same-language": "Batches mix languages.",
    "--no-domain-balance": "Domains are as frequent as in the data.",
    "--no-weights": "All queries have the same weight.",
    "--no-distillation": "Learn nothing from a teacher's scores.",
    "--no-masking": "The teacher masks no in-batch negatives.",
    "--no-curriculum": "All hard negatives are drawn from the first step.",
    "--no-relabelling": "Judged false negatives are only dropped.",
}
"""The flag of each part that can be removed, and its help."""


def _flag_for_each_part(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of :data:`PARTS` in place of its argument ``parts``. Typer reads the signature."""
    names = {flag.removeprefix("--").replace("-", "_"): flag for flag in PARTS}
    flags = [
        Parameter(
            name, Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, typer.Option(flag, help=text)]
        )
        for (name, flag), text in zip(names.items(), PARTS.values(), strict=True)
    ]

    @functools.wraps(command)
    def with_flags(**options: Any) -> None:
        given = [flag for name, flag in names.items() if options.pop(name)]
        command(parts=[flag.removeprefix("--").replace("no-", "", 1) for flag in given], **options)

    signature = inspect.signature(command, eval_str=True)
    parameters = list(signature.parameters.values())
    at = list(signature.parameters).index("parts")
    with_flags.__signature__ = signature.replace(parameters=[*parameters[:at], *flags, *parameters[at + 1 :]])  # type: ignore[attr-defined]
    return with_flags


EnsembleWithout = Annotated[
    Optional[list[str]], typer.Option(help="Without this retriever of the ensemble. Repeatable: one variant each.")
]
StageOff = Annotated[
    Optional[list[int]],
    typer.Option(min=1, max=3, help="Replace this stage of the method with its plain counterpart. Repeatable."),
]
Everything = Annotated[
    bool, typer.Option("--all", help="A variant for each part and each stage, and the stages added one by one.")
]
Vary = Annotated[
    Optional[list[str]],
    typer.Option(help="A variant for each value of a key, such as --vary negatives.size=10,20. Repeatable."),
]
Rival = Annotated[
    Optional[list[str]], typer.Option(help="Another recipe in place of the complete one, as a variant. Repeatable.")
]
Seeds = Annotated[int, typer.Option(min=1, max=100, help="Repeat everything with this many seeds.")]
Explain = Annotated[
    bool, typer.Option("--explain", "--dry-run", help="Print the changes and steps of each variant. Run nothing.")
]


@_flag_for_each_part
def ablate(
    *,
    recipe: Annotated[str, typer.Argument(help="The complete recipe.", autocompletion=complete_recipe)] = "boosted",
    data: Data = "miracl",
    langs: Langs = "all",
    split: Split = "dev",
    changes: Set = None,
    parts: list[str],
    ensemble_without: EnsembleWithout = None,
    stage_off: StageOff = None,
    everything: Everything = False,
    vary: Vary = None,
    rival: Rival = None,
    seeds: Seeds = 1,
    explain: Explain = False,
    measure: Annotated[str, typer.Option(help="The measure to show. All measures are stored.")] = "nDCG@10",
    results: Results = Path("results"),
    cache: Cache = None,
    executor: Executor = "local",
    workers: Workers = None,
    queue: Queue = None,
    keep_embeddings: KeepEmbeddings = "yes",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe without its parts and test each difference.

    Each --no-PART removes a part. Several --no-PART together make one variant. Steps that variants share run once.

    Example: mdrbench ablate boosted-sample --data sample --langs sw,ko --all
    """
    from mdrbench.cli import tables, tables_ablation
    from mdrbench.commands.ablation import running as running_ablation
    from mdrbench.commands.ablation import variants as ablation
    from mdrbench.data.access import check_final

    parts += [f"stage-{number}" for number in stage_off or ()]
    more = {"vary": vary or (), "rivals": rival or (), "ensemble_without": ensemble_without or ()}
    check_final(split, final=False)
    choice = ablation.choose(recipe, changes or [], parts, everything=everything, **more)
    ablation.require_measure(choice, measure)
    store = open_store(cache)
    planned = running_ablation.plan(choice, data, langs, split, store, seeds=seeds, fetch=not explain, quiet=quiet)
    if explain:
        _explain(running_ablation.explain(planned, store), choice.absent, as_json)
        return
    command, chosen = recorded_command(), chosen_executor(executor, workers, queue)
    ablated, error = running_ablation.run(
        planned, store, results, command, quiet=quiet, executor=chosen, keep_embeddings=keep_embeddings == "yes"
    )
    if as_json:
        print_json({**ablated.found.model_dump(mode="json", exclude_none=True), "failed": ablated.failed})
    else:
        console = tables.console()
        tables_ablation.print_ablation(console, ablated, measure)
        console.print(f"written: {ablated.path}", highlight=False, soft_wrap=True)
    if error:
        raise error


def _explain(rows: list[dict[str, Any]], absent: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json({"variants": rows, "absent": absent})
    else:
        from mdrbench.cli import tables, tables_ablation

        tables_ablation.print_explained(tables.console(), rows, absent)
