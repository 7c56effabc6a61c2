"""The commands ``mteb``, ``export-mteb`` and ``import-mteb``. Imports typer alone at top level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mdrbench.cli.options import AsJson, Cache, Quiet, Set, complete_recipe, open_store
from mdrbench.core.console import print_json

MEASURES = ("ndcg_at_10", "recall_at_100", "mrr_at_10", "map_at_100")
"""Columns of the printed table, with mteb's names."""


def mteb(
    recipe: Annotated[
        str, typer.Argument(help="A dense recipe: a name or a YAML file.", autocompletion=complete_recipe)
    ],
    tasks: Annotated[
        Optional[str], typer.Option(help="Tasks of mteb, such as MIRACLRetrieval. Their data comes from the hub.")
    ] = None,
    data: Annotated[
        Optional[str], typer.Option(help="In place of --tasks: `miracl`, `sample`, or a folder in MIRACL's layout.")
    ] = None,
    langs: Annotated[
        Optional[str], typer.Option(help="Language codes, or all for the 16 [default: every language of the task].")
    ] = None,
    split: Annotated[
        Optional[str], typer.Option(help="Split [default: the task's own with --tasks, dev with --data].")
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="Allow --split test of --data.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for results in mteb's layout.")] = Path("mteb"),
    changes: Set = None,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate the encoder of a recipe with mteb.

    mteb evaluates it on its own tasks (--tasks) or on a data set of yours (--data).

    Example: mdrbench mteb me5-small --data sample --langs sw
    """
    import json

    from mdrbench.commands.mteb import bridge as mteb_bridge
    from mdrbench.commands.mteb import tasks as mteb_tasks
    from mdrbench.data.access import check_final

    if data:
        check_final(split or "dev", final)
    with _progress(quiet) as progress:
        encoder = mteb_bridge.load_encoder(recipe, changes or [], progress)
        chosen = mteb_tasks.tasks_for(tasks, data, langs, split, open_store(cache))
        paths = [mteb_bridge.evaluate(encoder, task, out) for task in chosen]
    task_results = {path: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    if as_json:
        print_json(list(task_results.values()))
        return
    for path, result in task_results.items():
        _print(encoder.mteb_model_meta.name, path, result)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar for the documents of each corpus, on a terminal only."""
    from tqdm import tqdm

    bar: Any = None

    def report(done: int, total: int) -> None:
        nonlocal bar
        if bar is None or bar.n > done:
            bar = tqdm(total=total, unit=" passages", disable=True if quiet else None, leave=False)
        bar.update(done - bar.n)
        if done == total:
            bar.close()
            bar = None

    yield report
    if bar is not None:
        bar.close()


def _print(model: str, path: Path, result: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    from mdrbench.cli import tables

    console = tables.console()
    for split, entries in result["scores"].items():
        title = f"{model} on {result['task_name']} ({split}), mteb {result['mteb_version']}"
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("")
        for name in MEASURES:
            table.add_column(name, justify="right")
        rows = {entry["hf_subset"]: [entry.get(name) for name in MEASURES] for entry in entries}
        for label, values in rows.items():
            table.add_row(label, *("-" if value is None else f"{value:.4f}" for value in values))
        columns = list(zip(*rows.values(), strict=True))
        table.add_section()
        means = ["-" if None in column else f"{sum(column) / len(column):.4f}" for column in columns]
        table.add_row(f"mean of {len(rows)}", *means)
        console.print(table)
    console.print(f"written: {path}", highlight=False, soft_wrap=True)


def export_mteb(
    results: Annotated[list[Path], typer.Argument(help="Result files of `mdrbench run`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for results in mteb's layout.")] = Path("mteb"),
    as_json: AsJson = False,
) -> None:
    """Write results in mteb's layout.

    Example: mdrbench export-mteb results/sample/bm25.json
    """
    from mdrbench.commands.mteb import results as mteb_results

    written = mteb_results.export(results, out)
    if as_json:
        print_json([str(path) for path in written])
    else:
        for path in written:
            print(f"written: {path}")


def import_mteb(
    paths: Annotated[list[Path], typer.Argument(help="Result files of mteb, or folders of them.", show_default=False)],
    results: Annotated[Path, typer.Option("--results", help="Folder of result files.")] = Path("results"),
    model: Annotated[Optional[str], typer.Option(help="ORG/NAME of the model, for files that do not name it.")] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Write one compact table a task, with facts about the models.")
    ] = False,
    origin: Annotated[
        str, typer.Option(help="With --table: where the files are from (repository, commit, date, licence).")
    ] = "not stated",
    as_json: AsJson = False,
) -> None:
    """Import results of mteb as published figures.

    Reads results of MIRACL's tasks and writes them to results/published/mteb. With --table, many results become one
    table a task; mteb's registry adds what the files do not say about a model (size, licence, training data).
    """
    others: list[str] = []
    if table:
        from mdrbench.commands.mteb import tables

        lookup, registry = tables.registry_lookup()
        written = tables.write_tables(paths, results, origin, lookup, registry, model)
    else:
        from mdrbench.commands.mteb import imported

        written, others = imported.import_results(paths, results, model)
    if as_json:
        print_json({"written": [str(path) for path in written], "passed_over": others})
        return
    for path in written:
        print(f"written: {path}")
    if others:
        named = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        print(f"ignored: {len(others)} other tasks ({named})")
