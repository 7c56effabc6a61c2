"""Encoders: text to vectors, one file each (see :mod:`mdrbench.registry`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Encoder(Protocol):
    """What a member's ``build(config)`` returns."""

    def conventions(self) -> dict:
        """All that decides an embedding (model, source, revision, pooling, prefixes, lengths, precision), as JSON."""

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Float32 embeddings of shape (len(texts), dim)."""

    def encode_passages(
        self, texts: Iterable[str], window: int, progress: Callable[[int], None]
    ) -> Iterator[np.ndarray]:
        """Float32 embeddings of shape (at most ``window``, dim), in order, a window of texts at a time."""
