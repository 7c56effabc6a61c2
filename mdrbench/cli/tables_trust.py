"""Tables of ``mdrbench check`` and ``verify`` for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mdrbench.cli.tables import console, new_table
from mdrbench.commands.audit.check_report import Report, score_text
from mdrbench.core.console import shown

if TYPE_CHECKING:
    from mdrbench.commands.audit.equivalence import Changed
    from mdrbench.results.verified import Verified

STYLES = {
    **{"drop": "bold red", "gone": "bold red", "unlike": "red", "rise": "yellow", "drop?": "yellow"},
    **{"failure": "bold red", "warning": "yellow", "notice": "dim"},
}


def print_check(report: Report) -> None:
    """A table for each result, what was found, and one sentence."""
    out = console()
    for name in dict.fromkeys(row.result for row in report.rows):
        rows = [row for row in report.rows if row.result == name]
        names = list(dict.fromkeys(row.measure for row in rows))
        table = new_table(f"{name} against {report.against}", "", names)
        for lang in dict.fromkeys(row.lang for row in rows):
            by_measure = {row.measure: row for row in rows if row.lang == lang}
            cells = [by_measure.get(measure) for measure in names]
            table.add_row(lang, *(Text(score_text(c), STYLES.get(c.verdict, "")) if c else Text() for c in cells))
        out.print(table)
    for found in report.findings:
        place = " ".join(part for part in (found.result, found.lang, found.measure) if part)
        out.print(Text(f"{found.severity}: ", STYLES[found.severity]), end="", soft_wrap=True)
        out.print(Text(f"{place}: {found.message}"), soft_wrap=True)
        if found.mend:
            out.print(Text(f"  mend: {found.mend}"), soft_wrap=True)
    out.print(Text(report.summary()), soft_wrap=True)


def print_changed(names: list[str], rows: list[Changed], allowed: float) -> None:
    """A line for each language, and one sentence."""
    out = console()
    headings = ["topics", "other hits", "other order", "other nDCG@10", names[0], names[1], "largest change"]
    table = new_table(f"{names[1]} against {names[0]}: topics whose first 10 hits change", "", headings)
    for row in rows:
        style = "bold red" if row.moved > allowed else ""
        cells = [row.topics, row.hits, row.order, row.scores]
        means = [f"{row.reference:.4f}", f"{row.other:.4f}", f"{row.largest:.4f}"]
        table.add_row(row.lang, *map(str, cells), *means, style=style)
    out.print(table)
    topics, changed = sum(row.topics for row in rows), sum(row.hits + row.order for row in rows)
    far = [row.lang for row in rows if row.moved > allowed]
    moved = f"moved by more than {allowed:g} in {', '.join(far)}" if far else f"moved by at most {allowed:g}"
    out.print(Text(f"{changed} of {topics} topics change; mean nDCG@10 {moved}."), soft_wrap=True)


def print_verified(found: list[Verified]) -> None:
    """Each file with what was checked, the problems, and what was not checked."""
    out = console()
    for one in found:
        scores = f"{'the runs' if one.rescored else 'the topic-level scores'} of {one.topics} topics"
        source = scores if one.topics else "the results of its variants"
        n = len(one.problems)
        verdict = f"{n} problem{'s' * (n != 1)}" if n else "fine"
        told = f"{one.cells} numbers derived again from {source}"
        out.print(Text(f"{shown(one.path)}: "), Text(verdict, "bold red" if n else "green"), Text(f", {told}"), sep="",
                  soft_wrap=True)  # fmt: skip
        for problem in one.problems:
            out.print(Text(f"  {problem}"), soft_wrap=True)
            if problem.mend:
                out.print(Text(f"    mend: {problem.mend}"), soft_wrap=True)
        for text in one.unchecked:
            out.print(Text(f"  not checked: {text}", "yellow"), soft_wrap=True)
