"""Tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from mdrbench.core import devices
from mdrbench.core.store import Store
from mdrbench.evaluation import inference
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.pipeline.costs import Cost, Costs
from mdrbench.pipeline.plan import RecipePlan
from mdrbench.results import Cell, Result
from mdrbench.results.comparison import Comparison
from mdrbench.results.training_check import TrainingCheck


def console() -> Console:
    """Return a console on standard output; it is 200 columns wide if the output is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def new_table(title: str, first: str, columns: Iterable[str], left: Iterable[str] = ()) -> Table:
    """Return an empty table whose columns are right-aligned, except those named in ``left``."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    return table


def _interval(cell: Cell) -> str:
    """Return an interval such as ``.766-.841``, or an empty string if the cell has none."""
    return "" if cell.low is None else f"{cell.low:.3f}-{cell.high:.3f}".replace("0.", ".")


def print_result(out: Console, result: Result) -> None:
    """Print a result: a row per language, a column per measure, an interval for the first measure."""
    names = result.evaluated.measures
    title = f"{result.system.name} on {result.dataset} ({result.split})"
    if result.system.overrides:
        title += f" --set {' '.join(result.system.overrides)}"
    percent = f"{result.evaluated.confidence:.0%}" if result.evaluated.confidence else ""
    table = new_table(title, "", ["topics", names[0], f"{percent} interval", *names[1:]])

    def add(label: str, topics: str, scores: dict[str, Cell]) -> None:
        cells = [f"{scores[name].value:.4f}" for name in names]
        table.add_row(label, topics, cells[0], _interval(scores[names[0]]), *cells[1:])

    for lang in result.language_codes():
        entry = result.languages[lang]
        add(lang, str(entry.dataset.judged_topics) if entry.dataset else "", entry.scores)
    for average in result.averages:
        table.add_section()
        add(f"avg of {len(average.languages)}", "", average.scores)
    out.print(table)
    for line in flaws(result):
        out.print(line, highlight=False, soft_wrap=True)


def flaws(result: Result) -> list[str]:
    """List what was tolerated in the data, and judged topics without a hit: one line a flaw, counted by language."""
    found: dict[str, list[str]] = {}
    for lang in result.language_codes():
        entry = result.languages[lang]
        counts = dict(entry.dataset.warnings) if entry.dataset else {}
        if without_hits := (entry.conventions or {}).get("judged_topics_without_hits"):
            counts["judged topic without a hit, scores 0"] = without_hits
        for flaw, times in counts.items():
            found.setdefault(flaw, []).append(f"{lang} {times:,}")
    return [f"note: {flaw}: {', '.join(counts)}" for flaw, counts in found.items()]


def print_costs(out: Console, result: Result) -> None:
    """Print the cost of each stage, summed over languages. Cached steps keep the cost of their computation.

    A step that all languages share, such as training, counts once.
    """
    table = new_table("cost", "stage", ["steps", "seconds", "slowest", "peak memory"])
    stages = dict.fromkeys(stage for entry in result.languages.values() for stage in entry.steps)
    for stage in stages:
        shared = {entry.steps[stage].key: lang for lang, entry in result.languages.items() if stage in entry.steps}
        steps = {lang: result.languages[lang].steps[stage] for lang in shared.values()}
        slowest = max(steps, key=lambda lang: steps[lang].seconds)
        seconds = sum(step.seconds for step in steps.values())
        peak = human_bytes(max(step.peak_bytes for step in steps.values()))
        table.add_row(stage, str(len(steps)), f"{seconds:.1f}", f"{slowest} {steps[slowest].seconds:.1f}", peak)
    out.print(table)


def print_several(out: Console, several: list[Result]) -> None:
    """Print several results: a row per language, a column per system, for the first measure."""
    first = several[0]
    measure = first.evaluated.measures[0]
    table = new_table(f"{measure} on {first.dataset} ({first.split})", "", [r.system.name for r in several])
    languages = {lang: None for result in several for lang in result.language_codes()}
    for lang in languages:
        entries = [result.languages.get(lang) for result in several]
        table.add_row(lang, *(f"{e.scores[measure].value:.4f}" if e and measure in e.scores else "-" for e in entries))
    table.add_section()
    for label in {average.label: None for result in several for average in result.averages}:
        cells = [next((a.scores.get(measure) for a in r.averages if a.label == label), None) for r in several]
        table.add_row(label, *(f"{c.value:.4f}" if c else "-" for c in cells))
    out.print(table)


def plan_rows(plan: RecipePlan, store: Store, costs: Costs) -> list[dict[str, Any]]:
    """Return the steps of a plan for ``--json``; the state is ``hit``, ``miss`` or ``not needed``.

    A step that will be made has its estimated cost: ``seconds`` (null if no rate is known), ``memory_bytes``,
    ``gpu_bytes`` and ``rate_from`` (:mod:`mdrbench.pipeline.costs`).
    """
    from mdrbench.pipeline.runner import needed

    by_ref = {step.ref: step for step in plan.steps()}
    to_make, _ = needed(plan.wanted(), by_ref, store)
    making = {step.ref for step in to_make}
    rows = []
    for step in plan.steps():
        artifact = store.find(*step.ref)
        state = "hit" if artifact else "miss" if step.ref in making else "not needed"
        size = artifact.bytes if artifact else step.size
        cost = costs.of(step) if state == "miss" else None
        rows.append(
            {
                "recipe": plan.recipe.name,
                "scope": step.scope,
                "stage": step.stage,
                "key": step.key,
                "state": state,
                "bytes": size,
                "estimated": artifact is None,
                "device": next(filter(None, (member.device for member in step.members.values())), None),
                **(_cost_row(cost) if cost else {}),
            }
        )
    return rows


def _cost_row(cost: Cost) -> dict[str, Any]:
    seconds = None if cost.seconds is None else round(cost.seconds, 1)
    memory = {"memory_bytes": cost.memory, "gpu_bytes": cost.gpu}
    return {"work": round(cost.amount), "unit": cost.unit, "seconds": seconds, **memory, "rate_from": cost.origin}


def print_plan(out: Console, rows: list[dict[str, Any]]) -> None:
    """Print the steps of a plan with key, state, size and estimated cost, and the sums of what will be made."""
    named = ("scope", "stage", "key", "state")
    columns = [*named, "size", "time", "memory", "GPU", "rate"]
    table = new_table("", "recipe", columns, left=(*named, "rate"))
    for row in rows:
        size = ("~" if row["estimated"] else "") + human_bytes(row["bytes"])
        style = {"hit": "green", "miss": "yellow"}.get(row["state"], "dim")
        state = f"[{style}]{row['state']}[/]"
        cost = [""] * 4
        if row["state"] == "miss":
            memory, gpu = (human_bytes(row[name]) if row[name] else "" for name in ("memory_bytes", "gpu_bytes"))
            cost = [_duration(row["seconds"]), memory, gpu, row["rate_from"] or "unknown"]
        table.add_row(row["recipe"], row["scope"], row["stage"], row["key"][:12], state, size, *cost)
    out.print(table)
    missing = list({row["key"]: row for row in rows if row["state"] == "miss"}.values())
    if not missing:
        out.print(f"0 of {len(rows)} steps to run")
        return
    total = human_bytes(sum(row["bytes"] for row in missing))
    seconds = sum(row["seconds"] or 0 for row in missing)
    peak = human_bytes(max(row["memory_bytes"] for row in missing))
    on_gpu = max(row["gpu_bytes"] or 0 for row in missing)
    out.print(
        f"{len(missing)} of {len(rows)} steps to run, one after the other in about {_duration(seconds)}; "
        f"about {total} of artifacts; {peak} of memory{f', {human_bytes(on_gpu)} on a GPU' if on_gpu else ''} at most"
    )
    if unknown := sorted({row["stage"] for row in missing if row["seconds"] is None}):
        out.print(f"not in the time, since no rate is known yet: {', '.join(unknown)}")
    origins = {row["rate_from"] for row in missing}
    texts = {
        "here": "here: rates of finished artifacts in this cache, made on this machine",
        "table": "table: rates measured on two cores of another machine (docs/scale.md)",
        "computed": "computed: the operations of the model's layers by the speed of this device (docs/scale.md)",
    }
    for origin in texts.keys() & origins:
        out.print(texts[origin])
    if any(row["device"] for row in missing):
        out.print(f"models run on {devices.found().text}", highlight=False)


def _duration(seconds: float | None) -> str:
    """Return a time for a table: ``45 s``, ``12 min``, ``3.5 h``; ``?`` if it is unknown."""
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "<1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def powers(compared: Comparison) -> list[str]:
    """Say which difference of the averages these topics and seeds find, and how many seeds would find the one seen."""
    mean, share = compared.average, f"{PROTOCOL.power:.0%}"
    lines = [
        f"finds: the smallest difference that these topics and seeds find in {share} of repetitions; in a language at "
        f"{PROTOCOL.level:g} / {len(compared.languages)}, the strictest level of Holm's correction over the languages",
        f"average: finds {mean.detectable():.4f}; seen {abs(mean.value):.4f}",
    ]
    if mean.seeds > 1:
        needed = mean.seeds_needed()
        found = f"{needed} seeds find it" if needed else "no number of seeds finds it: more topics are needed"
        lines.append(f"a difference of {abs(mean.value):.4f} on these topics: {found} in {share} of repetitions")
    return lines


def print_comparison(out: Console, compared: Comparison, *, power: bool = False) -> None:
    """Print the tests of each language and the topics that moved most; with ``power`` what could have been found."""
    columns = ["topics", compared.a, compared.b, "diff", "95% interval", "W/T/L", "p", "corrected"]
    table = new_table(f"{compared.measure}: {compared.a} against {compared.b}", "", columns + ["finds"] * power)
    for row in compared.languages:
        t = row.test
        table.add_row(
            f"{row.lang}{row.mark}", str(t.topics), f"{t.mean_a:.4f}", f"{t.mean_b:.4f}",
            f"{t.difference:+.4f}", f"{t.low:+.4f}, {t.high:+.4f}", f"{t.wins}/{t.ties}/{t.losses}",
            f"{t.p:.4f}", f"{row.p_corrected:.4f}", *[f"{t.detectable:.4f}"] * power,
        )  # fmt: skip
    out.print(table)
    mean = compared.average
    spread = "" if mean.seeds_spread is None else f", sd of the paired seeds' differences {mean.seeds_spread:.4f}"
    out.print(
        f"{compared.average_label}: {mean.value:+.4f}{compared.average_mark} "
        f"[{mean.low:+.4f}, {mean.high:+.4f}], p {mean.p:.4f}, corrected {compared.average_p:.4f}{spread}",
        highlight=False,
    )
    out.print(
        f"{compared.counted}\n{inference.STAR} corrected p < {PROTOCOL.level:g}; {inference.DAGGER} the same, but in "
        f"topics alone. {inference.TESTS[compared.test]}; {inference.CORRECTIONS[compared.correction]} over "
        f"{compared.family}",
        highlight=False,
    )
    if power:
        for line in powers(compared):
            out.print(line, highlight=False)
    if compared.only_in_one:
        out.print(f"left out, because only one of the two has them: {', '.join(compared.only_in_one)}")
    if compared.moved:
        moved = new_table(
            "topics that moved most", "", ["topic", compared.a, compared.b, "query"], left=("topic", "query")
        )
        for m in compared.moved:
            moved.add_row(m.lang, m.qid, f"{m.a:.4f}", f"{m.b:.4f}", m.query)
        out.print(moved)


def print_training_check(out: Console, checked: TrainingCheck) -> None:
    """Print a training beside the spread of the reference trainings."""
    title = f"{checked.measure}: one training against {checked.seeds} reference trainings"
    table = new_table(title, "", ["score", "mean", "one more seed", "p corrected", ""], left=("",))
    for row in checked.scores:
        ends = f"{row.low:.4f}, {row.high:.4f}"
        said = "within" if row.within else "outside"
        table.add_row(row.place, f"{row.value:.4f}", f"{row.mean:.4f}", ends, f"{row.p_corrected:.4f}", said)
    out.print(table)
    expected = " to ".join(str(steps) for steps in dict.fromkeys((*checked.expected[:1], *checked.expected[-1:])))
    out.print(f"steps: {checked.steps if checked.steps is not None else 'not recorded'}; reference: {expected}")
    out.print(
        "passed: as one more seed of the reference" if checked.passed else "FAILED: not as the reference trainings"
    )


def human_bytes(count: float) -> str:
    """Return a size in decimal units, such as ``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
