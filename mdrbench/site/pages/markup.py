"""HTML of long lists. Escaping each of thousands of values in a template takes most of a page's time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from markupsafe import Markup, escape

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.site.pages.browser_data import lang_tag

SEPARATOR = "\x1f"
"""Stands between values that are escaped together; HTML may not contain it, and it is dropped from values."""


@lru_cache(maxsize=1 << 14)
def text(value: str) -> str:
    """Escape a string that many cells repeat."""
    return str(escape(value))


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


@lru_cache(maxsize=256)
def language_label(code: str) -> Markup:
    """Return a language's English name with its native name; an unknown code is printed as it is."""
    known = LANGUAGES.get(code) or SURPRISE.get(code)
    if known is None:
        return escape(code)
    name = escape(known.name)
    if known.native == known.name:
        return name
    return name + Markup(' <span class="native"{}>{}</span>').format(language_attributes(code), known.native)


@lru_cache(maxsize=256)
def language_attributes(code: str) -> Markup:
    """Return the attributes of an element with text in a language: its tag and direction; nothing if it is unknown."""
    known = LANGUAGES.get(code) or SURPRISE.get(code)
    return Markup(' lang="{}" dir="{}"').format(lang_tag(code), known.direction) if known else Markup("")
