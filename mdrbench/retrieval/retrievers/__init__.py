"""Retrievers, one file each (see :mod:`mdrbench.core.registry`); ``docs/add-a-retriever.md`` explains one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from mdrbench.core.types import Passage, Run, Topics


class Retriever(Protocol):
    """Indexes a corpus and searches topics.

    A class whose ``Spec`` has ``combines="runs"`` has ``fuse(runs, depth)`` in place of ``index`` and ``search``. With
    ``combines="indexes"`` it has no ``index``, and ``search`` gets the indexes of its parts by label. A retriever that
    can score passages that it did not retrieve also has ``score(lang, index, topics, wanted)``
    (:meth:`mdrbench.retrieval.retrievers.dense.Dense.score`).
    """

    def prepare(self, say: Callable[[str], None]) -> None:
        """Download what is needed before planning (a model), and report it to ``say``."""

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return how this language is indexed and searched, as JSON: part of the artifacts' keys."""

    def estimate(self, corpus_bytes: int) -> int:
        """Estimate the index's size in bytes for a corpus whose compressed files have ``corpus_bytes``."""

    def index(
        self, lang: str, passages: Iterable[Passage], out: Path, progress: Callable[[int], None]
    ) -> dict[str, Any]:
        """Index a stream of passages into the folder ``out``.

        Returns:
            Facts for the manifest; ``indexed`` (passages in the index) and ``skipped`` (passages with nothing to
            index) are checked against the corpus.
        """

    def search(self, lang: str, index: Path, topics: Topics, depth: int) -> Run:
        """Return at most ``depth`` hits for every topic; a topic without hits has an empty list."""
