"""Letters of a measure's columns from topic-level scores; what was computed is kept by the hash of those scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mdrbench.site import parallel, significance
from mdrbench.site.board import Entry
from mdrbench.site.memo import Memo
from mdrbench.site.scores import Scored, ScoreReader

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
"""Raised when the letters of the same scores change."""

Letters = tuple[list[int], str]
"""The groups of a system, and how they are spelled."""

Column = tuple[list[Entry], tuple[str, ...]]
"""The systems of a column, and the languages that its values average."""

_HASHES: WeakKeyDictionary[Entry, dict[str, str]] = WeakKeyDictionary()
"""SHA-256 of topic files that are there, by entry and language."""


def of(
    asked: Sequence[tuple[str, dict[str, Column]]], reader: ScoreReader, cache: Path
) -> list[dict[str, dict[Entry, Letters]]]:
    """For each measure and its columns, over the cores: by column the groups of each system that has topic-level scores
    there; columns of fewer than two such systems are left out.

    Raises:
        DataError: a topic file is not the one that its result was recorded with.
    """
    import scipy.special  # noqa: F401  # here, not in each process of its own

    kept = [(measure, _tested(columns)) for measure, columns in asked]
    found = parallel.each(lambda number: _lists(*kept[number], reader, cache), range(len(kept)), fewest=2)
    return [
        {
            name: {entry: letters for entry, letters in zip(entries, lists[name], strict=True) if letters[0]}
            for name, (entries, _) in columns.items()
            if any(groups for groups, _ in lists[name])
        }
        for (_, columns), lists in zip(kept, found, strict=True)
    ]


def _tested(columns: dict[str, Column]) -> dict[str, Column]:
    """The columns with two and more systems that have topic-level scores, with those systems alone."""
    kept = {
        name: ([entry for entry in entries if all(_hashes(entry, langs))], langs)
        for name, (entries, langs) in columns.items()
    }
    return {name: column for name, column in kept.items() if len(column[0]) > 1}


def _lists(measure: str, columns: dict[str, Column], reader: ScoreReader, cache: Path) -> dict[str, list[Letters]]:
    """By column the groups of each of its systems."""
    if not columns:
        return {}
    source = {name: [langs, [_hashes(entry, langs) for entry in entries]] for name, (entries, langs) in columns.items()}
    memo = Memo(cache, "letters", [FORMAT, significance.LEVEL, measure, source])
    found = memo.get(columns, lambda names: {name: _letters(measure, *columns[name], reader) for name in names})
    return {name: [(groups, significance.spelled(groups)) for groups in column] for name, column in found.items()}


def _hashes(entry: Entry, langs: tuple[str, ...]) -> list[str]:
    """The SHA-256 of each language's topic file, empty where there is none."""
    known = _HASHES.get(entry)
    if known is None:
        known = _HASHES[entry] = {}
        for lang, found in entry.result.languages.items():
            file = found.files.get("topics")
            known[lang] = file.sha256 if file and (entry.path.parent / file.path).is_file() else ""
    return [known[lang] for lang in langs]


def _letters(measure: str, entries: list[Entry], langs: tuple[str, ...], reader: ScoreReader) -> list[list[int]]:
    """For each entry its groups; none for one that was scored on other topics than most."""
    import numpy as np

    scores = [[found for lang in langs if (found := reader.read(entry, lang))] for entry in entries]
    keys = [tuple(found.qids for found in row) for row in scores]
    if len(set(keys)) > 1:  # other topics, or the same in another order
        keys = [tuple(tuple(sorted(qids)) for qids in key) for key in keys]
    usual = Counter(keys).most_common(1)[0][0]
    same = [i for i, key in enumerate(keys) if key == usual and all(measure in found.measures for found in scores[i])]
    letters: list[list[int]] = [[] for _ in entries]
    if len(same) < 2 or len(usual) < len(langs) or any(len(qids) < 2 for qids in usual):
        return letters
    tables = [np.stack([_values(scores[i][n], measure, qids) for i in same]) for n, qids in enumerate(usual)]
    means = np.mean([table.mean(axis=1) for table in tables], axis=0)
    order = np.argsort(-means, kind="stable").tolist()
    for i, groups in zip(
        same,
        significance.letters(significance.differ(significance.p_values(tables, significance.LEVEL)), order),
        strict=True,
    ):
        letters[i] = groups
    return letters


def _values(scored: Scored, measure: str, qids: tuple[str, ...]) -> np.ndarray:
    """One measure, topics in the order of ``qids``."""
    values = scored.of(measure)
    if scored.qids == qids:
        return values
    place = {qid: i for i, qid in enumerate(scored.qids)}
    return values[[place[qid] for qid in qids]]
