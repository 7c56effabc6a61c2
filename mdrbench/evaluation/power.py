"""Which difference a data set's topics and a number of seeds can find, before anything is run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from mdrbench.core.errors import UsageError
from mdrbench.evaluation.inference import detectable
from mdrbench.evaluation.statistics import PROTOCOL


class Spread(NamedTuple):
    """How much differences of two systems vary.

    The defaults are those of two trainings of one encoder on wiki16 (docs/experiments.md).

    Attributes:
        topics: standard deviation of the topics' differences.
        seeds: standard deviation of the paired seeds' differences.
    """

    topics: float = 0.2
    seeds: float = 0.02


class Row(NamedTuple):
    """A language, or the average: topics, and the smallest differences that are found, in power's share of runs."""

    topics: int
    alone: float
    corrected: float


def plan(topics: Mapping[str, int], seeds: int | None, spread: Spread) -> dict[str, Row]:
    """Return for each language, and for the ``average``, the smallest difference that is found.

    Args:
        topics: language -> judged topics.
        seeds: paired seeds of two trained systems; None if nothing is trained.

    Returns:
        ``corrected`` is at the level divided by the number of languages, the strictest step of Holm's correction. The
        average is a family of its own.

    Raises:
        UsageError: one seed (it says nothing about others), or a language with fewer than two topics.
    """
    if seeds == 1:
        raise UsageError("one seed says nothing about other seeds", mend="give --seeds 3 or more, or --seeds 0")
    if few := [lang for lang, count in topics.items() if count < 2]:
        raise UsageError(f"{', '.join(few)}: fewer than two judged topics", mend="leave the language out: --langs ...")
    of_seeds, freedom = (spread.seeds / math.sqrt(seeds), seeds - 1) if seeds else (0.0, 0)

    def found(error: float, df: float, level: float = PROTOCOL.level) -> float:
        return detectable(error, df, of_seeds, freedom, level=level)

    rows = {}
    for lang, count in topics.items():
        error = spread.topics / math.sqrt(count)
        rows[lang] = Row(count, found(error, count - 1), found(error, count - 1, PROTOCOL.level / len(topics)))
    parts = {count: spread.topics**2 / count / len(topics) ** 2 for count in topics.values()}
    variances = [parts[count] for count in topics.values()]
    df = sum(variances) ** 2 / sum(parts[count] ** 2 / (count - 1) for count in topics.values())
    least = found(math.sqrt(sum(variances)), df)
    return {**rows, "average": Row(sum(topics.values()), least, least)}
