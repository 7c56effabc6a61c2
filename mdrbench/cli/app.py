"""The commands. At top level this imports typer and modules that do no more, so that ``--help`` answers at once."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli import ablation as cli_ablation
from mdrbench.cli import data as cli_data
from mdrbench.cli import generator as cli_generator
from mdrbench.cli import models as cli_models
from mdrbench.cli import mteb as cli_mteb
from mdrbench.cli import negatives as cli_negatives
from mdrbench.cli import site as cli_site
from mdrbench.cli import trust as cli_trust
from mdrbench.cli.options import (
    AsJson,
    Cache,
    Data,
    Langs,
    Quiet,
    Recipes,
    Results,
    Set,
    Split,
    open_store,
    recorded_command,
)
from mdrbench.core.console import print_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A reproducible benchmark and leaderboard harness for multilingual dense retrieval.",
    epilog="Exit codes: 0 fine, 1 a bug, 2 wrong command or recipe, 3 wrong data, 4 machine not ready, "
    "5 a step failed or an artifact is damaged, 6 `check` found a drop or a loss, 130 interrupted.",
)
cache_app = typer.Typer(no_args_is_help=True, help="Look after the artifact store.")
app.add_typer(cache_app, name="cache")
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_models.app, name="models")
app.add_typer(cli_generator.app)
app.add_typer(cli_mteb.app)
app.add_typer(cli_trust.app)
app.command()(cli_ablation.ablate)
app.command()(cli_site.report)
app.command()(cli_site.serve)
app.command()(cli_negatives.mine)
app.command()(cli_negatives.agreement)
app.add_typer(cli_negatives.app, name="negatives")


def _plans(names: list[str], data: str, langs: str, split: str, changes: list[str] | None, store, **options) -> list:
    from mdrbench.commands.run import plan_all

    return plan_all(names, data, langs, split, changes or [], store, **options)


@app.command()
def run(
    recipes: Recipes,
    data: Data = "miracl",
    langs: Langs = "all",
    split: Split = "dev",
    changes: Set = None,
    results: Results = Path("results"),
    cache: Cache = None,
    executor: Annotated[str, typer.Option(help="Where steps run: local, or ray (needs mdrbench[ray]).")] = "local",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run recipes and record their results; whatever was computed before is not computed again."""
    from mdrbench.commands.run import run_plans

    store = open_store(cache)
    plans = _plans(recipes, data, langs, split, changes, store, fetch=True, quiet=quiet)
    command = recorded_command()
    found, error = run_plans(plans, store, results, command, quiet, executor)
    if as_json:
        print_json([result.model_dump(mode="json", exclude_none=True) for _, result in found])
    else:
        from mdrbench.cli import tables

        console = tables.console()
        for _, result in found:
            tables.print_result(console, result)
            tables.print_costs(console, result)
        if len(found) > 1:
            tables.print_several(console, [result for _, result in found])
        for path, _ in found:
            console.print(f"written: {path}", highlight=False, soft_wrap=True)
    if error:
        raise error


@app.command()
def plan(
    recipes: Recipes,
    data: Data = "miracl",
    langs: Langs = "all",
    split: Split = "dev",
    changes: Set = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Print the steps of a run with their keys, hit or miss, and sizes; nothing is run."""
    from mdrbench.cli import tables

    store = open_store(cache)
    rows = [
        row for plan in _plans(recipes, data, langs, split, changes, store) for row in tables.plan_rows(plan, store)
    ]
    if as_json:
        print_json(rows)
    else:
        tables.print_plan(tables.console(), rows)


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="recipes, results, or a family such as retrievers, mining, judges.")
    ] = "recipes",
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """List recipes, recorded results, or the members of a family."""
    from mdrbench.core import registry

    if what == "recipes":
        from mdrbench.recipe.yaml_files import read_yaml

        rows = {name: read_yaml(path)[0].get("summary", "") for name, path in registry.recipe_files().items()}
    elif what == "results":
        from mdrbench.results import files, read

        found = {str(path.relative_to(results).with_suffix("")): read(path) for path in files(results)}
        rows = {key: f"{len(r.languages)} languages, {r.split}: {r.system.summary}" for key, r in found.items()}
    else:
        rows = registry.members(what)
    if as_json:
        print_json(rows)
        return
    width = max(map(len, rows), default=0)
    for name, summary in rows.items():
        print(f"{name:<{width}}  {summary}")


@app.command()
def show(
    recipe: Annotated[str, typer.Argument(help="A recipe.")], changes: Set = None, as_json: AsJson = False
) -> None:
    """Print a recipe with every default filled in."""
    from mdrbench.recipe import load

    found = load(recipe, changes)
    resolved = found.model_dump(mode="json", exclude_none=True)
    if as_json:
        print_json({**resolved, "digest": found.digest})
    else:
        import yaml

        print(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120), end="")
        print(f"# digest {found.digest}")


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A result: a path, DATASET/RECIPE, or a name that is unique.")],
    b: Annotated[str, typer.Argument(help="The result to compare it with.")],
    measure: Annotated[str, typer.Option(help="The measure to compare.")] = "nDCG@10",
    top: Annotated[int, typer.Option(min=0, help="How many of the topics that moved most to list.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the randomisation test.")] = 42,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Paired tests of two results per language, Holm-corrected, and the topics that moved most."""
    import dataclasses

    from mdrbench import results as store
    from mdrbench.cli import tables
    from mdrbench.results import comparison

    path_a, path_b = store.find(results, a), store.find(results, b)
    found = comparison.compare(path_a, path_b, measure, top=top, seed=seed)
    if as_json:
        rows = dataclasses.asdict(found)
        for row in rows["languages"]:
            row["test"] = row["test"]._asdict()
        print_json({**rows, "average": found.average._asdict()})
    else:
        tables.print_comparison(tables.console(), found)


@app.command()
def doctor(cache: Cache = None, as_json: AsJson = False) -> None:
    """Check this machine: Python, packages, Java and Lucene, GPU, disk, cache, hub; exit code 4 if a check fails."""
    from mdrbench.commands import doctor as checks
    from mdrbench.core.store import default_root

    found = checks.run(cache or default_root())
    if as_json:
        print_json([check._asdict() for check in found])
    else:
        for check in found:
            print(f"{check.status:<4}  {check.name:<9} {check.found}")
            if check.mend:
                print(f"{'':<16}mend: {check.mend}")
    if any(check.status == "fail" for check in found):
        raise typer.Exit(4)


@app.command()
def schema(what: Annotated[str, typer.Argument(help="Of what: result or ablation.")] = "result") -> None:
    """Print the JSON Schema of result files, or of stored ablations."""
    from mdrbench import results
    from mdrbench.core.errors import UsageError, did_you_mean
    from mdrbench.results import ablations as ablation_results

    known = {"result": results, "ablation": ablation_results}
    if what not in known:
        raise UsageError(f"no schema of '{what}'", mend=did_you_mean(what, list(known)))
    print_json(known[what].json_schema())


@app.command("import-published")
def import_published(
    figures: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV: source,table,...,value.")],
    results: Results = Path("results"),
) -> None:
    """Carry published figures (one a row, with source and table) into results/published."""
    from mdrbench.results import published

    rows = published.read_csv(figures)
    print(f"{len(rows)} figures in {len(published.write(rows, results))} files under {results / 'published'}")


@cache_app.command("ls")
def cache_ls(cache: Cache = None, as_json: AsJson = False) -> None:
    """List artifacts with size and last use."""
    from mdrbench.pipeline.cache_admin import rows

    found = rows(open_store(cache))
    if as_json:
        print_json(found)
        return
    from mdrbench.cli.tables import human_bytes

    for row in found:
        print(f"{row['key'][:12]}  {row['stage']:<9} {row['scope']:<4} {human_bytes(row['bytes']):>9}  {row['used']}")
    print(f"{len(found)} artifacts, {human_bytes(sum(row['bytes'] for row in found))}")


@cache_app.command("verify")
def cache_verify(cache: Cache = None, as_json: AsJson = False) -> None:
    """Re-hash every artifact; exit code 5 if one is damaged."""
    from mdrbench.pipeline.cache_admin import verify

    problems = verify(open_store(cache))
    if as_json:
        print_json(problems)
    else:
        for row in problems:
            print(f"{row['stage']} {row['key'][:12]}: {row['problem']}")
        print(f"{len(problems)} problems" + ("; mend: `mdrbench cache rm KEY`, then run again" if problems else ""))
    if problems:
        raise typer.Exit(5)


@cache_app.command("gc")
def cache_gc(
    older_than: Annotated[float, typer.Option(min=0, help="Days since an artifact was last used.")] = 30,
    max_size: Annotated[
        Optional[str], typer.Option(help="Keep the most recently used up to this size, e.g. 20GB.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
    cache: Cache = None,
) -> None:
    """Delete artifacts not used for a while and what killed runs left; those in use stay."""
    from mdrbench.pipeline.cache_admin import collect

    print(collect(open_store(cache), older_than, max_size, dry_run))


@cache_app.command("rm")
def cache_rm(
    keys: Annotated[list[str], typer.Argument(help="Keys (or their beginnings), or stage names.")], cache: Cache = None
) -> None:
    """Delete artifacts by key or stage."""
    from mdrbench.pipeline.cache_admin import remove

    print(remove(open_store(cache), keys))


def main() -> None:
    """Entry point: user errors end with their exit code and no traceback."""
    from mdrbench.core.errors import MdrbenchError

    try:
        app()
    except MdrbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has gone
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if not error.filename:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(4)
    finally:
        gc.freeze()  # the process ends: to search its memory for garbage would take a second after `report`
