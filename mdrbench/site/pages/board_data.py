"""Leaderboards as data for scripts: the start page's questions, the plot, and the comparison of several systems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.site.model import properties, system_facts
from mdrbench.site.model.collection import Collection
from mdrbench.site.model.leaderboard import AVERAGE, ComparableGroup, LeaderboardRow
from mdrbench.site.model.ranking import Leaderboard
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages.browser_data import lang_tag
from mdrbench.site.pages.page import Asset

STEPS = 10_000
"""Scores are written as multiples of 1 / STEPS."""


def assets(model: SiteModel) -> Iterator[Asset]:
    """Yield the data of each collection's first measure."""
    for collection, boards in model.leaderboards.items():
        yield Asset(f"{collection.folder}board.js", _script(collection, next(iter(boards.values()))))


def _script(collection: Collection, board: Leaderboard) -> bytes:
    known = {**LANGUAGES, **SURPRISE}
    codes = [AVERAGE, *board.languages]
    value = {
        "title": collection.title,
        "folder": collection.folder,
        "measure": board.measure,
        "steps": STEPS,
        "several": any(len(group.rows) > 1 for group in board.groups),  # whether several systems can be compared
        "codes": codes,
        "averages": {group.kind: group.label for group in board.groups},
        "names": {code: [known[code].name, known[code].native, lang_tag(code)] for code in codes if code in known},
        "resources": {code: properties.resources(code) for code in board.languages},
        "rows": [_row(collection, group, row, codes) for group in board.groups for row in group.rows],
    }
    text = to_json(value).decode("utf-8")
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"mdrbenchBoard({text});\n".encode()


def _row(collection: Collection, group: ComparableGroup, row: LeaderboardRow, codes: list[str]) -> dict[str, Any]:
    """Describe a row; keys are short because they are repeated in each row.

    s: slug, n: name, o: organisation, a: address, g: origin, k: kind of system, t: training, p: parameters in millions,
    l: class of licence, L: licence, d: date of release, m: dimension, c: seconds of all steps, v: scores by column,
    i: intervals by column, e: significance letters by column.
    """
    known, ranked = row.properties, row.scores.get if group.kind == "predicted" else row.ranked
    cost = system_facts.cost_of(row.entry) if row.entry.measured else None
    cells = [ranked(code) for code in codes]
    fields: dict[str, Any] = {
        "s": row.entry.slug,
        "n": row.short_name,
        "o": row.organisation,
        "a": collection.system_page(row.entry),
        "g": "predicted" if group.kind == "predicted" else row.origin,
        "k": known.kind,
        "t": known.training,
        "p": None if known.parameters is None else round(known.parameters, 1),
        "l": known.licence_class,
        "L": known.licence if known.licence not in ("not stated", "no model") else None,
        "d": known.released or None,
        "m": known.dimension,
        "c": round(cost.seconds, 1) if cost else None,
        "v": [round(score.cell.value * STEPS) if score else 0 for score in cells],
    }
    if any(score and score.interval for score in cells):
        fields["i"] = [_interval(score) for score in cells]
    if any(score and score.letters for score in cells):
        fields["e"] = [score.letters if score else "" for score in cells]
    return {key: value for key, value in fields.items() if value not in (None, "")}


def _interval(score: Any) -> list[int]:
    if score is None or score.cell.low is None or score.cell.high is None:
        return []
    return [round(score.cell.low * STEPS), round(score.cell.high * STEPS)]
