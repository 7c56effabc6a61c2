"""The data card of wiki16: ``card.md`` with its tables filled in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mdrbench.core.languages import LANGUAGES
from mdrbench.data.wiki16.content import content_files
from mdrbench.data.wiki16.sources import SOURCES
from mdrbench.data.wiki16.splits import SPLITS

TEMPLATE = Path(__file__).with_name("card.md")


def card() -> str:
    """Return the data card as Markdown."""
    text = TEMPLATE.read_text(encoding="utf-8")
    return text.replace("{languages}", _languages()).replace("{sources}", _sources())


def _languages() -> str:
    """Return a table of passages and queries of each language."""
    lines = {(file.lang, file.kind, file.split): file.lines for file in content_files()}
    columns = [("corpus", ""), *(("topics", split) for split in SPLITS)]
    langs = list(dict.fromkeys(file.lang for file in content_files()))
    rows = [[lang, LANGUAGES[lang].name, *(f"{lines[lang, *column]:,}" for column in columns)] for lang in langs]
    totals = [f"{sum(lines[lang, *column] for lang in langs):,}" for column in columns]
    heads = ["", "language", "passages", *(f"{split} queries" for split in SPLITS)]
    return _table(heads, [*rows, ["all", "", *totals]])


def _sources() -> str:
    """Return a table of the sources with creators, licence and commit."""
    heads = ["id", "data set", "by", "licence", "taken from"]
    rows = [
        [f"`{key}`", source.name, source.creators, source.licence, f"{source.repository} @ {source.commit[:12]}"]
        for key, source in SOURCES.items()
    ]
    return _table(heads, rows)


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows))
