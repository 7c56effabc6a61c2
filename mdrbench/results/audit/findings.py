"""What the audit says about published figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, get_args

Kind = Literal["error", "not comparable", "disagreement", "note"]
"""error: the figures contradict each other, so at least one is wrong. not comparable: the figures must not stand in one
ranking. disagreement: sources differ and their settings may explain it. note: a mark for readers; nothing is wrong."""

KINDS: tuple[Kind, ...] = get_args(Kind)


class Figure(NamedTuple):
    """A published figure, 0 to 1, and where it is from: source, table or task, software, revisions."""

    value: float
    source: str


@dataclass(frozen=True)
class Finding:
    """One finding.

    ``system`` is a name, or says how many systems are meant; ``language`` is a code or empty. ``rows`` are the ids of
    the published rows that the finding marks (see :attr:`PublishedRow.id`), and ``languages`` the marked languages of
    these rows; empty means all of them. ``suspects`` are the rows of an error whose figure is probably the wrong one.
    """

    rule: str
    kind: Kind
    system: str
    collection: str
    measure: str
    reason: str
    figures: tuple[Figure, ...] = ()
    languages: tuple[str, ...] = ()
    rows: tuple[str, ...] = field(default=(), compare=False)
    suspects: tuple[str, ...] = field(default=(), compare=False)

    @property
    def language(self) -> str:
        """The languages as text: ``th``, or ``bn, de, en``; empty for all."""
        return ", ".join(self.languages)

    def order(self) -> tuple[int, str, str, str, str]:
        """Sort key: errors first, then rule, system, collection and language."""
        return KINDS.index(self.kind), self.rule, self.system.lower(), self.collection, self.language

    def as_json(self) -> dict[str, Any]:
        """Return everything, for scripts and for the site."""
        return {**asdict(self), "figures": [figure._asdict() for figure in self.figures], "language": self.language}


def wrong_cells(findings: list[Finding]) -> set[tuple[str, str]]:
    """Return (row id, language) of every figure that an error suspects; such figures must not be ranked."""
    return {(row, lang) for f in findings if f.kind == "error" for row in f.suspects for lang in f.languages}


def three(value: float) -> str:
    """A figure as the audit writes it: ``.756``."""
    return f"{value:.3f}".removeprefix("0")
