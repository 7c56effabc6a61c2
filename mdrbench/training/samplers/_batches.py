"""Shared by samplers: examples that must not share a batch, sizes of batches, shuffled rounds, shards."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.types import Example

Item = TypeVar("Item", bound=Hashable)


class Pool:
    """Examples that may share a batch, unless they have a common mark.

    Attributes:
        members: positions of the examples.
        width: examples of a batch.
        core: positions of at least ``width`` examples without common marks.

    Raises:
        DataError: there are ``size`` examples or more, but too few of them may share a batch; or there are fewer, and
            no two may share one. Fewer than ``size`` that may share a batch make smaller batches.
    """

    def __init__(self, members: list[int], marks: Sequence[frozenset[int]], size: int, world: int, label: str | None):
        self.members, self._marks = members, marks
        self.core = self._apart(size)
        self.width = min(size, len(self.core)) // world * world
        if len(self.core) >= size or (len(members) < size and self.width >= 2):
            return
        whose = "the training examples" if label is None else f"the examples of '{label}'"
        parts = "" if world == 1 else f" in equal parts for {world} processes"
        works = len(self.core) // world * world
        mend = f"set training.batch_size to {works} or less" if works >= max(2, world) else "use more training queries"
        raise DataError(
            f"{whose} cannot fill a batch of {size}{parts} without a query or a positive twice: of {len(members)} at "
            f"most {len(self.core)} can be together",
            mend=mend if label is None else f"{mend}, or leave '{label}' out",
        )

    def _apart(self, size: int) -> list[int]:
        """Return up to ``size`` members that may share a batch; members with few common marks come first."""
        met = Counter(mark for i in self.members for mark in self._marks[i])
        used: set[int] = set()
        found: list[int] = []
        for i in sorted(self.members, key=lambda i: sum(met[mark] - 1 for mark in self._marks[i])):
            if used.isdisjoint(self._marks[i]):
                found.append(i)
                used |= self._marks[i]
                if len(found) == size:
                    break
        return found

    def certain(self, seed: str) -> list[int]:
        """Return a batch from the core, for a draw that gave no full batch."""
        return shuffled(self.core, seed)[: self.width]


class Batches(ABC):
    """The part of :class:`mdrbench.training.samplers.Sampler` that does not depend on the order of the examples."""

    same_language = False
    """Whether all examples of a batch share a language."""

    def sizes(self, examples: Sequence[Example], size: int, world: int = 1) -> dict[str, int]:
        """See :class:`mdrbench.training.samplers.Sampler`."""
        return {label or "all": pool.width for label, pool in self._pools(examples, size, world).items()}

    def count(self, examples: Sequence[Example], size: int, world: int = 1) -> int:
        """Return the number of batches that hold every example once."""
        return sum(epoch_batches(pool) for pool in self._pools(examples, size, world).values())

    def batches(
        self, examples: Sequence[Example], size: int, seed: int, epoch: int, start: int = 0, world: int = 1
    ) -> Iterator[list[int]]:
        """See :class:`~mdrbench.training.samplers.Sampler`. Arguments are checked first; batches are made lazily."""
        pools = self._pools(examples, size, world)
        count = sum(map(epoch_batches, pools.values()))
        if epoch < 0 or not 0 <= start <= count:
            raise UsageError(f"no batch {start} of epoch {epoch}: an epoch has {count} batches, counted from 0")
        drawn = self._draw(examples, pools, marks(examples), str(seed), epoch)
        return (batch for number, batch in enumerate(drawn) if number >= start)

    @abstractmethod
    def _draw(
        self,
        examples: Sequence[Example],
        pools: dict[str | None, Pool],
        marks: Sequence[frozenset[int]],
        seed: str,
        epoch: int,
    ) -> Iterator[list[int]]:
        """Yield all batches of an epoch."""

    def shard(self, batch: list[int], rank: int, world: int) -> list[int]:
        """See :class:`mdrbench.training.samplers.Sampler`."""
        if not 0 <= rank < world or len(batch) % world:
            raise UsageError(f"no equal part for process {rank} of {world} in a batch of {len(batch)}")
        part = len(batch) // world
        return batch[rank * part : (rank + 1) * part]

    def _pools(self, examples: Sequence[Example], size: int, world: int) -> dict[str | None, Pool]:
        """Return the pools that batches are drawn from: one per language, or one (None) of all examples."""
        if size < 1 or world < 1 or size % world:
            raise UsageError(
                f"a batch of {size} cannot be shared equally among {world} processes",
                mend=f"make the batch size a multiple of {max(world, 1)}",
            )
        if not examples:
            raise DataError("there is no training example", mend="check the languages and the training groups")
        members: dict[str | None, list[int]] = {}
        for i, example in enumerate(examples):
            members.setdefault(example.lang if self.same_language else None, []).append(i)
        found = marks(examples)
        return {label: Pool(positions, found, size, world, label) for label, positions in members.items()}


class Rounds(Generic[Item]):
    """An endless sequence of rounds; each holds every item as often as ``items`` does, in an order of its own.

    Any place can be looked up directly.
    """

    def __init__(self, items: Sequence[Item], seed: str):
        self._items, self._seed = items, seed
        self._each = Counter(items)
        self._number: int | None = None

    def _turn(self, number: int) -> list[tuple[Item, int]]:
        """Return the items of a round, each with its number of earlier occurrences in the round."""
        if number != self._number:
            met: Counter[Item] = Counter()
            self._order = []
            for item in shuffled(self._items, f"{self._seed}/{number}"):
                self._order.append((item, met[item]))
                met[item] += 1
            self._number = number
        return self._order

    def at(self, place: int) -> tuple[Item, int]:
        """Return the item at a place, and its number of earlier occurrences."""
        number, offset = divmod(place, len(self._items))
        item, before = self._turn(number)[offset]
        return item, number * self._each[item] + before

    def before(self, place: int) -> Counter[Item]:
        """Return each item's number of occurrences before a place."""
        number, offset = divmod(place, len(self._items))
        found = Counter({item: number * each for item, each in self._each.items()})
        found.update(item for item, _ in self._turn(number)[:offset])
        return found


def epoch_batches(pool: Pool) -> int:
    """Return the number of batches that hold every member of a pool once."""
    return -(-len(pool.members) // pool.width)


def marks(examples: Iterable[Example]) -> list[frozenset[int]]:
    """Return marks: numbers for each example's qid and positives; a common number keeps two examples apart."""
    numbers: dict[tuple[str, str, str], int] = {}

    def number(lang: str, kind: str, name: str) -> int:
        return numbers.setdefault((lang, kind, name), len(numbers))

    return [
        frozenset((number(e.lang, "qid", e.qid), *(number(e.lang, "docid", docid) for docid in e.positives)))
        for e in examples
    ]


def shuffled(items: Sequence[Any], seed: str) -> list[Any]:
    """Return the items in an order that depends on the seed, the same in every process."""
    order = list(items)
    random.Random(seed).shuffle(order)
    return order
