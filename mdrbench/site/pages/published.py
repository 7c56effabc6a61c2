"""A page for every published system: its sources, what is known about the model, and what the audit says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from markupsafe import Markup

from mdrbench.core import registry
from mdrbench.results import published
from mdrbench.results.mteb_tables import ModelFacts
from mdrbench.site.model import recipe_diff
from mdrbench.site.model.collection import Collection, Entry, in_table_order
from mdrbench.site.model.leaderboard import AVERAGE, LeaderboardRow, source_of
from mdrbench.site.model.number_format import number
from mdrbench.site.model.published_systems import PublishedSystem
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages import markup
from mdrbench.site.pages.board_table import TRAINING_WORDS
from mdrbench.site.pages.page import Page

MEASURES = ("nDCG@10", "Recall@100")
"""Measures with a table by language; leaderboards have the others."""


class Claims(NamedTuple):
    """Who reproduces a published system: shipped recipes with their systems, and measured entries by system."""

    shipped: dict[str, list[str]]
    measured: dict[str, list[tuple[Collection, Entry]]]


class FigureColumn(NamedTuple):
    """One source of figures on one collection; ``row`` has the figures."""

    collection: Collection
    source: str
    row: LeaderboardRow
    predicted: bool


class FigureTable(NamedTuple):
    """All figures of a system by one measure; ``body`` is the table's rows as HTML."""

    measure: str
    columns: list[FigureColumn]
    body: Markup


def pages(model: SiteModel) -> Iterator[Page]:
    """Yield the page of each published system."""
    claims = _claims(model)
    rows = _board_rows(model)
    for system in model.published.values():
        entries = [entry for _, entry in system.rows]
        context = {
            "system": system,
            "title": system.identity.partition("/")[2] or system.identity,
            "organisation": system.identity.partition("/")[0] if "/" in system.identity else "",
            "kind": next((entry.result.system.kind for entry in entries if entry.result.system.kind), None),
            "facts": list(_facts(system.facts)) if system.facts else [],
            "reference": system.facts.reference if system.facts else None,
            "tables": [table for measure in MEASURES if (table := _table(system, rows, measure))],
            "findings": model.marks.of(entries),
            "sources": [(where, entry, published.SOURCES.get(entry.source)) for where, entry in system.rows],
            "reproduced_by": list(
                dict.fromkeys(pair for name in system.names for pair in claims.measured.get(name, []))
            ),
            "recipes": [recipe for recipe, names in claims.shipped.items() if set(names) & set(system.names)],
        }
        yield Page(system.address, "published.html", system.identity, context, "systems")


def _board_rows(model: SiteModel) -> dict[tuple[str, str], list[tuple[Collection, LeaderboardRow]]]:
    """Return (identity, measure) -> the rows of all leaderboards, predictions last."""
    rows: dict[tuple[str, str], list[tuple[Collection, LeaderboardRow]]] = {}
    for collection, boards in model.leaderboards.items():
        for measure in MEASURES:
            for group in boards[measure].groups if measure in boards else ():
                for row in group.rows if not group.measured else ():
                    for each in (row, *row.others):
                        rows.setdefault((row.name, measure), []).append((collection, each))
    return rows


def _table(
    system: PublishedSystem, rows: dict[tuple[str, str], list[tuple[Collection, LeaderboardRow]]], measure: str
) -> FigureTable | None:
    real = {id(entry) for _, entry in system.rows}
    columns = []
    for collection, row in rows.get((system.identity, measure), []):
        predicted = id(row.entry) not in real
        source = "predicted" if predicted else source_of(row.entry, measure)
        columns.append(FigureColumn(collection, source, row, predicted))
    codes = [AVERAGE, *in_table_order({lang for column in columns for lang in column.row.scores} - {AVERAGE})]
    lines = (
        f'<tr><th scope="row">{"average" if code == AVERAGE else markup.language_label(code)}</th>'
        f"{''.join(_cell(column, code) for column in columns)}</tr>"
        for code in codes
    )
    return FigureTable(measure, columns, Markup("\n".join(lines))) if columns else None


def _cell(column: FigureColumn, code: str) -> str:
    """Write a figure; its title has all digits."""
    score = column.row.scores.get(code)
    if score is None:
        return '<td><span class="none">–</span></td>'
    shown = number(score.cell.value)
    if column.predicted:
        shown = f'<i>{shown}</i> <small class="interval">{score.interval}</small>'
    elif score.wrong:
        shown = f"<s>{shown}</s>"
    elif score.disputed:
        shown += "≠"
    return f'<td title="{score.cell.value:.6g}">{shown}</td>'


def _facts(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    """Describe a model by what mteb says about it."""
    told = {"file": "", "registry": " (by mteb’s registry)", "base model": " (a model that it was made from)"}
    yes = {True: "yes", False: "no"}
    terms: list[tuple[str, Any]] = [
        ("parameters", f"{facts.parameters:,}" if facts.parameters is not None else None),
        ("dimension", facts.dimension),
        ("longest input", f"{facts.max_tokens:,} tokens" if facts.max_tokens else None),
        ("memory of the weights", f"{facts.memory_mb:,} MB" if facts.memory_mb else None),
        ("licence", facts.licence),
        ("released", facts.released),
        ("weights public", yes.get(facts.open_weights) if facts.open_weights is not None else None),
        ("instructions", yes.get(facts.instructions) if facts.instructions is not None else None),
        ("languages", f"{len(facts.languages)} in the model’s own list" if facts.languages else "not listed"),
        ("MIRACL in training", TRAINING_WORDS[facts.miracl] + told.get(facts.training_source or "", "")),
        ("Mr. TyDi in training", {"trained": "yes", "declared not": "declared not"}.get(facts.mr_tydi, "not stated")),
        ("adapted from", facts.adapted_from),
        ("superseded by", facts.superseded_by),
    ]
    yield from ((term, str(value)) for term, value in terms if value is not None)


def _claims(model: SiteModel) -> Claims:
    measured: dict[str, list[tuple[Collection, Entry]]] = {}
    for collection in model.collections:
        for entry in collection.systems:
            for name in dict.fromkeys(recipe_diff.claims(entry.result.system.recipe or {})):
                measured.setdefault(name, []).append((collection, entry))
    shipped = {name: recipe_diff.claims(recipe_diff.shipped(name) or {}) for name in registry.recipe_files()}
    return Claims(shipped, measured)
