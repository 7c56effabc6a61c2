"""Training of dense encoders: one loop on accelerate (:mod:`mdrbench.training.loop`).

This module defines its inputs in types that need no heavy import: the data by language, the batches, and the encoder's
conventions. ``loop.train`` makes a checkpoint in sentence-transformers' layout from them and a model's folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from mdrbench.core.types import TrainingGroup
from mdrbench.retrieval.pooling import Pooling

Key = tuple[str, str]
"""Language and qid: qids repeat across languages."""


class Material(NamedTuple):
    """One language's training data.

    Attributes:
        queries: qid -> text; every group's query is among them.
        groups: positives and hard negatives by docid.
        passages: docid -> text for the encoder, title and text joined; it holds every docid of the groups.
    """

    queries: dict[str, str]
    groups: list[TrainingGroup]
    passages: dict[str, str]


class Batches(Protocol):
    """The batches of a whole training, all epochs, in order. The same number always gives the same batch."""

    def count(self) -> int:
        """Return the number of steps."""

    def batch(self, n: int) -> list[Key]:
        """Return the queries of step ``n``, counted from 0, for all processes together."""


class EncoderSettings(Protocol):
    """The conventions of the encoder to train; ``Transformer.settings`` has them all."""

    pooling: Pooling
    normalize: bool
    query_prefix: str
    passage_prefix: str
    query_length: int
    passage_length: int


def held_out(keys: Iterable[Key], share: float, seed: int) -> set[Key]:
    """Return the queries kept for validation: ``share`` of each language, rounded, at least one unless ``share`` is 0.

    They depend on the seed and the queries alone, not on their order. A language with a single query keeps it for
    training.
    """
    by_language: dict[str, set[str]] = {}
    for lang, qid in keys:
        by_language.setdefault(lang, set()).add(qid)
    kept: set[Key] = set()
    for lang, qids in by_language.items():
        number = min(max(1, round(share * len(qids))), len(qids) - 1) if share else 0
        order = sorted(qids, key=lambda qid: hashlib.sha256(f"{seed}\0{lang}\0{qid}".encode()).digest())
        kept.update((lang, qid) for qid in order[:number])
    return kept
