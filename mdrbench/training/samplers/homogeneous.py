"""Batches of one language. Languages and domains are drawn evenly, so small ones come as often as large ones.

The batches of Huang et al., "Boosting Data Utilization for Multilingual Dense Retrieval" (EMNLP 2025). Nothing is
left to chance: languages come in shuffled rounds, and so do the domains of a language and the examples of a domain in a
language (a cell). All examples of a cell are seen before one is seen again. Rounds continue over the epochs: a language
that is larger than its share of an epoch continues in the next epoch.

A cell with fewer examples than its share of a batch gives the rest to the language's other domains. An example that is
alone in its domain is therefore in most of its language's batches. If two examples must not share a batch, one
waits for the language's next batch. If that gives no full batch, another one is drawn from examples that may all meet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.types import Example
from mdrbench.training.samplers._batches import Batches, Pool, Rounds, epoch_batches, shuffled

Share = Literal["uniform", "proportional"]


class Config(MemberConfig):
    """``uniform`` gives every language, or every domain of a language, the same share. ``proportional`` gives each its
    share of the examples. ``same_language: false`` fills each batch from all languages, in the same shares.
    """

    same_language: bool = True
    languages: Share = "uniform"
    domains: Share = "uniform"


class Homogeneous(Batches):
    """See :class:`mdrbench.training.samplers.Sampler`."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        self.config = config
        self.same_language = config.same_language

    def conventions(self) -> dict[str, Any]:
        """Return the settings."""
        return {"sampler": "homogeneous", **self.config.model_dump(mode="json")}

    def _draw(
        self,
        examples: Sequence[Example],
        pools: dict[str | None, Pool],
        marks: Sequence[frozenset[int]],
        seed: str,
        epoch: int,
    ) -> Iterator[list[int]]:
        """Look up where the epoch begins, then draw batch after batch."""
        uniform = self.config.languages == "uniform"
        each = {label: 1 if uniform else epoch_batches(pool) for label, pool in pools.items()}
        turns = Rounds([label for label in pools for _ in range(each[label])], seed)
        count = sum(map(epoch_batches, pools.values()))
        before = turns.before(epoch * count)
        cells = {
            label: _Cells(pool, examples, marks, self.config, f"{seed}/{label}", begin=before[label] * pool.width)
            for label, pool in pools.items()
        }
        for number in range(epoch * count, (epoch + 1) * count):
            label, ordinal = turns.at(number)
            yield cells[label].batch(ordinal)


class _Cells:
    """Return the cells of a pool, each with its place in its rounds."""

    def __init__(
        self,
        pool: Pool,
        examples: Sequence[Example],
        marks: Sequence[frozenset[int]],
        config: Config,
        seed: str,
        begin: int,
    ):
        self._pool, self._marks, self._seed = pool, marks, seed
        uniform = config.domains == "uniform"
        members: dict[str, dict[str, list[int]]] = {}
        for i in pool.members:
            example = examples[i]
            members.setdefault(example.lang, {}).setdefault(example.domain if uniform else "", []).append(i)
        even = config.languages == "uniform"
        self._languages = Rounds([lang for lang in members for _ in range(1 if even else _total(members[lang]))], seed)
        self._domains = {lang: Rounds(list(found), f"{seed}/{lang}") for lang, found in members.items()}
        begun = self._languages.before(begin)
        self._walks = {}
        for lang, found in members.items():
            drawn = self._domains[lang].before(begun[lang])
            for domain, positions in found.items():
                name = f"{seed}/{lang}/{domain}"
                self._walks[lang, domain] = _Walk(positions, name, drawn[domain])

    def batch(self, ordinal: int) -> list[int]:
        """Return the pool's batch of this number, counted over all epochs."""
        batch: list[int] = []
        used: set[int] = set()
        spent: set[tuple[str, str]] = set()
        for place in range(ordinal * self._pool.width, (ordinal + 1) * self._pool.width):
            lang, before = self._languages.at(place)
            domain, _ = self._domains[lang].at(before)
            found = self._take((lang, domain), place, used, spent)
            if found is None:
                return self._pool.certain(f"{self._seed}/certain/{ordinal}")
            batch.append(found)
            used |= self._marks[found]
        return batch

    def _take(self, cell: tuple[str, str], place: int, used: set[int], spent: set[tuple[str, str]]) -> int | None:
        """Return an example of the cell, or of another cell if it has none left; the same language first."""
        if (found := self._from(cell, used, spent)) is not None:
            return found
        others = shuffled([other for other in self._walks if other not in spent], f"{self._seed}/instead/{place}")
        for other in sorted(others, key=lambda other: other[0] != cell[0]):
            if (found := self._from(other, used, spent)) is not None:
                return found
        return None

    def _from(self, cell: tuple[str, str], used: set[int], spent: set[tuple[str, str]]) -> int | None:
        if cell in spent:
            return None
        found = self._walks[cell].take(self._marks, used)
        if found is None:
            spent.add(cell)
        return found


class _Walk:
    """A cell's examples, round after round."""

    def __init__(self, members: list[int], seed: str, begin: int):
        self._members, self._at = members, begin
        self._rounds = Rounds(members, seed)
        self._waiting: deque[int] = deque()

    def take(self, marks: Sequence[frozenset[int]], used: set[int]) -> int | None:
        """Return the next example without a used mark; examples that are passed over come first the next time."""
        for i in self._waiting:
            if used.isdisjoint(marks[i]):
                self._waiting.remove(i)
                return i
        waiting = set(self._waiting)
        if not any(used.isdisjoint(marks[i]) for i in self._members if i not in waiting):
            return None
        while True:
            i, _ = self._rounds.at(self._at)
            self._at += 1
            if i in waiting:
                continue
            if used.isdisjoint(marks[i]):
                return i
            self._waiting.append(i)
            waiting.add(i)


def _total(found: dict[str, list[int]]) -> int:
    return sum(map(len, found.values()))
