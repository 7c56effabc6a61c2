"""Where publications give one system different figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mdrbench.core import registry
from mdrbench.core.languages import ALL
from mdrbench.recipe.yaml_files import read_yaml

if TYPE_CHECKING:
    from mdrbench.site.model.standings import Row

ROUNDING = 0.00101
"""Two published figures agree when they differ by no more than rounding to three decimals explains."""


@dataclass(frozen=True)
class Dispute:
    """Publications that give one system different figures: source and table -> figure."""

    name: str
    lang: str
    figures: list[tuple[str, float]]


def found(rows: Sequence[Row], average: str) -> list[Dispute]:
    """Cells in which publications differ about one system, all columns but the ``average``; marks them."""
    told = []
    systems: dict[str, list[Row]] = {}
    for row in rows:
        systems.setdefault(_canonical(row.name), []).append(row)
    for name, same in systems.items():
        columns = {code for row in same for code in row.marks} - {average}
        for lang in (*ALL, *sorted(columns - set(ALL))):
            marks = [(row, row.marks[lang]) for row in same if lang in row.marks]
            values = [mark.cell.value for _, mark in marks]
            if values and max(values) - min(values) > ROUNDING:
                for _, mark in marks:
                    mark.disputed = True
                told.append(Dispute(name, lang, [(row.source, mark.cell.value) for row, mark in marks]))
    return told


@lru_cache(maxsize=1)
def _aliases() -> dict[str, str]:
    """Every name that a shipped recipe says its system has in publications -> the first of them."""
    found = {}
    for path in registry.recipe_files().values():
        names = (read_yaml(path)[0].get("published") or {}).get("systems") or []
        found |= dict.fromkeys(names, next(iter(names), ""))
    return found


def _canonical(name: str) -> str:
    return _aliases().get(name, name)
