"""``mdrbench mteb``, ``export-mteb`` and ``import-mteb``: to mteb and back. Imports typer alone at top level."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mdrbench.core.console import print_json

app = typer.Typer()

MEASURES = ("ndcg_at_10", "recall_at_100", "mrr_at_10", "map_at_100")
"""The columns of the table, by mteb's names."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command()
def mteb(
    recipe: Annotated[str, typer.Argument(help="A dense recipe (see `list`) or YAML file.", show_default=False)],
    tasks: Annotated[Optional[str], typer.Option(help="mteb's tasks: MIRACLRetrieval,...; from the hub.")] = None,
    data: Annotated[Optional[str], typer.Option(help="Instead: `miracl`, `sample`, or a folder as a task.")] = None,
    langs: Annotated[Optional[str], typer.Option(help="Codes, or all (the 16) [default: all that is there].")] = None,
    split: Annotated[Optional[str], typer.Option(help="Topics to evaluate on [default: dev; the task's own].")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results in mteb's layout.")] = Path("mteb"),
    changes: Annotated[
        Optional[list[str]], typer.Option("--set", help="Change a key: --set retriever.encoder.precision=fp32.")
    ] = None,
    cache: Annotated[
        Optional[Path], typer.Option("--cache", help="Artifact store, for remembered file hashes.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let mteb evaluate a recipe's encoder, on its own tasks or on a folder."""
    import json

    from mdrbench.commands.mteb import bridge as mteb_bridge
    from mdrbench.commands.mteb import tasks as mteb_tasks
    from mdrbench.core.errors import UsageError
    from mdrbench.core.store import Store, default_root

    if bool(tasks) == bool(data):
        raise UsageError("give --tasks or --data, one of the two", mend="--tasks MIRACLRetrieval, or --data FOLDER")
    with _progress(quiet) as progress:
        encoder = mteb_bridge.load_encoder(recipe, changes or [], progress)
        chosen = mteb_tasks.tasks_for(tasks, data, langs, split, Store(cache or default_root()))
        paths = [mteb_bridge.evaluate(encoder, task, out) for task in chosen]
    found = {path: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    if as_json:
        print_json(list(found.values()))
        return
    for path, result in found.items():
        _print(encoder.mteb_model_meta.name, path, result)


@contextmanager
def _progress(quiet: bool):
    """A bar for the documents of each corpus on a terminal."""
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


def _print(model: str, path: Path, result: dict) -> None:
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


@app.command("export-mteb")
def export_mteb(
    results: Annotated[list[Path], typer.Argument(help="Result files of `run`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for results in mteb's layout.")] = Path("mteb"),
    as_json: AsJson = False,
) -> None:
    """Write measured results in mteb's layout."""
    from mdrbench.commands.mteb import results as mteb_results

    written = mteb_results.export(results, out)
    if as_json:
        print_json([str(path) for path in written])
    else:
        for path in written:
            print(f"written: {path}")


@app.command("import-mteb")
def import_mteb(
    paths: Annotated[list[Path], typer.Argument(help="mteb's result files, or folders of them.", show_default=False)],
    results: Annotated[Path, typer.Option("--results", help="Folder of result files.")] = Path("results"),
    model: Annotated[Optional[str], typer.Option(help="ORG/NAME, for files that do not say whose they are.")] = None,
    as_json: AsJson = False,
) -> None:
    """Carry mteb's results of MIRACL's tasks into results/published/mteb."""
    from mdrbench.commands.mteb import results as mteb_results

    written, others = mteb_results.import_results(paths, results, model)
    if as_json:
        print_json({"written": [str(path) for path in written], "passed_over": others})
        return
    for path in written:
        print(f"written: {path}")
    if others:
        named = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        print(f"passed over: {len(others)} other tasks ({named})")
