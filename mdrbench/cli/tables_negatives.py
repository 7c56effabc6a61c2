"""Tables about hard negatives for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from mdrbench.cli.tables import human_bytes, new_table
from mdrbench.commands.negatives import Mined, Shown
from mdrbench.pipeline.progress import duration


def statistics(mined: Mined) -> dict[str, dict[str, Any]]:
    """Return language -> counts over all stages.

    ``positives_among_them`` is counted in the finished groups and must be 0.
    """
    rows = {}
    tried, outcomes = mined.tried(), mined.outcomes()
    for lang in mined.languages():
        facts, groups = mined.facts(lang), mined.groups(lang)
        negatives = sum(len(group.negatives) for group in groups)
        generated = sum(negative.source == "generated" for group in groups for negative in group.negatives)
        qrels = mined.qrels(lang)
        zeros = {(group.qid, docid) for group in groups for docid, grade in qrels[group.qid].items() if grade == 0}
        chosen = {(group.qid, negative.docid) for group in groups for negative in group.negatives}
        size = mined.settings.size
        rows[lang] = {
            "queries": len(groups),
            "mined": facts["mine"]["negatives"],
            "eliminated_share": facts["judge"]["eliminated_share"] if "judge" in facts else None,
            "unreadable": facts["judge"]["unreadable"] if "judge" in facts else None,
            "generations_unreadable": facts["generate"]["unreadable"] if "generate" in facts else None,
            "canaries": {**tried[lang], "outcome": outcomes[lang]._asdict()} if lang in tried else None,
            "generated_share": generated / negatives if negatives else 0.0,
            "negatives": negatives,
            "short": sum(len(group.negatives) < size for group in groups),
            "missing": sum(max(0, size - len(group.negatives)) for group in groups),
            "judged_zeros": len(chosen & zeros),
            "judged_zeros_share": len(chosen & zeros) / len(zeros) if zeros else None,
            "positives_among_them": sum(qrels[qid].get(docid, 0) > 0 for qid, docid in chosen),
            "stages": facts,
            "usage": mined.usage(lang),
        }
    return rows


def print_statistics(out: Console, mined: Mined, rows: dict[str, dict[str, Any]]) -> None:
    """Print per language what was mined, eliminated and generated, what is missing, and the overlap with the qrels."""
    columns = ["queries", "mined", "eliminated", "generated", "negatives", "short", "missing", "zeros", "positives"]
    strategy = mined.settings.mining.name
    table = new_table(f"hard negatives of {mined.recipe.name} ({strategy}) on {mined.dataset.name}", "", columns)
    for lang, row in rows.items():
        table.add_row(
            lang, str(row["queries"]), str(row["mined"]), _share(row["eliminated_share"]),
            _share(row["generated_share"]), str(row["negatives"]), str(row["short"]), str(row["missing"]),
            f"{row['judged_zeros']} ({_share(row['judged_zeros_share'])})", str(row["positives_among_them"]),
        )  # fmt: skip
    out.print(table)
    size = mined.settings.size
    out.print(
        f"short: queries with fewer than {size} negatives; missing: how many they lack; zeros: negatives judged 0 "
        "(and their share of all judged 0); positives: negatives judged positive, must be 0", highlight=False,
    )  # fmt: skip
    print_trust(out, {lang: {**row["stages"], "canaries": row["canaries"]} for lang, row in rows.items()})
    seconds = sum(usage["seconds"] for row in rows.values() for usage in row["usage"].values())
    peak = max((usage["peak_bytes"] for row in rows.values() for usage in row["usage"].values()), default=0)
    out.print(f"all steps: {seconds:.1f} s, peak memory {human_bytes(peak)}", highlight=False)


def print_agreement(out: Console, rows: dict[str, dict[str, Any]]) -> None:
    """Print the agreement of the judge with the qrels, per language."""
    ratios = ("precision", "recall", "f1", "accuracy", "kappa")
    table = new_table("judge against qrels", "", ["pairs", "unreadable", *ratios])
    for lang, row in rows.items():
        cells = ["-" if row[name] is None else f"{row[name]:.3f}" for name in ratios]
        table.add_row(lang, str(row["n"]), str(row["unreadable"]), *cells)
    out.print(table)


def print_estimate(out: Console, rows: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print what judge and generator would be asked, per language and step, and in total."""
    names = ("requests", "stored", "input_tokens", "output_tokens")
    columns = ["step", "requests", "stored already", "input tokens", "output tokens", "cost", "time"]
    table = new_table("what judge and generator would take", "", columns, left=("step",))
    every = [row for steps in rows.values() for row in steps.values()]
    for lang, steps in rows.items():
        for stage, row in steps.items():
            most = "at most " if row["at_most"] else ""
            cells = [f"{most}{row['requests']}", *(str(row[name]) for name in names[1:])]
            table.add_row(lang, stage, *cells, _cost(row["cost"]), _time(row))
    table.add_section()
    total = {name: sum(row[name] for row in every) for name in names}
    asking = [row for row in every if row["requests"]]
    costs, seconds = ([row[name] for row in asking] for name in ("cost", "seconds"))
    cost = None if None in costs else sum(costs)
    together = {"requests": total["requests"], "seconds": None if None in seconds else sum(seconds)}
    table.add_row("all", "", *(str(total[name]) for name in names), _cost(cost), _time(together))
    out.print(table)
    if any(row["at_most"] for row in every):
        out.print(
            "at most: which queries are short of negatives is known after judging; repetitions are not included",
            highlight=False,
        )


def _time(row: dict[str, Any]) -> str:
    """The time of some requests, or that nothing was measured yet."""
    if not row["requests"]:
        return "-"
    return "not known yet" if row["seconds"] is None else duration(row["seconds"])


def print_shown(out: Console, shown: Shown) -> None:
    """Print a query with its positives and negatives, a line for each passage."""
    out.print(Text(f"{shown.lang} {shown.qid}: {shown.query}", style="bold"), soft_wrap=True)
    for passage in shown.positives:
        out.print(Text(f"  positive  {passage.docid}  {passage.title}: {passage.text}"), soft_wrap=True)
    columns = ["score", "source", "grade", "judged", "text"]
    table = new_table("", "docid", columns, left=("source", "text"))
    for negative, passage in shown.negatives:
        grade = "-" if negative.grade is None else str(negative.grade)
        text = Text(f"{passage.title}: {passage.text}" if passage.title else passage.text)
        text.truncate(100, overflow="ellipsis")
        table.add_row(
            negative.docid, f"{negative.score:.4f}", negative.source, grade, "0" if negative.judged else "no", text
        )
    out.print(table)


def print_trust(out: Console, languages: dict[str, dict[str, Any]]) -> None:
    """Print how the judge's trial ended, and how many verdicts and generated queries are unreadable.

    Args:
        languages: language -> facts by stage, ``canaries`` with the ``outcome`` if the judge was tried.
    """
    tried = {lang: stages["canaries"]["outcome"] for lang, stages in languages.items() if stages.get("canaries")}
    if tried:
        said = ", ".join(f"{lang} {_outcome(outcome)}" for lang, outcome in tried.items())
        out.print(f"trial of the judge (1 perfect, 0 guessing): {said}", highlight=False)
    for stage, what, total in (("judge", "verdicts", "candidates"), ("generate", "generated queries", "queries")):
        rows = {lang: stages[stage] for lang, stages in languages.items() if stage in stages}
        unreadable = {lang: row["unreadable"] for lang, row in rows.items() if row["unreadable"]}
        if rows:
            each = f" ({', '.join(f'{lang} {n}' for lang, n in unreadable.items())})" if unreadable else ""
            of = sum(row[total] for row in rows.values())
            out.print(f"unreadable {what}: {sum(unreadable.values())} of {of}{each}", highlight=False)

    guessed = [stages["judge"] for stages in languages.values() if "guess" in stages.get("judge", {})]
    if guessed:
        guess, took = ([row[name] for row in guessed] for name in ("guess", "judge"))
        out.print(f"judging: guessed {_asked(guess)}; took {_asked(took)}", highlight=False)


def _asked(rows: list[dict[str, Any]]) -> str:
    """Requests and tokens of several languages together."""
    requests, inputs, outputs = (
        sum(row.get(name, 0) for row in rows) for name in ("requests", "input_tokens", "output_tokens")
    )
    return f"{requests} requests, {inputs} input tokens and {outputs} output tokens"


def _outcome(outcome: dict[str, Any]) -> str:
    if outcome["statistic"] is None:
        return str(outcome["verdict"])
    return f"{outcome['statistic']:.2f}{' below' if outcome['verdict'] == 'below' else ''}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _cost(value: float | None) -> str:
    return "no prices given" if value is None else f"{value:.2f}"
