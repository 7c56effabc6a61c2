"""The files of a built wiki16, each with its size and SHA-256, which are the same on every machine.

``content.tsv`` lists them: language, kind, split, lines, bytes, SHA-256.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.store import file_sha256
from mdrbench.data.paths import corpus_folder, split_file

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
    def path(self) -> str:
        """The file's path below the data set's root."""
        if self.kind == "corpus":
            return f"{corpus_folder(self.lang)}/docs-0.jsonl"
        return split_file(self.kind, self.lang, self.split)

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
