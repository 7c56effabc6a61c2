"""Training of dense encoders: one loop on accelerate (:mod:`mdrbench.training.loop`).

What it needs is said here, in types that cost no import: the data by language, the batches, and the conventions of the
encoder. ``loop.train`` turns them and a model's folder into a checkpoint in sentence-transformers' layout.
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
        passages: docid -> text as it goes to the encoder, title and text joined; every docid of the groups is there.
    """

    queries: dict[str, str]
    groups: list[TrainingGroup]
    passages: dict[str, str]


class Batches(Protocol):
    """The batches of a whole training, all epochs, in order. The same number always gives the same batch."""

    def count(self) -> int:
        """How many steps there are."""

    def batch(self, n: int) -> list[Key]:
        """The queries of step ``n``, counted from 0; of all processes together."""


class EncoderSettings(Protocol):
    """The conventions of the encoder that is trained; the settings of the ``transformer`` encoder have them all."""

    pooling: Pooling
    normalize: bool
    query_prefix: str
    passage_prefix: str
    query_length: int
    passage_length: int


def held_out(keys: Iterable[Key], share: float, seed: int) -> set[Key]:
    """The queries kept for validation: ``share`` of each language's, rounded, at least one where ``share`` is not 0.

    They follow from the seed and the queries alone, not from their order. A language with a single query keeps it for
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
