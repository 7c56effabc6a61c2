"""A leaderboard as CSV, JSON, LaTeX (booktabs) and Markdown; ``table.js`` writes the shown view in the same forms."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from pydantic_core import to_json

from mdrbench.site.model.standings import AVERAGE, Row, Standings


def as_csv(found: Standings) -> str:
    """One row a system, scores in full; text that a spreadsheet would take for a formula gets an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{code}{end}" for code in [AVERAGE, *found.languages] for end in ("", "_low", "_high")]
    writer.writerow(["system", "origin", "source", "family", "average_over", *columns])
    for _, row in _rows(found):
        cells = [row.marks[code].cell if code in row.marks else None for code in [AVERAGE, *found.languages]]
        values = [value for cell in cells for value in ((cell.value, cell.low, cell.high) if cell else (None,) * 3)]
        words = [_inert(w) for w in (row.name, row.origin, row.source, row.traits.family)]
        writer.writerow([*words, len(row.average_languages) or None, *values])
    return text.getvalue()


def as_json(found: Standings) -> str:
    """Everything that the page shows, with ranks and letters, a system a line."""
    rows = [
        {
            "system": row.name,
            "group": title,
            "origin": row.origin,
            "source": row.source or None,
            "family": row.traits.family,
            "average_over": list(row.average_languages),
            "scores": {code: _cell(row, code) for code in [AVERAGE, *found.languages] if code in row.marks},
        }
        for title, row in _rows(found)
    ]
    head = {
        "dataset": found.collection.name,
        "split": found.collection.split,
        "measure": found.measure,
        "languages": found.languages,
    }
    lines = b",\n".join(to_json(row) for row in rows).decode("utf-8")
    return f'{to_json(head).decode("utf-8")[:-1]},"systems":[\n{lines}\n]}}\n'


def as_latex(found: Standings) -> str:
    """A booktabs tabular; the best of each group's column is bold."""
    lines = [
        f"% {_line(found.measure)} on {_line(found.collection.title)}; needs \\usepackage{{booktabs}}",
        f"\\begin{{tabular}}{{l{'r' * (1 + len(found.languages))}}}",
        "\\toprule",
        " & ".join(["System", "Avg", *map(_latex, found.languages)]) + r" \\",
    ]
    for group in found.groups:
        lines += [
            "\\midrule",
            f"\\multicolumn{{{2 + len(found.languages)}}}{{l}}{{\\emph{{{_latex(group.title)}}}}} \\\\",
        ]
        for row in group.rows:
            name = f"{row.name} ({row.source})" if row.source else row.name
            cells = [_printed(row, code, r"\textbf{{{}}}", "--") for code in [AVERAGE, *found.languages]]
            lines.append(" & ".join([_latex(name), *cells]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def as_markdown(found: Standings) -> str:
    """A table of GitHub's Markdown; the best of each group's column is bold."""
    columns = [AVERAGE, *found.languages]
    lines = [
        f"{_markdown(found.measure)} on {_markdown(found.collection.title)}",
        "",
        "| " + " | ".join(["System", "Origin", "Avg", *map(_markdown, found.languages)]) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for _, row in _rows(found):
        cells = [_printed(row, code, "**{}**", "–") for code in columns]
        lines.append("| " + " | ".join([_markdown(row.name), _markdown(row.source or row.origin), *cells]) + " |")
    return "\n".join([*lines, ""])


KINDS = {"csv": as_csv, "json": as_json, "tex": as_latex, "md": as_markdown}
"""Ending of the file -> what writes it."""


def _rows(found: Standings) -> list[tuple[str, Row]]:
    return [(group.title, row) for group in found.groups for row in group.rows]


def _cell(row: Row, code: str) -> dict[str, Any]:
    mark = row.marks[code]
    ranked = code != AVERAGE or row.complete
    found = {"value": mark.cell.value, "low": mark.cell.low, "high": mark.cell.high}
    found |= {"rank": mark.rank if ranked else None, "letters": mark.letters, "disputed": mark.disputed or None}
    return {key: value for key, value in found.items() if value not in (None, "")}


def _printed(row: Row, code: str, best: str, absent: str) -> str:
    """A score in three decimals; an average over fewer languages than its group's is none of this table's."""
    if code not in row.marks or (code == AVERAGE and not row.complete):
        return absent
    text = f"{row.marks[code].cell.value:.3f}"
    return best.format(text) if row.marks[code].rank == 1 else text


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _line(text: str) -> str:
    return " ".join(text.split())


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda m: special.get(m[0], f"\\{m[0]}"), _line(text))


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", _line(text))
