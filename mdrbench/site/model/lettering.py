"""Letters of a measure's columns from topic-level scores; what was computed is kept by the hash of those scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mdrbench.site.engine.memo import Memo
from mdrbench.site.engine.parallel import Job
from mdrbench.site.model import significance
from mdrbench.site.model.board import Entry
from mdrbench.site.model.scores import Scored, ScoreReader
from mdrbench.site.model.significance import Spread

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
"""Raised when the letters of the same scores change."""

Letters = tuple[list[int], str]
"""The groups of a system, and how they are spelled."""

Column = tuple[list[Entry], tuple[str, ...]]
"""The systems of a column, and the languages that its values average."""


Lettered = dict[str, dict[Entry, Letters]]
"""By column the groups of each system that has topic-level scores there."""


def job(
    measure: str, columns: dict[str, Column], reader: ScoreReader, cache: Path, then: Callable[[Lettered], None]
) -> Job:
    """What finds the groups of a measure's columns; those of fewer than two tested systems are left out.

    Raises:
        DataError: a topic file is not the one that its result was recorded with.
    """
    kept = _tested(columns, reader)

    def done(lists: dict[str, list[Letters]]) -> None:
        found = {name: dict(zip(entries, lists[name], strict=True)) for name, (entries, _) in kept.items()}
        tested = {name: {entry: each for entry, each in column.items() if each[0]} for name, column in found.items()}
        then({name: column for name, column in tested.items() if column})

    return Job(lambda: _lists(measure, kept, reader, cache), done)


def _tested(columns: dict[str, Column], reader: ScoreReader) -> dict[str, Column]:
    """The columns with two and more systems that have topic-level scores, with those systems alone."""
    kept = {
        name: ([entry for entry in entries if all(reader.read(entry, lang) for lang in langs)], langs)
        for name, (entries, langs) in columns.items()
    }
    return {name: column for name, column in kept.items() if len(column[0]) > 1}


def _lists(measure: str, columns: dict[str, Column], reader: ScoreReader, cache: Path) -> dict[str, list[Letters]]:
    """By column the groups of each of its systems."""
    if not columns:
        return {}
    source = {
        name: [langs, [[entry.result.languages[lang].files["topics"].sha256 for lang in langs] for entry in entries]]
        for name, (entries, langs) in columns.items()
    }
    memo = Memo(cache, "letters", [FORMAT, significance.LEVEL, measure, source])

    def letters(names: list[str]) -> dict[str, list[list[int]]]:
        spreads: dict[object, Spread] = {}
        return {name: _letters(measure, *columns[name], reader, spreads) for name in names}

    found = memo.get(columns, letters)
    return {name: [(groups, significance.spelled(groups)) for groups in column] for name, column in found.items()}


def _letters(
    measure: str, entries: list[Entry], langs: tuple[str, ...], reader: ScoreReader, spreads: dict[object, Spread]
) -> list[list[int]]:
    """For each entry its groups; none for one that was scored on other topics than most. ``spreads`` keeps what the
    tests of several columns need."""
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
    systems = tuple(entries[i].slug for i in same)
    found = []
    for n, (lang, qids) in enumerate(zip(langs, usual, strict=True)):
        if (lang, systems) not in spreads:
            table = np.stack([_values(scores[i][n], measure, qids) for i in same])
            spreads[lang, systems] = significance.spread(table)
        found.append(spreads[lang, systems])
    order = np.argsort(-np.mean([one.means for one in found], axis=0), kind="stable").tolist()
    differing = significance.differ(significance.p_values(found, significance.LEVEL))
    for i, groups in zip(same, significance.letters(differing, order), strict=True):
        letters[i] = groups
    return letters


def _values(scored: Scored, measure: str, qids: tuple[str, ...]) -> np.ndarray:
    """One measure, topics in the order of ``qids``."""
    values = scored.of(measure)
    if scored.qids == qids:
        return values
    place = {qid: i for i, qid in enumerate(scored.qids)}
    return values[[place[qid] for qid in qids]]
