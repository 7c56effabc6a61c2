"""Systems to which different sources, tables or versions give different figures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from mdrbench.results.audit.findings import Figure, Finding, three
from mdrbench.results.audit.rows import AUTHORS, PublishedRow

ROUNDING = 0.00101
"""Two figures agree if they differ by no more than rounding to three decimals explains."""


def findings(rows: list[PublishedRow]) -> Iterator[Finding]:
    """Compare the figures of every system with its figures elsewhere, on the same collection, split and measure."""
    groups: dict[tuple[str, str, str], list[PublishedRow]] = {}
    for row in rows:
        groups.setdefault((row.encoder, row.collection, row.split), []).append(row)
    for same in groups.values():
        for a, b in combinations(same, 2):
            if not (a.source == b.source == "mteb"):
                yield from _pair(a, b)


def _pair(a: PublishedRow, b: PublishedRow) -> Iterator[Finding]:
    rule, why = _relation(a, b)
    for measure, cells in a.scores.items():
        others = b.scores.get(measure, {})
        for lang in (lang for lang in cells if lang in others):
            if abs(cells[lang] - others[lang]) > ROUNDING:
                yield Finding(
                    rule=rule,
                    kind="disagreement",
                    system=a.encoder,
                    collection=a.collection if a.split == "dev" else f"{a.collection} ({a.split})",
                    measure=measure,
                    reason=f"{why}; the figures differ by {three(abs(cells[lang] - others[lang]))}",
                    figures=(Figure(cells[lang], _setting(a)), Figure(others[lang], _setting(b))),
                    languages=(lang,),
                    rows=(a.id, b.id),
                )


def _relation(a: PublishedRow, b: PublishedRow) -> tuple[str, str]:
    if a.source == b.source and a.software != b.software:
        return "versions-differ", f"{a.software} and {b.software} give different figures"
    authors = {AUTHORS.get(row.source, row.source) for row in (a, b)}
    if len(authors) == 1:
        return "two-tables", f"two tables of the same authors ({authors.pop()})"
    return "sources-disagree", f"{a.source} and {b.source} report the same system"


def _setting(row: PublishedRow) -> str:
    return row.origin if row.system == row.encoder else f"{row.origin}: {row.system}"
