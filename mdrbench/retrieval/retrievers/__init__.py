"""Retrievers, one file each (see :mod:`mdrbench.core.registry`); ``docs/add-a-retriever.md`` explains one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


class ByWindows(Protocol):
    """A retriever whose index is made in windows of ``config.shard_size`` passages, each by itself.

    Several processes may make one index: the bits of a window depend on its passages alone.
    """

    def finished(self, out: Path) -> Iterator[list[str]]:
        """Yield the docids of the windows that are whole in ``out``, up to the first that is missing."""

    def index_window(self, passages: list[Passage], number: int, out: Path, progress: Callable[[int], None]) -> None:
        """Index a window into files of its own, named by its number."""

    def window_facts(self) -> dict[str, Any]:
        """Return facts about how this process computes a window (device, threads)."""

    def index_facts(self, out: Path) -> dict[str, Any]:
        """Return counts over all windows, for the manifest."""


class ByJoining(Protocol):
    """A retriever whose indexes of several windows of a corpus can be joined; scores are those of one index."""

    def join(self, parts: list[Path], out: Path) -> None:
        """Join indexes that :meth:`Retriever.index` made, in the order of the corpus."""
