"""What verifying a stored file found: problems, and what could not be checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


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


def as_json(one: Verified) -> dict[str, Any]:
    """Everything, for scripts."""
    return {**asdict(one), "path": str(one.path)}
