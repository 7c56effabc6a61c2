"""Tables of ``mdrbench audit`` and ``pool-to-full`` for the terminal."""

from __future__ import annotations

from statistics import fmean

from rich.table import Table
from rich.text import Text

from mdrbench.cli.tables import console, new_table
from mdrbench.core.languages import ALL
from mdrbench.results.audit.findings import Finding, three
from mdrbench.results.audit.rules import RULES
from mdrbench.results.pool_to_full import Calibration, Predictions

STYLES = {"error": "bold red", "not comparable": "yellow", "disagreement": "yellow", "note": "dim"}


def print_summary(findings: list[Finding]) -> None:
    """Print how many findings each rule has."""
    table = new_table(
        "Published figures, audited", "rule", ["kind", "findings", "what it finds"], ("kind", "what it finds")
    )
    for rule, text in RULES.items():
        members = [finding for finding in findings if finding.rule == rule]
        if members:
            kind = members[0].kind
            table.add_row(rule, Text(kind, STYLES[kind]), str(len(members)), text)
    console().print(table)
    console().print(f"{len(findings)} findings. Show some of them with --kind, --rule or --system.", highlight=False)


def print_findings(findings: list[Finding]) -> None:
    """Print each finding with its figures, their sources and the reason."""
    if not findings:
        console().print("no findings")
        return
    table: Table = new_table("", "system", ["collection", "language", "figures", "kind", "reason"],
                             ("collection", "language", "figures", "kind", "reason"))  # fmt: skip
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"
    for finding in findings:
        figures = "\n".join(f"{three(figure.value)} {figure.source}" for figure in finding.figures[:4])
        more = len(finding.figures) - 4
        table.add_row(
            finding.system,
            finding.collection,
            finding.language,
            figures + (f"\nand {more} more" if more > 0 else ""),
            Text(finding.kind, STYLES[finding.kind]),
            f"{finding.reason} ({finding.rule})",
        )
    console().print(table)


def print_calibration(calibration: Calibration) -> None:
    """Print the line of each language, its range and how well it predicts models that were left out."""
    title = f"{calibration.measure}: {calibration.full} from {calibration.pool}"
    columns = ["models", "slope", "intercept", "from", "to", "left out", "error", "bias", "in interval"]
    table = new_table(title, "", columns)
    for lang, line in calibration.lines.items():
        check = calibration.validation[lang]
        table.add_row(
            lang, str(line.models), f"{line.slope:.3f}", f"{line.intercept:+.3f}", three(line.low), three(line.high),
            str(check.points), f"{check.error:.4f}", f"{check.bias:+.4f}", f"{check.coverage:.0%}",
        )  # fmt: skip
    check = calibration.validation["all"]
    table.add_section()
    table.add_row("all", "", "", "", "", "", str(check.points), f"{check.error:.4f}", f"{check.bias:+.4f}",
                  f"{check.coverage:.0%}")  # fmt: skip
    console().print(table)


def print_predictions(predicted: Predictions, pools: dict[str, float]) -> None:
    """Print predicted full-corpus figures with their intervals, and the languages that were refused."""
    table = new_table("predicted on the full corpus, not measured", "", ["pool", "full", "95% interval"])
    rows = {**predicted.languages, **({"avg of 16": predicted.average} if predicted.average else {})}
    for name, prediction in rows.items():
        pool = three(pools[name]) if name in pools else three(fmean(pools[lang] for lang in ALL))
        table.add_row(name, pool, three(prediction.value), f"{three(prediction.low)}-{three(prediction.high)}")
    console().print(table)
    for reason in predicted.refused.values():
        console().print(f"refused: {reason}", highlight=False, soft_wrap=True)
