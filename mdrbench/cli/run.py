"""The commands ``run`` and ``plan``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path

from mdrbench.cli.options import (
    AsJson,
    Cache,
    Data,
    Executor,
    Final,
    KeepEmbeddings,
    Langs,
    Queue,
    Quiet,
    Recipes,
    Results,
    Set,
    Split,
    Workers,
    chosen_executor,
    open_store,
    recorded_command,
)
from mdrbench.core.console import print_json, say


def run(
    recipes: Recipes,
    data: Data = "miracl",
    langs: Langs = "all",
    split: Split = "dev",
    final: Final = False,
    changes: Set = None,
    results: Results = Path("results"),
    cache: Cache = None,
    executor: Executor = "local",
    workers: Workers = None,
    queue: Queue = None,
    keep_embeddings: KeepEmbeddings = "yes",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run recipes and write their results.

    Steps that are already in the cache are not computed again. Data and models that are missing are downloaded first.

    Example: mdrbench run bm25 me5-small --data sample --langs fi,sw
    """
    from mdrbench.commands.run import plan_all, run_plans

    store = open_store(cache)
    plans = plan_all(recipes, data, langs, split, changes or [], store, fetch=True, quiet=quiet, final=final)
    chosen = chosen_executor(executor, workers, queue)
    written, error = run_plans(plans, store, results, recorded_command(), quiet, chosen, keep_embeddings == "yes")
    if as_json:
        print_json([result.model_dump(mode="json", exclude_none=True) for _, result in written])
    else:
        from mdrbench.cli import tables, tables_negatives

        console = tables.console()
        for _, result in written:
            tables.print_result(console, result)
            tables_negatives.print_trust(
                console, {lang: row.negatives for lang, row in result.languages.items() if row.negatives}
            )
            tables.print_costs(console, result)
        if len(written) > 1:
            tables.print_several(console, [result for _, result in written])
        for path, _ in written:
            console.print(f"written: {path}", highlight=False, soft_wrap=True)
    if error:
        raise error


def plan(
    recipes: Recipes,
    data: Data = "miracl",
    langs: Langs = "all",
    split: Split = "dev",
    changes: Set = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Show the steps of a run and their costs; run nothing.

    Each step is shown with its key, its size (~ marks an estimate) and whether the cache has it (hit) or not (miss).
    A step that will be made has its time, memory and GPU memory, and where the rate behind the time is from.
    A search structure that does not fit into memory and a disk that is too small are named with their figures.

    Example: mdrbench plan bm25 --data sample --langs sw
    """
    from mdrbench.cli import tables
    from mdrbench.commands.run import plan_all, shortages_of
    from mdrbench.pipeline.costs import Costs

    store = open_store(cache)
    plans = plan_all(recipes, data, langs, split, changes or [], store)
    costs = Costs((step for plan in plans for step in plan.steps()), store)
    rows = [row for plan in plans for row in tables.plan_rows(plan, store, costs)]
    if as_json:
        print_json(rows)
    else:
        tables.print_plan(tables.console(), rows)
    for shortage in shortages_of(plans, store):
        say(f"note: {shortage.error}")
