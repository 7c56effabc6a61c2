"""Shared by samplers that know the order of an epoch: cut it into full batches, and keep apart what must not meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from mdrbench.training.samplers._batches import Pool, shuffled

LOOKED_AT = 256
"""Batches that are tried for an example without a place."""


def filled(pool: Pool, order: list[int], marks: Sequence[frozenset[int]], count: int, name: str) -> Iterator[list[int]]:
    """Yield ``count`` full batches in the order of the examples; those that must not meet move to other batches.

    A batch that is not full takes examples of another shuffle of the pool. If none may join, it is a batch of the core.
    """
    batches, left = _packed(order, marks, pool.width, count)
    _place(left, batches, marks, pool.width, name)
    again = shuffled(pool.members, f"{name}/again")
    for number, batch in enumerate(batches):
        if len(batch) < pool.width:
            _fill(batch, again, marks, pool.width)
        yield batch if len(batch) == pool.width else pool.certain(f"{name}/certain/{number}")


def _packed(
    order: list[int], marks: Sequence[frozenset[int]], width: int, count: int
) -> tuple[list[list[int]], list[int]]:
    """Return batches in the order of the examples, and the examples that found no place."""
    coming, waiting = deque(order), deque[int]()
    batches = []
    for _ in range(count):
        batch: list[int] = []
        used: set[int] = set()
        put_off: list[int] = []
        while len(batch) < width and (waiting or coming):
            i = waiting.popleft() if waiting else coming.popleft()
            if used.isdisjoint(marks[i]):
                batch.append(i)
                used |= marks[i]
            else:
                put_off.append(i)
        waiting.extendleft(reversed(put_off))
        batches.append(batch)
    return batches, list(waiting)


def _place(left: list[int], batches: list[list[int]], marks: Sequence[frozenset[int]], width: int, name: str) -> None:
    """Give each remaining example the place of another, which moves to a batch that is not full.

    It always succeeds if an epoch has more than three times as many batches as there are examples that one example must
    not meet.
    """
    for i in left:
        short = [batch for batch in batches if len(batch) < width]
        full = [batch for batch in batches if len(batch) == width]
        _swap(i, shuffled(full, f"{name}/place/{i}")[:LOOKED_AT], short, marks)


def _swap(i: int, full: list[list[int]], short: list[list[int]], marks: Sequence[frozenset[int]]) -> None:
    for batch in full:
        meets = [at for at, j in enumerate(batch) if marks[i] & marks[j]]
        for at in meets if len(meets) == 1 else range(len(batch)) if not meets else ():
            for other in short:
                if all(marks[batch[at]].isdisjoint(marks[j]) for j in other):
                    other.append(batch[at])
                    batch[at] = i
                    return


def _fill(batch: list[int], again: list[int], marks: Sequence[frozenset[int]], width: int) -> None:
    """Add examples that may join, in the order of ``again``."""
    used = {mark for i in batch for mark in marks[i]}
    for i in again:
        if len(batch) == width:
            return
        if used.isdisjoint(marks[i]):
            batch.append(i)
            used |= marks[i]
