"""Letters of a measure's columns from topic-level scores; what was computed is kept by the hash of those scores."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mdrbench.site import significance
from mdrbench.site.board import Entry
from mdrbench.site.memo import Memo
from mdrbench.site.scores import Scored, ScoreReader

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
"""Raised when the letters of the same scores change."""

Column = tuple[list[Entry], tuple[str, ...]]
"""The systems of a column, and the languages that its values average."""

_HASHES: WeakKeyDictionary[Entry, dict[str, str]] = WeakKeyDictionary()
"""SHA-256 of topic files that are there, by entry and language."""


def of(measure: str, columns: dict[str, Column], reader: ScoreReader, cache: Path) -> dict[str, dict[Entry, list[int]]]:
    """For each column the groups of each system that has topic-level scores there; columns of fewer than two such
    systems are left out.

    Raises:
        DataError: a topic file is not the one that its result was recorded with.
    """
    kept = {
        name: ([entry for entry in entries if all(_hashes(entry, langs))], langs)
        for name, (entries, langs) in columns.items()
    }
    kept = {name: column for name, column in kept.items() if len(column[0]) > 1}
    if not kept:
        return {}
    source = {name: [langs, [_hashes(entry, langs) for entry in entries]] for name, (entries, langs) in kept.items()}
    memo = Memo(cache, "letters", [FORMAT, significance.LEVEL, measure, source])
    found = memo.get(kept, lambda names: {name: _letters(measure, *kept[name], reader) for name in names})
    return {
        name: {entry: groups for entry, groups in zip(entries, found[name], strict=True) if groups}
        for name, (entries, _) in kept.items()
        if any(found[name])
    }


def _hashes(entry: Entry, langs: tuple[str, ...]) -> list[str]:
    """The SHA-256 of each language's topic file, empty where there is none."""
    known = _HASHES.setdefault(entry, {})
    for lang in langs:
        if lang not in known:
            file = entry.result.languages[lang].files.get("topics")
            here = file is not None and (entry.path.parent / file.path).is_file()
            known[lang] = file.sha256 if file and here else ""
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
        same, significance.letters(significance.differ(significance.p_values(tables)), order), strict=True
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
