"""Samplers: which training examples share a batch. One file each (``docs/add-a-sampler.md``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from mdrbench.core.types import Example
from mdrbench.training.samplers._batches import Batches, epoch_batches

__all__ = ["Batches", "Sampler", "distribution", "epoch_batches"]


class Sampler(Protocol):
    """Decides which examples share a batch. :class:`mdrbench.training.samplers.Batches` is most of it.

    A batch is a list of positions in ``examples``. No two of its examples share a qid or a positive in the same
    language, because in-batch negatives would be false. The batches of an epoch depend on the examples, in their order,
    and on ``size``, ``seed`` and ``epoch``.

    ``world`` is the number of processes that share each batch; all batches can be divided by it.
    """

    def conventions(self) -> dict[str, Any]:
        """Return the settings that decide the batches beside the arguments below, as JSON."""

    def sizes(self, examples: Sequence[Example], size: int, world: int = 1) -> dict[str, int]:
        """Return the examples of a batch for each language, or under ``all`` if batches mix languages.

        Raises:
            UsageError: ``world`` does not divide ``size``.
            DataError: a batch cannot be filled without two examples that must not share one.
        """

    def count(self, examples: Sequence[Example], size: int, world: int = 1) -> int:
        """Return the number of batches of an epoch; raises as ``sizes`` does. Then ``batches`` cannot fail."""

    def batches(
        self, examples: Sequence[Example], size: int, seed: int, epoch: int, start: int = 0, world: int = 1
    ) -> Iterator[list[int]]:
        """Yield the batches of an epoch from number ``start`` on: ``count`` minus ``start`` of them."""

    def shard(self, batch: list[int], rank: int, world: int) -> list[int]:
        """Return the part of a batch for process ``rank`` of ``world``; parts are equal and do not overlap."""


def distribution(examples: Iterable[Example]) -> dict[str, dict[str, int]]:
    """Return language -> domain -> number of examples, zeros included; both in the order of their first occurrence."""
    counts = Counter((example.lang, example.domain) for example in examples)
    domains = list(dict.fromkeys(domain for _, domain in counts))
    return {lang: {domain: counts[lang, domain] for domain in domains} for lang in dict.fromkeys(c[0] for c in counts)}
