"""The files of a built wiki16, each with its size and SHA-256, which are the same on every machine.

``content.tsv`` lists them: language, kind, split, lines, bytes, SHA-256.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.store import file_sha256

LISTING = Path(__file__).with_name("content.tsv")


class ContentFile(NamedTuple):
    """One file of the collection. ``kind`` is corpus, topics or qrels; ``split`` is empty for a corpus."""

    lang: str
    kind: str
    split: str
    lines: int
    bytes: int
    sha256: str

    @property
    def folder(self) -> str:
        """The folder of the language that the file is in, below the data set's root."""
        if self.kind == "corpus":
            return f"miracl-corpus/miracl-corpus-v1.0-{self.lang}"
        return f"miracl/miracl-v1.0-{self.lang}"

    @property
    def name(self) -> str:
        """The file's path below :attr:`folder`."""
        if self.kind == "corpus":
            return "docs-0.jsonl"
        return f"{self.kind}/{self.kind}.miracl-v1.0-{self.lang}-{self.split}.tsv"

    @property
    def path(self) -> str:
        """The file's path below the data set's root."""
        return f"{self.folder}/{self.name}"

    def is_in(self, root: Path) -> bool:
        """Tell whether the file is there in its size."""
        path = root / self.path
        return path.is_file() and path.stat().st_size == self.bytes

    def problem(self, root: Path) -> str | None:
        """Read the file and return what is wrong with it, None if it has the pinned content."""
        path = root / self.path
        if not path.is_file():
            return "missing"
        return None if file_sha256(path) == self.sha256 else "content differs from the pinned SHA-256"


@cache
def content_files() -> tuple[ContentFile, ...]:
    """Return all files of the collection, by language."""
    rows = (row.split("\t") for row in LISTING.read_text(encoding="utf-8").splitlines()[1:])
    return tuple(
        ContentFile(lang, kind, split, int(lines), int(size), sha256) for lang, kind, split, lines, size, sha256 in rows
    )


def content_of(langs: list[str], splits: list[str] | None = None) -> list[ContentFile]:
    """Return the corpora of languages and the topics and qrels of splits; None stands for all splits."""
    return [
        file
        for file in content_files()
        if file.lang in langs and (file.kind == "corpus" or splits is None or file.split in splits)
    ]
