"""Tables of ``mdrbench ablate`` for the terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from mdrbench.cli.tables import new_table
from mdrbench.evaluation import inference
from mdrbench.evaluation.statistics import PROTOCOL

if TYPE_CHECKING:
    from mdrbench.commands.ablation.running import Ablated
    from mdrbench.results.ablations import Ablation, Effect

ALPHA = PROTOCOL.level
CELL = 9
"""Width of a language's column in characters."""


def print_ablation(out: Console, ablated: Ablated, measure: str) -> None:
    """Print the scores of the complete recipe and the difference of each variant: averages, then languages."""
    ablation = ablated.found
    _print_averages(out, ablation, measure, ablated.failed)
    widest = max(len(variant.label) for variant in ablation.variants) if ablation.variants else 0
    at_once = max(1, (out.width - max(widest, len("complete")) - 1) // CELL)
    for begin in range(0, len(ablation.languages), at_once):
        _print_languages(out, ablation, measure, ablation.languages[begin : begin + at_once])
    out.print(
        f"* p < {ALPHA:g} after {inference.CORRECTIONS[ablation.tested.correction]}. Families: "
        f"{ablation.tested.language_family}; {ablation.tested.average_family}: "
        + ", ".join(f"{name} ({len(labels)})" for name, labels in ablation.families.items()),
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    for counted in dict.fromkeys(variant.paired_seeds for variant in ablation.variants):
        out.print(inference.counted(counted), highlight=False, soft_wrap=True)
    _print_counts(out, ablation)
    for labels in ablation.alike:
        said = f"warning: the same score on every topic: {', '.join(labels)}; one of them may do nothing"
        out.print(Text(said, "bold yellow"), soft_wrap=True)
    for names in (ablation.complete.names, *(variant.names for variant in ablation.variants)):
        if len(names) > 1:
            first, *others = [name.label for name in names]
            out.print(f"{first}: also {'; '.join(others)}", highlight=False, soft_wrap=True)
    for absent in ablation.absent:
        out.print(Text(f"not in this recipe: {absent.label}: {absent.why}", "dim"), soft_wrap=True)
    for label, langs in ablated.failed.items():
        out.print(Text(f"failed: {label} ({', '.join(langs)})", "bold red"), soft_wrap=True)


def _print_averages(out: Console, ablation: Ablation, measure: str, failed: dict[str, list[str]]) -> None:
    title = f"{measure}: {ablation.recipe} and the effect of each part, on {ablation.dataset} ({ablation.split})"
    if ablation.overrides:
        title += f" --set {' '.join(ablation.overrides)}"
    seeds = [f"sd of {ablation.seeds} seeds", "sd of paired differences"] if ablation.seeds > 1 else []
    label = f"avg of {len(ablation.languages)}"
    table = new_table(title, "", [label, "difference", f"{ablation.tested.confidence:.0%} interval", *seeds])

    def spread(cell: Any) -> list[str]:
        spreads = [cell.spread, getattr(cell, "spread_of_difference", None)]
        return ["" if one is None else f"{one:.4f}" for one in spreads] if ablation.seeds > 1 else []

    whole = ablation.complete.average[measure]
    table.add_row("complete", f"{whole.value:.4f}", "", f"{whole.low:.4f}, {whole.high:.4f}", *spread(whole))
    table.add_section()
    for variant in ablation.variants:
        cell = variant.average[measure]
        mark = "*" if cell.starred else " "
        table.add_row(
            variant.label, f"{cell.score:.4f}", f"{cell.difference:+.4f}{mark}",
            f"{cell.low:+.4f}, {cell.high:+.4f}", *spread(cell),
        )  # fmt: skip
    for name in failed:
        table.add_row(name, "failed", "", "", *[""] * len(seeds))
    out.print(table)


def _print_counts(out: Console, ablation: Ablation) -> None:
    """Print what each recipe trains on: effective counts, summed over the languages."""
    columns = ["queries", "mined", "judged", "dropped", "generated", "negatives", "passages a step"]
    table = new_table("what each trains on", "", columns)
    for one in ablation.entries:
        if one.counts is not None:
            table.add_row(ablation.label(one), *(f"{count:,}" for count in one.counts.model_dump().values()))
    if table.row_count:
        out.print(table)


def _print_languages(out: Console, ablation: Ablation, measure: str, langs: list[str]) -> None:
    table = new_table("", "", langs)
    table.add_row("complete", *(f"{ablation.complete.languages[lang][measure].value:.4f} " for lang in langs))
    table.add_section()
    for variant in ablation.variants:
        table.add_row(variant.label, *(_difference(variant.languages[lang][measure]) for lang in langs))
    out.print(table)


def _difference(cell: Effect) -> str:
    return f"{cell.difference:+.4f}{'*' if cell.starred else ' '}"


def print_explained(out: Console, rows: list[dict[str, Any]], absent: dict[str, str]) -> None:
    """Print what each variant changes and which steps it adds. Nothing was run."""
    columns = ["steps", "hit", "shared", "to run", "of these"]
    table = new_table("", "variant", columns, left=("of these",))
    for row in rows:
        states = Counter(step["state"] for step in row["steps"])
        own = Counter(step["stage"] for step in row["steps"] if step["state"] == "miss")
        made = ", ".join(stage if count == 1 else f"{count} {stage}" for stage, count in own.items())
        table.add_row(
            row["variant"], str(len(row["steps"])), str(states["hit"]), str(states["shared"]), str(states["miss"]), made
        )
    out.print(table)
    for row in rows:
        changes = " ".join(f"--set '{item}'" for item in row["overrides"])
        others = f"  (also {'; '.join(row['names'][1:])})" if len(row["names"]) > 1 else ""
        out.print(f"{row['variant']}: {changes or 'unchanged'}{others}", highlight=False, soft_wrap=True)
    for slug, why in absent.items():
        out.print(Text(f"not in this recipe: {slug}: {why}", "dim"), soft_wrap=True)
    total = sum(step["state"] == "miss" for row in rows for step in row["steps"])
    out.print(f"{len(rows)} recipes, {total} steps to run", highlight=False)
