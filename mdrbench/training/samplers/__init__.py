"""Samplers: which training examples share a batch. One file each (``docs/add-a-sampler.md``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from mdrbench.core.types import Example


class Sampler(Protocol):
    """What a member's ``build(config)`` returns. :class:`mdrbench.training.samplers._batches.Batches` is most of it.

    A batch is a list of positions in ``examples``. No two of its examples have, in the same language, the same qid or a
    positive in common: in-batch negatives would be false ones. The batches of an epoch are decided by the examples, in
    their order, and by ``size``, ``seed`` and ``epoch``.

    ``world`` is the number of processes that share each batch; all batches can be divided by it.
    """

    def conventions(self) -> dict[str, Any]:
        """All that decides the batches beyond the arguments below, as JSON."""

    def sizes(self, examples: Sequence[Example], size: int, world: int = 1) -> dict[str, int]:
        """Examples of a batch for each language, or under ``all`` where batches mix languages.

        Raises:
            UsageError: ``world`` does not divide ``size``.
            DataError: a batch cannot be filled without two examples that must not share one.
        """

    def count(self, examples: Sequence[Example], size: int, world: int = 1) -> int:
        """Batches of every epoch; raises as ``sizes`` does, and what passes here cannot fail in ``batches``."""

    def batches(
        self, examples: Sequence[Example], size: int, seed: int, epoch: int, start: int = 0, world: int = 1
    ) -> Iterator[list[int]]:
        """The batches of an epoch from number ``start`` on: ``count`` of them less ``start``."""

    def shard(self, batch: list[int], rank: int, world: int) -> list[int]:
        """The part of a batch that process ``rank`` of ``world`` takes; parts are equal and do not overlap."""


def distribution(examples: Iterable[Example]) -> dict[str, dict[str, int]]:
    """Language -> domain -> number of examples, zeros included; both in the order in which they first occur."""
    counts = Counter((example.lang, example.domain) for example in examples)
    domains = list(dict.fromkeys(domain for _, domain in counts))
    return {lang: {domain: counts[lang, domain] for domain in domains} for lang in dict.fromkeys(c[0] for c in counts)}
