"""The command ``ablate``: what each part of a recipe is worth. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Cache, Data, Langs, Quiet, Results, Set, Split, open_store, recorded_command
from mdrbench.core.console import print_json


def _off(slug: str, text: str):
    return Annotated[bool, typer.Option(f"--no-{slug}", help=text)]


EnsembleWithout = Annotated[
    Optional[list[str]], typer.Option(help="A retriever of the ensemble that is left out of it; repeatable.")
]
StageOff = Annotated[
    Optional[list[int]],
    typer.Option(min=1, max=3, help="A stage replaced by its plain counterpart; repeatable."),
]
Everything = Annotated[
    bool, typer.Option("--all", help="Each part alone, each stage alone, and the stages one after the other.")
]
Vary = Annotated[Optional[list[str]], typer.Option(help="KEY=V1,V2: a variant for each value of a key; repeatable.")]
Rival = Annotated[Optional[list[str]], typer.Option(help="Another recipe, in the complete one's place; repeatable.")]
Explain = Annotated[
    bool, typer.Option("--explain", "--dry-run", help="Print changes and steps of each variant; run nothing.")
]


def ablate(
    recipe: Annotated[str, typer.Argument(help="The complete recipe.")] = "boosted",
    data: Data = "miracl",
    langs: Langs = "all",
    split: Split = "dev",
    changes: Set = None,
    no_training: _off("training", "The encoder as it came: zero-shot.") = False,
    no_hard_neg: _off("hard-neg", "In-batch negatives only.") = False,
    no_ensemble: _off("ensemble", "Candidates from the recipe's own retriever alone.") = False,
    ensemble_without: EnsembleWithout = None,
    no_judge: _off("judge", "No candidate is judged.") = False,
    no_reference: _off("reference", "The judge sees no positive.") = False,
    no_generation: _off("generation", "No top-up through generated queries.") = False,
    no_mift: _off("mift", "The generator as it was before its tuning.") = False,
    no_same_language: _off("same-language", "Batches mix languages.") = False,
    no_domain_balance: _off("domain-balance", "Domains come as often as they are.") = False,
    no_weights: _off("weights", "All queries weigh alike.") = False,
    stage_off: StageOff = None,
    everything: Everything = False,
    vary: Vary = None,
    rival: Rival = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Repeats of everything, each with other seeds.")] = 1,
    explain: Explain = False,
    measure: Annotated[str, typer.Option(help="The measure to show; all are stored.")] = "nDCG@10",
    results: Results = Path("results"),
    cache: Cache = None,
    executor: Annotated[str, typer.Option(help="Where steps run: local, or ray (needs mdrbench[ray]).")] = "local",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe without its parts and test what each of them is worth; several --no-... make one variant."""
    from mdrbench.cli import tables, tables_ablation
    from mdrbench.commands.ablation import running as running_ablation
    from mdrbench.commands.ablation import variants as ablation

    flags = {
        **{"training": no_training, "hard-neg": no_hard_neg, "ensemble": no_ensemble},
        **{"judge": no_judge, "reference": no_reference, "generation": no_generation, "mift": no_mift},
        **{"same-language": no_same_language, "domain-balance": no_domain_balance, "weights": no_weights},
        **{f"stage-{number}": True for number in stage_off or ()},
    }
    parts = [slug for slug, given in flags.items() if given]
    more = {"vary": vary or (), "rivals": rival or (), "ensemble_without": ensemble_without or ()}
    choice = ablation.choose(recipe, changes or [], parts, everything=everything, **more)
    ablation.require_measure(choice, measure)
    store = open_store(cache)
    planned = running_ablation.plan(choice, data, langs, split, store, seeds=seeds, fetch=not explain, quiet=quiet)
    if explain:
        _explain(running_ablation.explain(planned, store), choice.absent, as_json)
        return
    command = recorded_command()
    ablated, error = running_ablation.run(planned, store, results, command, quiet=quiet, executor=executor)
    if as_json:
        print_json({**ablated.found.model_dump(mode="json", exclude_none=True), "failed": ablated.failed})
    else:
        console = tables.console()
        tables_ablation.print_ablation(console, ablated, measure)
        console.print(f"written: {ablated.path}", highlight=False, soft_wrap=True)
    if error:
        raise error


def _explain(rows: list[dict], absent: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json({"variants": rows, "absent": absent})
    else:
        from mdrbench.cli import tables, tables_ablation

        tables_ablation.print_explained(tables.console(), rows, absent)
