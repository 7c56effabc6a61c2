"""Find passages that nearly repeat one another.

Texts are compared through a sample of their 8-character sequences, so that a change of spacing, punctuation or width
makes no difference. The sample is a quarter of all sequences, chosen by their hash.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

_WIDTH = 8  # characters of a sequence
_SMALLEST_SAMPLE = 8  # sequences; shorter texts are never called copies
_SAME_ARTICLE, _ANY_ARTICLE = 0.6, 0.9
"""Share of the smaller sample that must be in the larger."""

SameArticle = Callable[[str, str], bool]
"""Tells whether the passage looked for (its docid first) and a known passage are of one article."""


@lru_cache(maxsize=1)  # a passage without a near copy is added right after it was looked up
def sample(text: str) -> frozenset[bytes]:
    """Return the hashes of a text's sampled sequences."""
    folded = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))
    sequences = {folded[at : at + _WIDTH] for at in range(len(folded) - _WIDTH + 1)}
    hashes = (blake2b(sequence.encode("utf-8"), digest_size=4).digest() for sequence in sequences)
    return frozenset(value for value in hashes if value[3] % 4 == 0)


def numbers(text: str) -> set[str]:
    """Return the numbers in a text."""
    return set(re.findall(r"\d+", unicodedata.normalize("NFKC", text)))


class NearCopies:
    """The passages that are known so far, searchable for a near copy."""

    def __init__(self) -> None:
        self._holders: defaultdict[bytes, list[str]] = defaultdict(list)
        self._samples: dict[str, frozenset[bytes]] = {}
        self._texts: dict[str, str] = {}

    def add(self, docid: str, text: str) -> None:
        """Make a passage known."""
        self._texts[docid], self._samples[docid] = text, sample(text)
        for value in self._samples[docid]:
            self._holders[value].append(docid)

    def find(self, docid: str, text: str, same_article: SameArticle) -> str | None:
        """Return the known passage that shares most with a text and is nearly the same, if there is one.

        Within an article, 60 % of the smaller sample must be in the larger. Between articles it is 90 %, and every
        number of the shorter text must be in the longer: villages and seasons are often described in set phrases.
        """
        values = sample(text)
        shared = Counter(known for value in values for known in self._holders.get(value, ()))
        copies = [
            (count, known)
            for known, count in shared.items()
            if self._is_copy(text, known, count, min(len(values), len(self._samples[known])), docid, same_article)
        ]
        return max(copies)[1] if copies else None

    def _is_copy(self, text: str, known: str, shared: int, smaller: int, docid: str, same_article: SameArticle) -> bool:
        if smaller < _SMALLEST_SAMPLE or shared < _SAME_ARTICLE * smaller:
            return False
        if same_article(docid, known):
            return True
        shorter, longer = sorted((text, self._texts[known]), key=len)
        return shared >= _ANY_ARTICLE * smaller and numbers(shorter) <= numbers(longer)
