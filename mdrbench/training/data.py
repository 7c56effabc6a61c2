"""The inputs of a step: passages drawn by seed, and which of them count as negatives."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.training import Key
from mdrbench.training.curriculum import allowed
from mdrbench.training.token_files import TrainingData

if TYPE_CHECKING:
    import numpy as np


class Batch(NamedTuple):
    """The queries of a step and the passages drawn for them.

    Attributes:
        keys: B queries.
        queries: their rows (:class:`mdrbench.training.token_files.TrainingData`).
        passages: P rows: each query's positive followed by its hard negatives. A passage drawn for two queries occurs
            twice.
        targets: B positions of the positives in ``passages``, ascending.
    """

    keys: list[Key]
    queries: list[int]
    passages: list[int]
    targets: list[int]

    def shares(self, processes: int) -> list[tuple[slice, slice]]:
        """Return queries and their passages for each process: neighbours, shared as evenly as possible."""
        bounds = [len(self.keys) * i // processes for i in range(processes + 1)]
        columns = [*self.targets, len(self.passages)]
        return [(slice(a, b), slice(columns[a], columns[b])) for a, b in pairwise(bounds)]

    def owners(self) -> list[int]:
        """Return for each passage the position of the query that it was drawn for."""
        ends = [*self.targets[1:], len(self.passages)]
        return [i for i, (a, b) in enumerate(zip(self.targets, ends, strict=True)) for _ in range(b - a)]


class Examples:
    """The training groups of all languages, by language and qid."""

    def __init__(
        self,
        data: TrainingData,
        negatives: int,
        seed: int,
        curriculum: float | None = None,
        steps: int = 0,
        *,
        with_replacement: bool = False,
    ):
        self.data = data
        self._negatives, self._seed, self._again = negatives, seed, with_replacement
        self._curriculum, self._steps = curriculum, steps

    def draw(self, step: int, keys: list[Key]) -> Batch:
        """Draw one positive and up to ``negatives`` different hard negatives for each query, by seed, step and query.

        A query that is in the batch twice draws twice. If a group has fewer negatives, the query has fewer. With
        replacement, a negative may be drawn twice, and only a group without negatives gives fewer.

        Raises:
            DataError: a query that has no training group.
        """
        queries: list[int] = []
        passages: list[int] = []
        targets: list[int] = []
        times: Counter[Key] = Counter()
        for key in keys:
            query = self.row(key, step)
            dice = random.Random(f"{self._seed}\0{step}\0{key[0]}\0{key[1]}\0{times[key]}")
            times[key] += 1
            offered: Sequence[int] = self.data.negatives[query].tolist()
            if self._curriculum is not None:
                offered = allowed(offered, step, self._steps, self._curriculum)
            if self._again and offered:
                chosen = dice.choices(offered, k=self._negatives)
            else:
                chosen = dice.sample(offered, min(self._negatives, len(offered)))
            queries.append(query)
            targets.append(len(passages))
            passages += (dice.choice(self.data.positives[query].tolist()), *chosen)
        return Batch(list(keys), queries, passages, targets)

    def row(self, key: Key, step: int) -> int:
        """Return the row of a step's query; a DataError if it has no training group."""
        if (row := self.data.rows.get(key)) is None:
            raise DataError(f"step {step} asks for query '{key[1]}' ({key[0]}), which has no training group")
        return row

    def ignored(self, batch: Batch) -> np.ndarray:
        """Return booleans (B, P): true for a query's other positives and for passages with the text of a positive.

        Two docids may have the same text, in one language or in two.
        """
        import numpy as np

        rows = np.zeros((len(batch.queries), len(batch.passages)), dtype=bool)
        texts = self._texts(batch.passages)
        for i, query in enumerate(batch.queries):
            positives = set(self._texts(self.data.positives[query]))
            rows[i] = [text in positives for text in texts]
            rows[i, batch.targets[i]] = False
        return rows

    def _texts(self, passages: Sequence[int] | np.ndarray) -> list[bytes]:
        """Return the digests of passages' texts: the same for equal texts."""
        return [self.data.digests[row].tobytes() for row in passages]


def weights_of(keys: Iterable[Key], weight: Callable[[Key], float]) -> dict[Key, float]:
    """Return the weight of each query.

    Raises:
        DataError: a weight that is not a positive number.
    """
    found = {}
    for key in keys:
        found[key] = float(weight(key))
        if not 0 < found[key] < float("inf"):
            raise DataError(f"the weight of query '{key[1]}' ({key[0]}) is {found[key]}, not a positive number")
    return found
