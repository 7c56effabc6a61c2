"""What verifying a stored file found: problems, and what could not be checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mdrbench.core import console
from mdrbench.core.errors import DataError


@dataclass(frozen=True)
class Problem:
    """Something that cannot be re-derived. ``stored`` and ``derived`` are None where it is no value."""

    file: str
    what: str
    lang: str | None = None
    measure: str | None = None
    stored: Any = None
    derived: Any = None
    mend: str = ""

    def __str__(self) -> str:
        place = " ".join(part for part in (self.lang, self.measure) if part)
        values = "" if self.derived is None else f": stored {self.stored}, derived {self.derived}"
        return f"{self.file}: {place + ': ' if place else ''}{self.what}{values}"


@dataclass
class Verified:
    """What was checked of one result file, what was not, and the problems."""

    path: Path
    cells: int = 0
    topics: int = 0
    rescored: bool = False
    corpus: bool = False
    problems: list[Problem] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def problem(self, what: str, *, file: Path | None = None, **details: Any) -> None:
        """Add a problem of a file, by default of the verified one; ``details`` are fields of :class:`Problem`."""
        self.problems.append(Problem(console.shown(file or self.path), what, **details))

    def unreadable(self, error: DataError, lang: str | None = None) -> None:
        """Add what stopped the reading of a file."""
        where = console.shown(Path(error.where)) if error.where else console.shown(self.path)
        self.problems.append(Problem(where, error.message, lang=lang, mend=error.mend or ""))

    def same(self, what: str, stored: Any, derived: Any, **details: Any) -> None:
        """Add a problem if a stored value is not the derived one."""
        if stored != derived:
            self.problem(what, stored=stored, derived=derived, **details)


def as_json(one: Verified) -> dict[str, Any]:
    """Everything, for scripts."""
    return {**asdict(one), "path": str(one.path)}
