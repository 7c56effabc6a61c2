"""The leaderboard's verdict on two result files, so that the terminal, the Python API and the site say the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mdrbench import results
from mdrbench.core.errors import UsageError, did_you_mean
from mdrbench.evaluation import inference
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import Result, comparison
from mdrbench.results.comparison import Comparison
from mdrbench.site.model import ranking, topic_scores
from mdrbench.site.model.collection import Collection, collection_name, measured_entries
from mdrbench.site.model.comparisons import on_leaderboard

FAMILIES = ("leaderboard", "languages")
"""What a pair's tests are corrected over: the leaderboard that ranks both systems, or the languages of the pair."""


def compare(
    path_a: Path,
    path_b: Path,
    measure: str,
    *,
    top: int,
    test: str = PROTOCOL.test,
    correction: str = PROTOCOL.correction,
    one_seed: bool = False,
    family: str = FAMILIES[0],
) -> Comparison:
    """Compare two systems as :func:`comparison.compare` does, with the verdict of the leaderboard that ranks both.

    The leaderboard is that of the results that lie beside the two. Other tests, other corrections, ``one_seed`` and
    systems that no leaderboard ranks together (variants of recipes) are corrected over the languages of the pair.

    Args:
        family: a member of :data:`FAMILIES`.

    Raises:
        UsageError: the family is unknown.
        DataError: a file of the two, or one beside them, is damaged.
    """
    if family not in FAMILIES:
        raise UsageError(f"--family {family}: unknown", mend=did_you_mean(family, list(FAMILIES)))
    compared = comparison.compare(path_a, path_b, measure, top=top, test=test, correction=correction, one_seed=one_seed)
    usual = (test, correction, one_seed) == (PROTOCOL.test, PROTOCOL.correction, False)
    if family != FAMILIES[0] or not usual or path_a == path_b:
        return compared
    collection = _beside(path_a, path_b, results.read(path_a))
    entries = {entry.path.resolve(): entry for entry in collection.entries}
    a, b = entries.get(path_a.resolve()), entries.get(path_b.resolve())
    if a is None or b is None:
        return compared
    langs = {row.lang for row in compared.languages}
    board = ranking.leaderboard(collection, measure, topic_scores.read(collection, langs))
    judged = on_leaderboard(board, a, b, compared.languages, compared.average.p)
    if judged is None:
        return compared
    rows, average_p, words = judged
    mark = inference.mark(average_p, compared.seeds)
    return dataclasses.replace(compared, languages=rows, average_p=average_p, average_mark=mark, family=words)


def _beside(path_a: Path, path_b: Path, result: Result) -> Collection:
    """Return the results of the same data set and split that lie in the folders of two files."""
    folders = {path.parent.parent if path.parent.name == "variants" else path.parent for path in (path_a, path_b)}
    paths = [
        path for folder in sorted(folders) for pattern in ("*.json", "variants/*.json") for path in folder.glob(pattern)
    ]
    name = collection_name(result)
    return Collection(name, result.split, measured_entries(sorted(paths), name, result.split))
