"""The command ``ablate``. Imports typer alone at top level."""

from __future__ import annotations

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

NoTraining = Annotated[bool, typer.Option("--no-training", help="Without training: the encoder as released.")]
NoHardNeg = Annotated[bool, typer.Option("--no-hard-neg", help="Without hard negatives: in-batch negatives only.")]
NoEnsemble = Annotated[
    bool, typer.Option("--no-ensemble", help="Without the ensemble: candidates of the recipe's own retriever.")
]
EnsembleWithout = Annotated[
    Optional[list[str]], typer.Option(help="Without this retriever of the ensemble. Repeatable: one variant each.")
]
NoJudge = Annotated[bool, typer.Option("--no-judge", help="Without a judge: as many top candidates as it lets stay.")]
PaperStage1 = Annotated[
    bool,
    typer.Option(
        "--paper-stage-1", help="Without stage 1 as the paper: the top of one retriever leaves no gap to fill."
    ),
]
PaperNoJudge = Annotated[
    bool, typer.Option("--paper-no-judge", help="Without a judge as the paper: all candidates are kept.")
]
NoReference = Annotated[bool, typer.Option("--no-reference", help="The judge sees no positive passage.")]
NoGeneration = Annotated[bool, typer.Option("--no-generation", help="Without negatives from generated queries.")]
NoRoundTrip = Annotated[
    bool, typer.Option("--no-round-trip", help="Generated queries stay that do not find their positive.")
]
NoMift = Annotated[bool, typer.Option("--no-mift", help="The generator without its instruction tuning (MIFT).")]
NoSameLanguage = Annotated[bool, typer.Option("--no-same-language", help="Batches mix languages.")]
NoDomainBalance = Annotated[bool, typer.Option("--no-domain-balance", help="Domains are as frequent as in the data.")]
NoWeights = Annotated[bool, typer.Option("--no-weights", help="All queries have the same weight.")]
NoDistillation = Annotated[bool, typer.Option("--no-distillation", help="Without learning a teacher's scores.")]
NoMasking = Annotated[bool, typer.Option("--no-masking", help="The teacher masks no in-batch negatives.")]
NoCurriculum = Annotated[
    bool, typer.Option("--no-curriculum", help="All hard negatives are drawn from the first step.")
]
NoRelabelling = Annotated[bool, typer.Option("--no-relabelling", help="Judged false negatives are only dropped.")]
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


def ablate(
    recipe: Annotated[str, typer.Argument(help="The complete recipe.", autocompletion=complete_recipe)] = "boosted",
    data: Data = "miracl",
    langs: Langs = "all",
    split: Split = "dev",
    changes: Set = None,
    no_training: NoTraining = False,
    no_hard_neg: NoHardNeg = False,
    no_ensemble: NoEnsemble = False,
    ensemble_without: EnsembleWithout = None,
    no_judge: NoJudge = False,
    paper_stage_1: PaperStage1 = False,
    paper_no_judge: PaperNoJudge = False,
    no_reference: NoReference = False,
    no_generation: NoGeneration = False,
    no_round_trip: NoRoundTrip = False,
    no_mift: NoMift = False,
    no_same_language: NoSameLanguage = False,
    no_domain_balance: NoDomainBalance = False,
    no_weights: NoWeights = False,
    no_distillation: NoDistillation = False,
    no_masking: NoMasking = False,
    no_curriculum: NoCurriculum = False,
    no_relabelling: NoRelabelling = False,
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

    flags = {
        **{"training": no_training, "hard-neg": no_hard_neg, "ensemble": no_ensemble},
        **{"judge": no_judge, "reference": no_reference, "generation": no_generation},
        **{"round-trip": no_round_trip, "mift": no_mift},
        **{"same-language": no_same_language, "domain-balance": no_domain_balance, "weights": no_weights},
        **{"distillation": no_distillation, "masking": no_masking},
        **{"curriculum": no_curriculum, "relabelling": no_relabelling},
        **{"paper-stage-1": paper_stage_1, "paper-judge": paper_no_judge},
        **{f"stage-{number}": True for number in stage_off or ()},
    }
    parts = [slug for slug, given in flags.items() if given]
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
