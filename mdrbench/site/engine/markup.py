"""HTML of long lists. Escaping each of thousands of values in a template takes most of a page's time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

SEPARATOR = "\x1f"
"""Stands between values that are escaped together; HTML may not contain it, and it is dropped from values."""


def escaped(values: Iterable[object]) -> list[str]:
    """Escape values together, as fast as one."""
    texts = [str(value).replace(SEPARATOR, "") for value in values]
    return str(escape(SEPARATOR.join(texts))).split(SEPARATOR) if texts else []


def table_rows(rows: Sequence[Sequence[object]]) -> Markup:
    """Return the rows of a table's body; the first cell of each row is its heading."""
    cells = iter(escaped(value for row in rows for value in row))
    lines = []
    for row in rows:
        head, *rest = (next(cells) for _ in row)
        lines.append(f'<tr><th scope="row">{head}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n')
    return Markup("".join(lines))


def facts(rows: Sequence[tuple[str, str, str]]) -> Markup:
    """Return a list of terms with values in code and notes; either may be empty."""
    cells = iter(escaped(value for row in rows for value in row))
    parts = []
    for term, code, note in zip(cells, cells, cells, strict=True):
        shown = [part for part in (f"<code>{code}</code>" if code else "", note) if part]
        parts.append(f"<dt>{term}</dt><dd>{'<br>'.join(shown)}</dd>")
    return Markup(f'<dl class="tree">{"".join(parts)}</dl>')
