"""A leaderboard as CSV, JSON, LaTeX (booktabs) and Markdown. ``table.js`` writes the shown view in the same formats."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from pydantic_core import to_json

from mdrbench.site.model.leaderboard import AVERAGE, LeaderboardRow
from mdrbench.site.model.ranking import Leaderboard


def as_csv(board: Leaderboard) -> str:
    """Write a row for each system, with full scores. Text that a spreadsheet takes for a formula gets an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [AVERAGE, *board.languages]
    headings = [f"{code}{end}" for code in columns for end in ("", "_low", "_high")]
    writer.writerow(["system", "origin", "source", "family", "average_over", *headings])
    for _, row in _rows(board):
        cells = [row.scores[code].cell if code in row.scores else None for code in columns]
        values = [value for cell in cells for value in ((cell.value, cell.low, cell.high) if cell else (None,) * 3)]
        words = [_inert(word) for word in (row.name, row.origin, row.source, row.properties.family)]
        writer.writerow([*words, len(row.average_languages) or None, *values])
    return text.getvalue()


def as_json(board: Leaderboard) -> str:
    """Write everything that the page shows, with ranks and letters, one system a line."""
    rows = [
        {
            "system": row.name,
            "group": title,
            "origin": row.origin,
            "source": row.source or None,
            "family": row.properties.family,
            "average_over": list(row.average_languages),
            "scores": {code: _score(row, code) for code in [AVERAGE, *board.languages] if code in row.scores},
        }
        for title, row in _rows(board)
    ]
    head = {
        "dataset": board.collection.name,
        "split": board.collection.split,
        "measure": board.measure,
        "languages": board.languages,
    }
    lines = b",\n".join(to_json(row) for row in rows).decode("utf-8")
    return f'{to_json(head).decode("utf-8")[:-1]},"systems":[\n{lines}\n]}}\n'


def as_latex(board: Leaderboard) -> str:
    """Write a booktabs tabular; the best score of each column of a group is bold."""
    lines = [
        f"% {_one_line(board.measure)} on {_one_line(board.collection.title)}; needs \\usepackage{{booktabs}}",
        f"\\begin{{tabular}}{{l{'r' * (1 + len(board.languages))}}}",
        "\\toprule",
        " & ".join(["System", "Avg", *map(_latex, board.languages)]) + r" \\",
    ]
    for group in board.groups:
        title = f"\\multicolumn{{{2 + len(board.languages)}}}{{l}}{{\\emph{{{_latex(group.title)}}}}} \\\\"
        lines += ["\\midrule", title]
        for row in group.rows:
            name = f"{row.name} ({row.source})" if row.source else row.name
            cells = [_printed(row, code, r"\textbf{{{}}}", "--") for code in [AVERAGE, *board.languages]]
            lines.append(" & ".join([_latex(name), *cells]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def as_markdown(board: Leaderboard) -> str:
    """Write a table in GitHub's Markdown; the best score of each column of a group is bold."""
    columns = [AVERAGE, *board.languages]
    lines = [
        f"{_markdown(board.measure)} on {_markdown(board.collection.title)}",
        "",
        "| " + " | ".join(["System", "Origin", "Avg", *map(_markdown, board.languages)]) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for _, row in _rows(board):
        cells = [_printed(row, code, "**{}**", "–") for code in columns]
        lines.append("| " + " | ".join([_markdown(row.name), _markdown(row.source or row.origin), *cells]) + " |")
    return "\n".join([*lines, ""])


WRITERS = {"csv": as_csv, "json": as_json, "tex": as_latex, "md": as_markdown}
"""Ending of the file -> its writer."""


def _rows(board: Leaderboard) -> list[tuple[str, LeaderboardRow]]:
    return [(group.title, row) for group in board.groups for row in group.rows]


def _score(row: LeaderboardRow, code: str) -> dict[str, Any]:
    score = row.scores[code]
    ranked = code != AVERAGE or row.complete
    fields: dict[str, Any] = {"value": score.cell.value, "low": score.cell.low, "high": score.cell.high}
    fields |= {"rank": score.rank if ranked else None, "letters": score.letters, "disputed": score.disputed or None}
    return {key: value for key, value in fields.items() if value not in (None, "")}


def _printed(row: LeaderboardRow, code: str, best: str, absent: str) -> str:
    """Return a score in three decimals; an average over fewer languages than the group's average is absent."""
    if code not in row.scores or (code == AVERAGE and not row.complete):
        return absent
    text = f"{row.scores[code].cell.value:.3f}"
    return best.format(text) if row.scores[code].rank == 1 else text


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda m: special.get(m[0], f"\\{m[0]}"), _one_line(text))


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", _one_line(text))
