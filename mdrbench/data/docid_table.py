"""Which docids a corpus has and where their passages stand, looked up on disk."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class DocidTable:
    """A sorted table of 64-bit docid hashes: built with memory of one partition, looked up from disk.

    Beside it stands a table of places in the same order: where each docid occurs first in the corpus.

    Two docids share a hash with probability n^2 / 2^65 (3e-5 for 33 million passages), so repeated docids are
    confirmed on the corpus itself.
    """

    PARTITIONS = 256
    BUFFER = 8192  # numbers a partition keeps in memory: hashes and places by turns

    def __init__(self, path: Path):
        self.path = path
        self._parts = [array("Q") for _ in range(self.PARTITIONS)]
        self._files = [path.with_name(f"{path.name}.{i}") for i in range(self.PARTITIONS)]

    @staticmethod
    def hash(docid: str) -> int:
        """Return the 64-bit BLAKE2b of a docid."""
        return int.from_bytes(blake2b(docid.encode("utf-8"), digest_size=8).digest(), "big")

    def add(self, docid: str, place: int = 0) -> None:
        """Add one docid; places ascend."""
        value = self.hash(docid)
        part = self._parts[value >> 56]
        part.extend((value, place))
        if len(part) >= self.BUFFER:
            self._flush(value >> 56)

    def _flush(self, index: int) -> None:
        with open(self._files[index], "ab") as file:
            self._parts[index].tofile(file)
        self._parts[index] = array("Q")

    def finish(self) -> list[int]:
        """Write both tables and return the hashes that occur more than once."""
        import numpy as np

        repeated: list[int] = []
        with open(self.path, "wb") as out, open(self.places(self.path), "wb") as places:
            for index, spill in enumerate(self._files):
                values = np.array(self._parts[index], dtype=np.uint64)
                if spill.exists():
                    values = np.concatenate([np.fromfile(spill, dtype=np.uint64), values])
                    spill.unlink()
                unique, first, counts = np.unique(values[::2], return_index=True, return_counts=True)
                repeated.extend(int(v) for v in unique[counts > 1])
                unique.tofile(out)
                values[1::2][first].tofile(places)
        return repeated

    @staticmethod
    def places(path: Path) -> Path:
        """Return the path of the places that belong to the table at ``path``."""
        return path.with_name(f"{path.stem}-places.u64")

    @classmethod
    def lookup(cls, path: Path) -> Callable[[str], bool]:
        """Return a function that tells whether a docid is in the table at ``path``; the table stays on disk."""
        import numpy as np

        table: np.ndarray = np.memmap(path, dtype=np.uint64, mode="r") if path.stat().st_size else np.empty(0)

        def known(docid: str) -> bool:
            value = np.uint64(cls.hash(docid))
            at = int(np.searchsorted(table, value))
            return at < len(table) and table[at] == value

        return known
