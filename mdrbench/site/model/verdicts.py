"""The leaderboard's verdict on two result files, so that the terminal, the Python API and the site say the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mdrbench import results
from mdrbench.evaluation import inference
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import Result
from mdrbench.results.comparison import Comparison
from mdrbench.site.model import comparisons, ranking, topic_scores
from mdrbench.site.model.collection import Collection, collection_name, measured_entries

FAMILIES = ("leaderboard", "languages")
"""What a pair's tests are corrected over: the leaderboard that ranks both systems, or the languages of the pair."""


def on_leaderboard(compared: Comparison, path_a: Path, path_b: Path) -> Comparison:
    """Return a comparison of two files with the verdict of the leaderboard that ranks both.

    The leaderboard is that of the results that lie beside the two. Other tests, other corrections and systems that no
    leaderboard ranks together (variants of recipes) stay as they are: corrected over the languages of the pair.

    Raises:
        DataError: a file beside the two is damaged.
    """
    if (compared.test, compared.correction) != (PROTOCOL.test, PROTOCOL.correction) or path_a == path_b:
        return compared
    collection = _beside(path_a, path_b, results.read(path_a))
    entries = {entry.path.resolve(): entry for entry in collection.entries}
    a, b = entries.get(path_a.resolve()), entries.get(path_b.resolve())
    if a is None or b is None:
        return compared
    langs = {row.lang for row in compared.languages}
    board = ranking.leaderboard(collection, compared.measure, topic_scores.read(collection, langs))
    judged = comparisons.on_leaderboard(board, a, b, compared.languages, compared.average.p)
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
