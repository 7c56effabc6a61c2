"""The rows of a leaderboard as HTML. Tables have thousands of cells, so they are written here and not by a template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from mdrbench.site.model import system_facts
from mdrbench.site.model.collection import Collection
from mdrbench.site.model.leaderboard import AVERAGE, ComparableGroup, LeaderboardRow, RankedScore
from mdrbench.site.model.number_format import duration, number, size
from mdrbench.site.model.properties import SIZES, SystemProperties
from mdrbench.site.model.ranking import Leaderboard
from mdrbench.site.pages.markup import text

Link = Callable[[str], str]

MARKS = {"trained": "●", "declared not": "○", "unknown": "?"}
"""State of the training data -> its sign."""

TRAINING_WORDS = {
    "trained": "trained on MIRACL: in-domain",
    "declared not": "declared as not trained on MIRACL",
    "unknown": "training data not stated",
}


class Extra(NamedTuple):
    """A column that readers may add: its key, heading, and for a row (sort value, text)."""

    key: str
    title: str
    of: Callable[[LeaderboardRow], tuple[float | str, str] | None]


def _size(row: LeaderboardRow) -> tuple[float | str, str] | None:
    known = row.properties.parameters
    return None if known is None else (known, row.properties.printed_size or "0")


def _dimension(row: LeaderboardRow) -> tuple[float | str, str] | None:
    known = row.properties.dimension
    return (known, str(known)) if known else None


def _date(row: LeaderboardRow) -> tuple[float | str, str] | None:
    known = row.properties.released
    return (known.replace("-", ""), known) if known else None


def _licence(row: LeaderboardRow) -> tuple[float | str, str] | None:
    known = row.properties
    words = "not public" if known.open_weights is False else known.licence
    return (words, words) if words not in ("not stated", "no model") else None


def _seconds(row: LeaderboardRow) -> tuple[float | str, str] | None:
    cost = system_facts.cost_of(row.entry) if row.entry.measured else None
    return (round(cost.seconds, 2), duration(cost.seconds)) if cost else None


def _memory(row: LeaderboardRow) -> tuple[float | str, str] | None:
    cost = system_facts.cost_of(row.entry) if row.entry.measured else None
    return (cost.peak, size(cost.peak)) if cost else None


def _speed(row: LeaderboardRow) -> tuple[float | str, str] | None:
    known = system_facts.queries_a_second(row.entry) if row.entry.measured else None
    return (round(known, 3), f"{known:,.3g}" if known < 1000 else f"{known:,.0f}") if known else None


def _index(row: LeaderboardRow) -> tuple[float | str, str] | None:
    known = system_facts.index_bytes(row.entry) if row.entry.measured else None
    return (round(known, 1), f"{known:,.0f} B") if known else None


EXTRAS = (
    Extra("size", "Parameters", _size),
    Extra("dim", "Dimension", _dimension),
    Extra("date", "Released", _date),
    Extra("licence", "Licence", _licence),
    Extra("time", "Time", _seconds),
    Extra("memory", "Peak memory", _memory),
    Extra("index", "Index a passage", _index),
    Extra("speed", "Queries a second", _speed),
)
"""Columns that readers may add. A column without a value is left out."""


def extras(board: Leaderboard) -> list[Extra]:
    """Return the columns that at least one row has."""
    rows = [row for group in board.groups for row in group.rows]
    return [extra for extra in EXTRAS if any(extra.of(row) for row in rows)]


def group_rows(board: Leaderboard, group: ComparableGroup, columns: Sequence[Extra], link: Link) -> Markup:
    """Return the rows of a group: first those that are ranked, then variants of recipes."""
    rows = [(row, "") for row in group.rows] + [(row, " class=variant hidden") for row in group.variants]
    return Markup("\n".join(_row(board, group, row, mark, columns, link) for row, mark in rows))


def _row(
    board: Leaderboard, group: ComparableGroup, row: LeaderboardRow, mark: str, columns: Sequence[Extra], link: Link
) -> str:
    known = row.properties
    data = {
        "origin": group.kind if group.kind == "predicted" else row.origin,
        "kind": known.kind,
        "training": known.training,
        "licence": known.licence_class,
        "family": known.family,
    }
    attributes = "".join(f' data-{key}="{text(value)}"' for key, value in data.items())
    if known.parameters is not None:
        attributes += f" data-size={known.parameters:g}"
    address = link(board.collection.system_page(row.entry))
    cells = "".join(_extra(extra, row) for extra in columns)
    cells += _average(row, address)
    cells += "".join(_cell(row.scores.get(code), "", address) for code in board.languages)
    return f"<tr{mark}{attributes}>{_head(board.collection, row, address)}{cells}</tr>"


def _head(collection: Collection, row: LeaderboardRow, address: str) -> str:
    known = row.properties
    name = f'<a href="{address}">{text(row.short_name)}</a>'
    if row.organisation:
        name += f" <span class=org>{text(row.organisation)}</span>"
    if row.entry.submitted:
        name += ' <span class=tag title="mdrbench scored run files that were submitted">submitted</span>'
    if known.kind not in ("single vector", "not stated") and not row.entry.measured:
        name += f" <span class=tag>{known.kind}</span>"
    words = [text(known.printed_size)] if known.printed_size else []
    short, _, table = row.source.partition(", ")
    words.append(f'<span class=source title="{text(table)}">{text(short)}</span>' if short else text(known.family))
    if not row.entry.measured or known.training != "unknown":
        words.append(
            f'<span class=trained title="{TRAINING_WORDS[known.training]}">{MARKS[known.training]}'
            f"<span class=unseen> {TRAINING_WORDS[known.training]}</span></span>"
        )
    if known.mr_tydi == "trained" and known.training != "trained":
        words.append("Mr. TyDi")
    small = f"<small>{' · '.join(words)}</small>"
    tick = f'<input type=checkbox class=tick value="{row.entry.slug}" aria-label="Compare {text(row.name)}" hidden>'
    return f"<th scope=row>{tick}{name}{small}{_sources(row)}</th>"


def _sources(row: LeaderboardRow) -> str:
    """List the figures of the other sources of a system, closed at first."""
    if not row.others:
        return ""
    items = []
    for other in [row, *row.others]:
        average = other.scores.get(AVERAGE)
        langs = len(other.scores) - (average is not None)
        figure = (
            f"{number(average.cell.value)} over {len(other.average_languages)}" if average else f"{langs} languages"
        )
        items.append(f"<li>{text(other.source)}: {figure}</li>")
    return f"<details class=sources><summary>{len(items)} sources</summary><ul>{''.join(items)}</ul></details>"


def _extra(extra: Extra, row: LeaderboardRow) -> str:
    found = extra.of(row)
    if found is None:
        return f'<td class="x x-{extra.key} none">–</td>'
    return f'<td class="x x-{extra.key}" data-v="{text(str(found[0]))}">{text(str(found[1]))}</td>'


def _average(row: LeaderboardRow, address: str) -> str:
    score = row.scores.get(AVERAGE)
    if score is None or row.complete or score.wrong:
        return _cell(score, "average ", address, row.average_label)
    return (
        f'<td class="average partial" title="{text(row.average_label)}">{number(score.cell.value)}'
        f"<small>of {len(row.average_languages)} only</small></td>"
    )


def _cell(score: RankedScore | None, kind: str, address: str, label: str = "") -> str:
    if score is None:
        return f'<td class="{kind}none">–</td>'
    shown = number(score.cell.value)
    if score.wrong:
        what = "contains a wrong figure" if kind else "probably wrong"
        return (
            f'<td class="{kind}wrong"><a href="{address}#audit" title="{what}: see the audit"><s>{shown}</s></a></td>'
        )
    if score.disputed:
        shown += f'<a class=disputed href="{address}#audit" aria-label="other figures differ">≠</a>'
    if score.foreign:
        shown += '<sup title="The model’s own list of languages lacks this language">°</sup>'
    if score.rank:
        shown += f"<small><i class=rank>{score.rank}</i>"
        shown += f"<i class=letters>{score.letters}</i></small>" if score.letters else "</small>"
    if score.interval:
        shown += f"<small class=interval>{score.interval}</small>"
    title = f' title="{text(label)}"' if label else ""
    top = " top" if score.top else ""
    return f'<td class="{kind}h{score.heat}{top}" data-v={score.cell.value:.6g}{title}>{shown}</td>'


SIZE_CHOICES = list(SIZES.items())


def counted(rows: Sequence[LeaderboardRow], of: Callable[[SystemProperties], str]) -> dict[str, int]:
    """Count rows by a property, the most frequent first."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[of(row.properties)] = counts.get(of(row.properties), 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
