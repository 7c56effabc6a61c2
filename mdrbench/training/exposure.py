"""How often a training shows its queries: least, median, most, never, and the effective sample.

The effective sample is Kish's: (sum of n)^2 / sum of n^2 over the queries, n times each. It is the number of queries
that would bring as much if each came equally often. A sampler that fills many steps with few queries has a small one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import Any

from mdrbench.training import Key


def exposure(keys: Iterable[Key], batches: Iterable[list[Key]]) -> dict[str, Any]:
    """Count how often each query of ``keys`` is in the batches, over all languages (``all``) and for each.

    Returns:
        Language or ``all`` -> ``queries``, ``shown`` (places in batches), ``least``, ``median``, ``most``, ``never``
        (queries in no batch) and ``effective``, the effective sample in queries.
    """
    counts = Counter(key for batch in batches for key in batch)
    by_language: dict[str, list[int]] = {"all": []}
    for key in sorted(keys):
        by_language["all"].append(counts[key])
        by_language.setdefault(key[0], []).append(counts[key])
    return {lang: _described(times) for lang, times in by_language.items() if times}


def _described(times: list[int]) -> dict[str, float]:
    squares = sum(n * n for n in times)
    return {
        "queries": len(times),
        "shown": sum(times),
        "least": min(times),
        "median": median(times),
        "most": max(times),
        "never": times.count(0),
        "effective": round(sum(times) ** 2 / squares, 1) if squares else 0.0,
    }
