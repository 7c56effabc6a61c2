"""Arrays in files that any number of processes map: written once, compared with their SHA-256 before they are reused.

::

    FOLDER/NAME.flat, NAME.ends    a :class:`Ragged`: all rows end to end, and where each ends (int64)
    FOLDER/whole.json              written last: what the files were made of, the SHA-256 of each, a note

A folder without ``whole.json`` was not finished.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.store import file_sha256

if TYPE_CHECKING:
    import numpy as np

WHOLE = "whole.json"


class Ragged:
    """Rows of different lengths, end to end in one array.

    Args:
        flat: all rows.
        ends: (rows,) where each row ends in ``flat``.
    """

    def __init__(self, flat: np.ndarray, ends: np.ndarray):
        self._flat, self._ends = flat, ends

    @classmethod
    def open(cls, folder: Path, name: str, dtype: str) -> Ragged:
        """Map the files of :class:`Column`."""
        return cls(mapped(folder / f"{name}.flat", dtype), mapped(folder / f"{name}.ends", "int64"))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> np.ndarray:
        return self._flat[self._ends[row - 1] if row else 0 : self._ends[row]]


class Column:
    """Writes a :class:`Ragged`, row after row, in a ``with`` block; memory holds eight bytes a row."""

    def __init__(self, folder: Path, name: str):
        self._stem = folder / name
        self._file: IO[bytes] = open(self.flat, "wb")  # noqa: SIM115 - closed by __exit__
        self._ends = array("q")

    @property
    def flat(self) -> Path:
        """The file of all rows."""
        return self._stem.with_name(f"{self._stem.name}.flat")

    @property
    def ends(self) -> Path:
        """The file of their ends."""
        return self._stem.with_name(f"{self._stem.name}.ends")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, rows: Iterable[np.ndarray | bytes]) -> None:
        """Write rows: arrays of the dtype that the reader names, or bytes."""
        end = self._ends[-1] if self._ends else 0
        for row in rows:
            self._file.write(row if isinstance(row, bytes) else row.tobytes())
            end += len(row)
            self._ends.append(end)

    def __enter__(self) -> Column:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        with open(self.ends, "wb") as file:
            self._ends.tofile(file)


def mapped(path: Path, dtype: str) -> np.ndarray:
    """Map a file of numbers, read-only."""
    import numpy as np

    empty = not path.stat().st_size
    return np.empty(0, dtype) if empty else np.asarray(np.memmap(path, dtype, "r"))


def seal(folder: Path, made_of: str | None, note: dict[str, Any]) -> None:
    """Finish a folder: write the SHA-256 of all of its files, and a note."""
    files = {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
    write_atomically(folder / WHOLE, json.dumps({"made_of": made_of, "files": files, "note": note}))


def sealed(folder: Path, made_of: str) -> bool:
    """Tell whether a folder was finished, was made of this, and has its files as they were written."""
    try:
        whole = json.loads((folder / WHOLE).read_text(encoding="utf-8"))
        same: bool = whole["made_of"] == made_of and all(
            file_sha256(folder / name) == digest for name, digest in whole["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False
    return same


def note_of(folder: Path) -> dict[str, Any]:
    """Return the note of a finished folder."""
    note: dict[str, Any] = json.loads((folder / WHOLE).read_text(encoding="utf-8"))["note"]
    return note
