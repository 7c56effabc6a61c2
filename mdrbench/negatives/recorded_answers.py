"""Find recorded verdicts, generations and answers in files ``KIND-LANG-SPLIT.jsonl`` of a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.formats import jsonl


class Recorded(NamedTuple):
    """The files of one kind and split in a folder, one a language.

    Attributes:
        kind: how the names begin, such as ``judgments``.
        endings: of the names; a language has one file.
    """

    folder: Path
    kind: str
    split: str
    endings: tuple[str, ...] = ("jsonl",)

    def candidates(self, lang: str) -> list[Path]:
        """Return the possible paths of a language's file, one for each ending."""
        return [self.folder / f"{self.kind}-{lang}-{self.split}.{ending}" for ending in self.endings]

    def files(self) -> list[Path]:
        """Those that are there, of all languages."""
        names = re.compile(rf"{self.kind}-\w+-{re.escape(self.split)}\.({'|'.join(self.endings)})")
        return sorted(path for path in self.folder.glob(f"{self.kind}-*") if names.fullmatch(path.name))

    def require(self, what: str, otherwise: str) -> None:
        """Raise a DataError if there is no file; it names ``what`` is missing and an alternative."""
        if not self.files():
            raise DataError(
                f"holds no {what}",
                where=str(self.folder),
                mend=f"put {self.kind}-LANG-{self.split}.{self.endings[0]} files there{otherwise}",
            )

    def sha256(self) -> str:
        """One SHA-256 over the files' names and contents."""
        return jsonl.files_sha256(self.files())
