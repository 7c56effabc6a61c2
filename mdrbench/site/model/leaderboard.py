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

DECIMALS = 3
"""Published figures are ranked at this precision, the coarsest that publications print."""


@dataclass(slots=True)
class RankedScore:
    """A score and its place in its group's column.

    Attributes:
        letters: significance letters; empty if the system was not tested. A dagger after them: they hold for these
            trainings alone, because too few seeds are counted.
        top: whether it is the best score, or not significantly different from the best.
        heat: colour from 0 (far below the best) to 9 (the best).
        wrong: whether the audit suspects the figure; it is then not ranked.
        disputed: whether another figure contradicts it or disagrees with it.
        foreign: whether the model's own list of languages lacks the language.
    """

    cell: Cell
    rank: int | None = None
    letters: str = ""
    top: bool = False
    heat: int = 0
    wrong: bool = False
    disputed: bool = False
    foreign: bool = False

    @property
    def interval(self) -> str:
        """Both ends of the interval, or nothing."""
        low, high = self.cell.low, self.cell.high
        return "" if low is None or high is None else f"{number(low)}–{number(high)}"


@dataclass(eq=False)
class LeaderboardRow:
    """A system by one measure, with the figures of one source.

    Attributes:
        scores: by language, and :data:`AVERAGE`.
        average_languages: the languages of the system's average.
        complete: whether the average covers all languages of the group's average, and no figure of it is suspected.
        others: the figures of other sources and tables for the same system.
    """

    entry: Entry
    measure: str
    scores: dict[str, RankedScore]
    average_languages: tuple[str, ...] = ()
    average_label: str = ""
    complete: bool = False
    others: list[LeaderboardRow] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The system's name; a published system has the name under which its sources are shown together."""
        return self.entry.name if self.entry.measured else self.entry.identity

    @cached_property
    def organisation(self) -> str:
        """The part of a model's name before the slash, or nothing."""
        return self.name.partition("/")[0] if "/" in self.name and not self.entry.measured else ""

    @cached_property
    def short_name(self) -> str:
        """The name without the organisation."""
        return self.name.partition("/")[2] if self.organisation else self.name

    @cached_property
    def properties(self) -> SystemProperties:
        """What the table is filtered by."""
        return properties.of_system(self.entry)

    @cached_property
    def origin(self) -> str:
        """``measured``, ``submitted`` or the citation key of the publication."""
        if self.entry.measured:
            return "submitted" if self.entry.submitted else "measured"
        return self.entry.source

    @cached_property
    def source(self) -> str:
        """The publication with its table; empty for a measured system."""
        return "" if self.entry.measured else source_of(self.entry, self.measure)

    def ranked(self, code: str) -> RankedScore | None:
        """Return a column's score if it may be ranked."""
        score = self.scores.get(code)
        return None if score is None or score.wrong or (code == AVERAGE and not self.complete) else score


@dataclass(eq=False)
class ComparableGroup:
    """Rows that are ranked together; ``languages`` are those of the average that ranks them.

    Attributes:
        kind: ``measured``, ``published``, or ``predicted`` (figures that nobody measured; they have no ranks).
        variants: variants of recipes; they are not ranked and no part of the family of tests.
        family: the pairs that the letters' correction is over, in words; empty if nothing was tested.
    """

    title: str
    note: str
    kind: str
    rows: list[LeaderboardRow]
    languages: tuple[str, ...] = ()
    variants: list[LeaderboardRow] = field(default_factory=list)
    family: str = ""

    @property
    def measured(self) -> bool:
        """Whether mdrbench scored the systems."""
        return self.kind == "measured"

    @property
    def label(self) -> str:
        """The languages that its averages cover, in words."""
        return average_label(list(self.languages)) if self.languages else "no average"

    def columns(self) -> Iterable[tuple[str, list[LeaderboardRow]]]:
        """Yield each column with the rows that are ranked in it."""
        columns: dict[str, list[LeaderboardRow]] = {}
        for row in self.rows:
            for code in row.scores:
                if row.ranked(code):
                    columns.setdefault(code, []).append(row)
        yield from columns.items()


def source_of(entry: Entry, measure: str) -> str:
    """Name the publication, its table and its version in a few words."""
    known = published.SOURCES.get(entry.source)
    if known is None or known.short is None:
        return entry.result.evaluated.software or entry.result.system.summary
    table = next((cell.table for lang in entry.result.languages if (cell := entry.cell(lang, measure))), None)
    return ", ".join(filter(None, [known.short, table]))
