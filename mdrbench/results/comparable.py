"""Which published results may stand in one ranking."""

from __future__ import annotations

from typing import NamedTuple

from mdrbench.evaluation.measures import parse_measure
from mdrbench.results import Result


class PublishedGroup(NamedTuple):
    """Published results with equal groups may be ranked together by a measure.

    The kind of system (single vector, sparse, reranked) is no part of it: it is a mark that readers filter by.
    """

    dataset: str
    corpus_variant: str
    split: str
    depth: int


def effective_depth(measure: str, depth: int) -> int:
    """Return how many hits of a topic can change a measure when ``depth`` hits were kept.

    nDCG@10 and MRR@10 are equal for every depth from 10 on; Recall@100 and MAP@100 need 100 hits.

    >>> effective_depth("nDCG@10", 100), effective_depth("nDCG@10", 1000), effective_depth("Recall@100", 50)
    (10, 10, 50)
    """
    return min(parse_measure(measure)[1], depth)


def published_group(result: Result, measure: str) -> PublishedGroup:
    """Return the group in which a published result may be ranked by ``measure``."""
    evaluated = result.evaluated
    depth = effective_depth(measure, evaluated.depth)
    return PublishedGroup(result.dataset, evaluated.corpus_variant, result.split, depth)
