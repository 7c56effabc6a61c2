"""A leaderboard: the systems of a collection by one measure, in groups of comparable results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from mdrbench.results import Cell, average_label, published
from mdrbench.site.model import properties
from mdrbench.site.model.collection import Entry
from mdrbench.site.model.number_format import number
from mdrbench.site.model.properties import SystemProperties

AVERAGE = "average"
"""The column of averages; no language has this code."""


@dataclass
class RankedScore:
    """A score and its place in its group's column.

    Attributes:
        letters: significance letters; empty if the system was not tested.
        top: whether it is the best score, or not significantly different from the best.
        heat: colour from 0 (far below the best) to 9 (the best).
        disputed: whether publications print different figures.
    """

    cell: Cell
    rank: int | None = None
    letters: str = ""
    top: bool = False
    heat: int = 0
    disputed: bool = False

    @property
    def interval(self) -> str:
        """Both ends of the interval, or nothing."""
        low, high = self.cell.low, self.cell.high
        return "" if low is None or high is None else f"{number(low)}–{number(high)}"


@dataclass(eq=False)
class LeaderboardRow:
    """A system by one measure.

    Attributes:
        scores: by language, and :data:`AVERAGE`.
        average_languages: the languages of the system's average.
        complete: whether the average covers all languages of the group's average.
        reprints: other tables of the same publication that print the same figures.
    """

    entry: Entry
    measure: str
    scores: dict[str, RankedScore]
    average_languages: tuple[str, ...] = ()
    average_label: str = ""
    complete: bool = False
    reprints: list[Entry] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The entry's name."""
        return self.entry.name

    @cached_property
    def properties(self) -> SystemProperties:
        """What the table is filtered by."""
        return properties.of_system(self.entry)

    @cached_property
    def origin(self) -> str:
        """``measured``, ``submitted`` or the citation key of the publication."""
        if self.entry.measured:
            return "submitted" if self.entry.submitted else "measured"
        return self.entry.path.parent.name

    @cached_property
    def source(self) -> str:
        """The publication with its tables; empty for a measured system."""
        if self.entry.measured:
            return ""
        cells = [cell for entry in [self.entry, *self.reprints] if (cell := _any_cell(entry, self.measure))]
        tables = list(dict.fromkeys(cell.table for cell in cells if cell.table))
        known = published.SOURCES.get(cells[0].source or "") if cells else None
        return ", ".join([known.short, *tables]) if known and known.short else self.entry.result.system.summary


@dataclass(eq=False)
class ComparableGroup:
    """Rows that are ranked together; ``languages`` are those of the average that ranks them."""

    title: str
    note: str
    measured: bool
    rows: list[LeaderboardRow]
    languages: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The languages that its averages cover, in words."""
        return average_label(list(self.languages)) if self.languages else "no average"

    def columns(self) -> Iterable[tuple[str, list[LeaderboardRow]]]:
        """Yield each column with the rows that are ranked in it."""
        for lang in dict.fromkeys(lang for row in self.rows for lang in row.scores):
            yield lang, [row for row in self.rows if lang in row.scores and (lang != AVERAGE or row.complete)]


def _any_cell(entry: Entry, measure: str) -> Cell | None:
    return next((cell for lang in entry.result.languages if (cell := entry.cell(lang, measure))), None)
