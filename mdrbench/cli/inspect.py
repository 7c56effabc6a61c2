"""The commands that look and change nothing: ``list``, ``show``, ``compare``, ``doctor``, ``schema``.

Imports typer alone at top level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdrbench.cli.options import AsJson, Cache, Results, Set, complete_recipe
from mdrbench.core.console import print_json
from mdrbench.evaluation.statistics import PROTOCOL


def list_(
    what: Annotated[
        str, typer.Argument(help="`recipes`, `results`, or a family such as retrievers, mining or judges.")
    ] = "recipes",
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """List recipes, results, or a family's members.

    The members of a family are listed with the place that their code comes from.

    Example: mdrbench list judges
    """
    from mdrbench.core import registry

    if what == "recipes":
        from mdrbench.recipe.yaml_files import read_yaml

        rows = {name: str(read_yaml(path)[0].get("summary", "")) for name, path in registry.recipe_files().items()}
    elif what == "results":
        from mdrbench.results import files, read

        read_results = {str(path.relative_to(results).with_suffix("")): read(path) for path in files(results)}
        rows = {key: f"{len(r.languages)} languages, {r.split}: {r.system.summary}" for key, r in read_results.items()}
    else:
        members = registry.members(what)
        if as_json:
            print_json({name: {"summary": each.summary, "from": each.origin} for name, each in members.items()})
            return
        width = max((len(each.origin) for each in members.values()), default=0)
        rows = {name: f"{each.origin:<{width}}  {each.summary}" for name, each in members.items()}
    if as_json:
        print_json(rows)
        return
    width = max(map(len, rows), default=0)
    for name, summary in rows.items():
        print(f"{name:<{width}}  {summary}")


def show(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe's name or YAML file, or FAMILY/MEMBER.", autocompletion=complete_recipe),
    ],
    changes: Set = None,
    as_json: AsJson = False,
) -> None:
    """Print a whole recipe, or the settings of a member.

    Example: mdrbench show bm25 --set search.depth=1000

    Example: mdrbench show judges/llm
    """
    from mdrbench.core.registry import FAMILIES
    from mdrbench.recipe import load

    family, _, member = recipe.partition("/")
    if family in FAMILIES and member:
        _show_member(family, member, as_json)
        return
    loaded = load(recipe, changes)
    resolved = loaded.model_dump(mode="json", exclude_none=True)
    if as_json:
        print_json({**resolved, "digest": loaded.digest})
    else:
        import yaml

        print(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120), end="")
        print(f"# digest {loaded.digest}")


def _show_member(family: str, name: str, as_json: bool) -> None:
    """Print the settings of a member: default, meaning, and whether it is part of the keys."""
    from mdrbench.core import members

    summary, rows = members.described(family, name)
    if as_json:
        print_json({"member": f"{family}/{name}", "summary": summary, "settings": rows})
        return
    from rich.text import Text

    from mdrbench.cli import tables

    out = tables.console()
    out.print(Text(f"{family}/{name}: {summary}"))
    columns = ["default", "in the key", "meaning"]
    table = tables.new_table("", "setting", columns, left=columns)
    for row in rows:
        table.add_row(row["setting"], Text(row["default"]), "yes" if row["keyed"] else "no", Text(row["meaning"]))
    out.print(table)


def compare(
    a: Annotated[str, typer.Argument(help="A result: a path, DATASET/RECIPE, or a unique name.")],
    b: Annotated[str, typer.Argument(help="The result to compare it with.")],
    measure: Annotated[str, typer.Option(help="The measure to compare.")] = "nDCG@10",
    top: Annotated[int, typer.Option(min=0, help="How many of the topics that moved most are listed.")] = 10,
    test: Annotated[
        str, typer.Option(help="Test of each language: t, randomisation or wilcoxon; the last two count topics alone.")
    ] = PROTOCOL.test,
    correction: Annotated[
        str, typer.Option(help="Correction over the family: holm or benjamini-hochberg.")
    ] = PROTOCOL.correction,
    family: Annotated[
        str, typer.Option(help="Corrected over: leaderboard (all pairs of the systems beside the two) or languages.")
    ] = "leaderboard",
    one_seed: Annotated[
        bool, typer.Option("--one-seed", help="Compare these two results alone, not all seeds that both have.")
    ] = False,
    as_training: Annotated[
        bool,
        typer.Option("--as-training", help="Check A as one more training of B: are score and steps in the spread?"),
    ] = False,
    power: Annotated[bool, typer.Option("--power", help="Say which differences could have been found.")] = False,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Compare two results with paired tests.

    Trained systems are compared over all seeds that both have. Two systems of a leaderboard get its verdict.
    The topics that moved most are listed.

    Example: mdrbench compare sample/bm25 sample/me5-small
    """
    import dataclasses

    from mdrbench import api
    from mdrbench import results as result_files
    from mdrbench.cli import tables

    if as_training:
        _check_training(result_files.find(results, a), result_files.find(results, b), measure, as_json)
        return
    compared = api.compare(
        a, b, measure, results=results, top=top, test=test, correction=correction, one_seed=one_seed, family=family
    )
    if as_json:
        rows = dataclasses.asdict(compared)
        for row, tested in zip(rows["languages"], compared.languages, strict=True):
            row |= {"test": tested.test._asdict(), "significant": tested.significant}
        print_json({**rows, "average": compared.average._asdict(), "detectable": compared.average.detectable()})
    else:
        tables.print_comparison(tables.console(), compared, power=power)


def _check_training(handed_in: Path, reference: Path, measure: str, as_json: bool) -> None:
    import dataclasses

    from mdrbench.cli import tables
    from mdrbench.results import training_check

    checked = training_check.check(handed_in, reference, measure)
    if as_json:
        print_json({**dataclasses.asdict(checked), "passed": checked.passed})
    else:
        tables.print_training_check(tables.console(), checked)
    if not checked.passed:
        raise typer.Exit(6)


def doctor(cache: Cache = None, as_json: AsJson = False) -> None:
    """Check this machine and say how to fix it.

    Checks Python, packages, Java and Lucene, the GPU, disk space, the cache and the hub. Exit code 4 if a check fails.
    """
    from mdrbench.commands import doctor as checks
    from mdrbench.core.store import default_root

    done = checks.run(cache or default_root())
    if as_json:
        print_json([check._asdict() for check in done])
    else:
        for check in done:
            print(f"{check.status:<4}  {check.name:<9} {check.found}")
            if check.mend:
                print(f"{'':<16}mend: {check.mend}")
    if any(check.status == "fail" for check in done):
        raise typer.Exit(4)


def schema(
    what: Annotated[str, typer.Argument(help="Kind of file: `result` or `ablation`.")] = "result",
) -> None:
    """Print the JSON Schema of result or ablation files."""
    from mdrbench import results
    from mdrbench.core.errors import UsageError, did_you_mean
    from mdrbench.results import ablations as ablation_results

    known = {"result": results.json_schema, "ablation": ablation_results.json_schema}
    if what not in known:
        raise UsageError(f"There is no schema '{what}'.", mend=did_you_mean(what, list(known)))
    print_json(known[what]())
