"""A leaderboard as CSV, JSON, LaTeX (booktabs) and Markdown. ``table.js`` writes the shown view in the same formats."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import to_json

from mdrbench.site.model.leaderboard import AVERAGE, ComparableGroup, LeaderboardRow
from mdrbench.site.model.ranking import Leaderboard


def as_csv(board: Leaderboard) -> str:
    """Write a row for each system, with full scores. Text that a spreadsheet takes for a formula gets an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [AVERAGE, *board.languages]
    headings = [f"{code}{end}" for code in columns for end in ("", "_low", "_high")]
    writer.writerow(
        ["system", "origin", "source", "family", "kind", "trained_on_miracl", "wrong", "average_over", *headings]
    )
    for group, row in _rows(board):
        cells = [row.scores[code].cell if code in row.scores else None for code in columns]
        values = [value for cell in cells for value in ((cell.value, cell.low, cell.high) if cell else (None,) * 3)]
        known = row.properties
        facts = (row.name, _origin(group, row), row.source, known.family, known.kind, known.training, _wrong(row))
        writer.writerow([*map(_inert, facts), len(row.average_languages) or None, *values])
    return text.getvalue()


def as_json(board: Leaderboard) -> str:
    """Write everything that the page shows, with ranks and letters, one system a line."""
    rows = [
        {
            "system": row.name,
            "group": group.title,
            "origin": _origin(group, row),
            "source": row.source or None,
            "family": row.properties.family,
            "kind": row.properties.kind,
            "trained_on_miracl": row.properties.training,
            "average_over": list(row.average_languages),
            "scores": {code: _score(row, code) for code in [AVERAGE, *board.languages] if code in row.scores},
        }
        for group, row in _rows(board)
    ]
    head = {
        "dataset": board.collection.name,
        "split": board.collection.split,
        "measure": board.measure,
        "languages": board.languages,
    }
    lines = b",\n".join(to_json(row) for row in rows).decode("utf-8")
    return f'{to_json(head).decode("utf-8")[:-1]},"systems":[\n{lines}\n]}}\n'


WIDE = 8
"""Up to so many systems are the columns of a LaTeX table, with languages as rows; more systems are rows."""

UPRIGHT = 12
"""Up to so many columns of scores fit an upright page; more stand on landscape pages."""

NARROWEST, TEXT_WIDTH = 8, 64
"""Characters of LaTeX's ``\\small`` that a column takes at least, and that all columns may take together."""


def as_latex(board: Leaderboard) -> str:
    """Write a table that fits the text width of an A4 page: booktabs, with significance letters and intervals.

    A few systems are columns and languages are rows, each with its intervals in a second line. Many systems are rows of
    a longtable without intervals, on landscape pages if the columns need them.
    """
    rows = [row for _, row in _rows(board)]
    head = f"% {_one_line(board.measure)} on {_one_line(board.collection.title)}; needs \\usepackage{{booktabs}}"
    columns = [AVERAGE, *board.languages]
    if len(rows) <= WIDE:
        return "\n".join(_systems_as_columns(head, columns, rows))
    turned = len(columns) > UPRIGHT
    names = 120 if turned else min(150, 340 - 21 * len(columns))  # points that the columns of scores leave
    lines = [
        f"{head}, \\usepackage{{longtable}}" + (" and \\usepackage{pdflscape}" if turned else ""),
        *(["\\begin{landscape}"] if turned else []),
        "{\\scriptsize\\setlength{\\tabcolsep}{1.5pt}%",
        f"\\begin{{longtable}}{{@{{}}p{{{names}pt}}{'r' * len(columns)}@{{}}}}",
        "\\toprule",
        " & ".join(["System", "avg", *map(_latex, board.languages)]) + r" \\",
        "\\midrule\\endhead",
    ]
    for group in board.groups:
        if group is not board.groups[0]:
            lines.append("\\midrule")
        lines.append(f"\\multicolumn{{{1 + len(columns)}}}{{@{{}}l}}{{\\emph{{{_latex(group.title)}}}}} \\\\*")
        for row in group.rows:
            name = f"{row.short_name} ({row.source.partition(',')[0]})" if row.source else row.short_name
            lines.append(" & ".join([_latex(name), *(_tex_cell(row, code) for code in columns)]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{longtable}}", *(["\\end{landscape}"] if turned else []), ""])


def _systems_as_columns(head: str, columns: Sequence[str], rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    names = [_latex(row.short_name) for row in rows]
    if sum(max(len(row.short_name), NARROWEST) for row in rows) > TEXT_WIDTH:
        head += " and \\usepackage{graphicx}"
        names = [f"\\rotatebox{{60}}{{{name}}}" for name in names]
    yield from (head, "{\\small\\setlength{\\tabcolsep}{2pt}%", f"\\begin{{tabular}}{{@{{}}l{'r' * len(rows)}@{{}}}}")
    yield from ("\\toprule", " & ".join(["", *names]) + r" \\", "\\midrule")
    for code in columns:
        yield " & ".join([_latex(code), *(_tex_cell(row, code) for row in rows)]) + r" \\"
        intervals = [_tex_interval(row, code) for row in rows]
        if any(intervals):
            yield " & ".join(["\\noalign{\\vskip-2pt}", *intervals]) + r" \\"
    yield from ("\\bottomrule", "\\end{tabular}}", "")


def _tex_cell(row: LeaderboardRow, code: str) -> str:
    """Write a score with its letters, bold if it is the first; a suspected figure stands in brackets."""
    score = row.scores.get(code)
    if score is None or (code == AVERAGE and not row.complete):
        return "--"
    text = f"{score.cell.value:.3f}".removeprefix("0")
    if score.wrong:
        return f"({text})"
    text = f"\\textbf{{{text}}}" if score.rank == 1 else text
    return text + (f"\\,\\textsuperscript{{{_latex(score.letters)}}}" if score.letters else "")


def _tex_interval(row: LeaderboardRow, code: str) -> str:
    score = row.scores.get(code)
    if score is None or score.wrong or score.cell.low is None or (code == AVERAGE and not row.complete):
        return ""
    ends = "--".join(f"{end:.3f}".removeprefix("0") for end in (score.cell.low, score.cell.high))
    return f"{{\\tiny {ends}}}"


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


def _rows(board: Leaderboard) -> list[tuple[ComparableGroup, LeaderboardRow]]:
    return [(group, row) for group in board.groups for row in group.rows]


def _origin(group: ComparableGroup, row: LeaderboardRow) -> str:
    return group.kind if group.kind == "predicted" else row.origin


def _wrong(row: LeaderboardRow) -> str:
    """Name the columns whose figure the audit suspects."""
    return " ".join(code for code, score in row.scores.items() if score.wrong)


def _score(row: LeaderboardRow, code: str) -> dict[str, Any]:
    score = row.scores[code]
    ranked = code != AVERAGE or row.complete
    fields: dict[str, Any] = {"value": score.cell.value}
    if score.cell.low is not None and score.cell.high is not None:
        fields |= {"low": score.cell.low, "high": score.cell.high}
    if ranked and score.rank:
        fields["rank"] = score.rank
    if score.letters:
        fields["letters"] = score.letters
    return fields | {mark: True for mark in ("disputed", "wrong") if getattr(score, mark)}


def _printed(row: LeaderboardRow, code: str, best: str, absent: str) -> str:
    """Return a score in three decimals; an average over fewer languages than the group's average is absent."""
    if code not in row.scores or (code == AVERAGE and not row.complete):
        return absent
    text = f"{row.scores[code].cell.value:.3f}"
    if row.scores[code].wrong:
        return f"({text})"
    return best.format(text) if row.scores[code].rank == 1 else text


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _latex(text: str) -> str:
    """Escape what LaTeX reads as a command; a character that pdfLaTeX has no font for becomes its code point."""
    special = {"†": r"\textdagger{}", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    escaped = re.sub(r"[\\~^&%$#_{}†]", lambda m: special.get(m[0], f"\\{m[0]}"), _one_line(text)).replace("–", "--")
    return "".join(c if ord(c) < 0x180 else f"U+{ord(c):04X}" for c in escaped)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", _one_line(text))
