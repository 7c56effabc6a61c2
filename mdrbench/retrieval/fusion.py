"""Fusion: several runs of the same topics become one.

Interpolation adds raw scores, as Pyserini's MIRACL hybrids do; a passage that a run lacks has score zero there.
Reciprocal rank fusion adds ``1 / (k + rank)`` (Cormack, Clarke and Buettcher, SIGIR 2009). Sums are float64 and then
rounded to float32, so that a run that is written and read again ranks the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mdrbench.core.types import Hit, Run
from mdrbench.formats.trec import ranked


def interpolate(runs: list[Run], weights: list[float], depth: int) -> Run:
    """Return the weighted sum of the runs' scores; at most ``depth`` hits per topic, over the topics of all runs."""

    def contributions(hits: list[list[Hit]]) -> Iterable[tuple[str, float]]:
        for weight, part in zip(weights, hits, strict=True):
            for hit in part:
                yield hit.docid, weight * hit.score

    return _sum(runs, contributions, depth)


def reciprocal_rank(runs: list[Run], k: int, depth: int) -> Run:
    """Return the sum of ``1 / (k + rank)``, ranks from 1; at most ``depth`` hits per topic, for topics of all runs."""

    def contributions(hits: list[list[Hit]]) -> Iterable[tuple[str, float]]:
        for part in hits:
            for rank, hit in enumerate(part, 1):
                yield hit.docid, 1 / (k + rank)

    return _sum(runs, contributions, depth)


def _sum(runs: list[Run], contributions: Callable[[list[list[Hit]]], Iterable[tuple[str, float]]], depth: int) -> Run:
    fused: Run = {}
    for qid in dict.fromkeys(qid for run in runs for qid in run):
        sums: dict[str, float] = {}
        for docid, value in contributions([run.get(qid, []) for run in runs]):
            sums[docid] = sums.get(docid, 0.0) + value
        fused[qid] = ranked(Hit(docid, score) for docid, score in sums.items())[:depth]
    return fused
