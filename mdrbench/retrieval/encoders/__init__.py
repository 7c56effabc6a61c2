"""Encoders: text to vectors, one file each (see :mod:`mdrbench.core.registry`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


class Encoder(Protocol):
    """Turns text into vectors.

    Attributes:
        dim: width of an embedding.
        device: where the model runs: ``cpu``, ``cuda`` (also ROCm), ``mps`` or ``xpu``.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """

    @property
    def dim(self) -> int: ...

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch what is needed before planning, and tell ``say`` about it."""

    def conventions(self) -> dict[str, Any]:
        """All that decides an embedding (model, source, revision, pooling, prefixes, lengths, precision), as JSON."""

    def facts(self) -> dict[str, Any]:
        """What is not in the conventions and may change the last bits of an embedding (device, threads), as JSON."""

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Float32 embeddings of shape (len(texts), dim)."""

    def encode_passages(self, texts: list[str], progress: Callable[[int], None]) -> np.ndarray:
        """Float32 embeddings of shape (len(texts), dim); ``progress`` is told how many are done.

        A corpus is cut into windows by the caller: what an encoder holds in memory is one window.
        """
