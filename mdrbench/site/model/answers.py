"""Answers to the first question of readers: which retriever is best in a language, by how much, and is it real?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mdrbench.site.model.leaderboard import ComparableGroup, LeaderboardRow, RankedScore
from mdrbench.site.model.properties import SystemProperties
from mdrbench.site.model.ranking import Leaderboard

SMALL = 300
"""Millions of parameters of a model that sentences call small."""

UNTESTED = "not testable"
"""The verdict on published figures, which come without topic-level scores."""


class Placed(NamedTuple):
    """A system and its score in one language."""

    row: LeaderboardRow
    score: RankedScore


class LanguageAnswer(NamedTuple):
    """The best systems of a language in one group.

    Attributes:
        best: the best systems, the best first; published ones are single-vector systems.
        small: the best system of up to :data:`SMALL` million parameters with a free licence.
        margin: the best score minus the second.
        verdict: one of :data:`mdrbench.site.model.ranking.VERDICTS`, or :data:`UNTESTED`; empty with one system.
    """

    lang: str
    measured: bool
    best: list[Placed]
    small: Placed | None
    margin: float
    verdict: str


def answer(board: Leaderboard, lang: str) -> LanguageAnswer | None:
    """Answer for a language or the average; None if no ranked system has a score there.

    The first group that has the language answers: measured systems before published ones.
    """
    for group in board.groups:
        if group.kind != "predicted" and (found := _answer(board, group, lang)):
            return found
    return None


def _answer(board: Leaderboard, group: ComparableGroup, lang: str) -> LanguageAnswer | None:
    rows = [row for row in group.rows if group.measured or row.properties.kind == "single vector"] or group.rows
    best = ranked(rows, lang)
    if not best:
        return None
    margin = best[0].score.cell.value - best[1].score.cell.value if len(best) > 1 else 0.0
    return LanguageAnswer(
        lang,
        group.measured,
        best[:3],
        next(iter(ranked(rows, lang, is_small)), None),
        margin,
        _verdict(board, lang, best),
    )


def ranked(
    rows: Iterable[LeaderboardRow], lang: str, which: Callable[[SystemProperties], bool] | None = None
) -> list[Placed]:
    """Return the rows with a ranked score in a language, the best first."""
    placed = [
        Placed(row, score) for row in rows if (score := row.ranked(lang)) and (not which or which(row.properties))
    ]
    return sorted(placed, key=lambda place: (-place.score.cell.value, place.row.name))


def is_small(known: SystemProperties) -> bool:
    """Whether a model is small and has a free licence."""
    return known.parameters is not None and 0 < known.parameters <= SMALL and known.licence_class == "free"


def _verdict(board: Leaderboard, lang: str, best: list[Placed]) -> str:
    if len(best) < 2:
        return ""
    found = board.verdict(lang, best[0].row.entry, best[1].row.entry)
    if found is None:
        return UNTESTED
    return found.words
