"""Cells of a leaderboard for which publications print different figures of one system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mdrbench.core import registry
from mdrbench.site.model import recipe_diff
from mdrbench.site.model.collection import in_table_order
from mdrbench.site.model.leaderboard import AVERAGE, LeaderboardRow

ROUNDING = 0.00101
"""Two published figures agree if rounding to three decimals explains their difference."""


@dataclass(frozen=True)
class Dispute:
    """A system and a language for which publications differ; ``figures`` are pairs of source and score."""

    name: str
    lang: str
    figures: list[tuple[str, float]]


def find_disputes(rows: Sequence[LeaderboardRow]) -> list[Dispute]:
    """Find the disputes among published rows, and mark their scores as disputed. Averages are left out."""
    disputes = []
    systems: dict[str, list[LeaderboardRow]] = {}
    for row in rows:
        systems.setdefault(_canonical_name(row.name), []).append(row)
    for name, same in systems.items():
        for lang in in_table_order({code for row in same for code in row.scores} - {AVERAGE}):
            scores = [(row, row.scores[lang]) for row in same if lang in row.scores]
            values = [score.cell.value for _, score in scores]
            if max(values) - min(values) > ROUNDING:
                for _, score in scores:
                    score.disputed = True
                disputes.append(Dispute(name, lang, [(row.source, score.cell.value) for row, score in scores]))
    return disputes


@lru_cache(maxsize=1)
def _aliases() -> dict[str, str]:
    """Return every name that a shipped recipe gives to its published system, with the first of these names."""
    aliases: dict[str, str] = {}
    for recipe in registry.recipe_files():
        names = recipe_diff.claims(recipe_diff.shipped(recipe) or {})
        aliases |= dict.fromkeys(names, next(iter(names), ""))
    return aliases


def _canonical_name(name: str) -> str:
    return _aliases().get(name, name)
