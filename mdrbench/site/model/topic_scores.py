"""The topic-level scores that results keep, as arrays."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from mdrbench.core.errors import DataError
from mdrbench.evaluation import measures
from mdrbench.results import comparison
from mdrbench.site.model.collection import Collection, Entry

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """A system's scores of the judged topics of one language.

    Attributes:
        qids: the topics, in the order of the qrels.
        values: scores, shape (topics, measures).
        queries: the text of each topic.
    """

    qids: tuple[str, ...]
    measures: tuple[str, ...]
    values: np.ndarray
    queries: dict[str, str]

    @cached_property
    def topics(self) -> frozenset[str]:
        """The topics, whatever their order."""
        return frozenset(self.qids)

    def of(self, measure: str) -> np.ndarray:
        """Return the scores of one measure, shape (topics,)."""
        return self.values[:, self.measures.index(measure)]

    def in_order(self, qids: tuple[str, ...]) -> ScoreTable:
        """Return the same scores with the topics in another order."""
        if self.qids == qids:
            return self
        return ScoreTable(qids, self.measures, self.values[_rows(self.qids, qids)], self.queries)

    def sorted(self) -> ScoreTable:
        """Return the same scores with the topics in the order of their ids."""
        return self.in_order(_sorted(self.qids))


@lru_cache(maxsize=256)
def _rows(qids: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Return the rows that hold the wanted topics. The systems of a collection share their topics."""
    rows = {qid: row for row, qid in enumerate(qids)}
    return [rows[qid] for qid in wanted]


@lru_cache(maxsize=256)
def _sorted(qids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(qids))


def mean_of(runs: Sequence[ScoreTable]) -> ScoreTable:
    """Average the scores of several runs, whose topics are in the same order."""
    import numpy as np

    first = runs[0]
    if len(runs) == 1:
        return first
    shared = tuple(name for name in first.measures if all(name in run.measures for run in runs))
    values = np.mean([run.values[:, [run.measures.index(name) for name in shared]] for run in runs], axis=0)
    return ScoreTable(first.qids, shared, values, first.queries)


def stacked(runs: Sequence[tuple[ScoreTable, ScoreTable]], measures: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of the two systems of each paired run, both of shape (seeds, topics, measures)."""
    import numpy as np

    a, b = (
        np.stack([table.values[:, [table.measures.index(name) for name in measures]] for table in side])
        for side in zip(*runs, strict=True)
    )
    return a, b


EntryScores = dict[str, ScoreTable]
"""Language -> scores, for the languages whose topic file is kept beside the result."""


def read(collection: Collection, langs: Container[str] | None = None) -> dict[Entry, EntryScores]:
    """Read the topic-level scores of all measured systems of a collection, in these languages or in all.

    A topic file that was not copied along with its result is left out.

    Raises:
        DataError: a topic file differs from the recorded one, or is not a table of topic-level scores.
    """
    same: dict[object, ScoreTable] = {}  # systems share the topics and queries of a language
    tables = {}
    for entry in collection.measured:
        languages = entry.result.languages
        wanted = (lang for lang in languages if (langs is None or lang in langs) and _is_kept(entry, lang))
        tables[entry] = {lang: _read_table(entry, lang, same) for lang in wanted}
    return tables


def _is_kept(entry: Entry, lang: str) -> bool:
    file = entry.result.languages[lang].files.get("topics")
    return file is not None and (entry.path.parent / file.path).is_file()


def _read_table(entry: Entry, lang: str, same: dict[object, ScoreTable]) -> ScoreTable:
    scores, queries = comparison.topic_scores(entry.path, entry.result, lang)
    names = tuple(next(iter(scores.values()), {}))
    missing = [measure for measure in entry.result.evaluated.measures if measure not in names]
    if scores and missing:
        where = str(entry.path.parent / entry.result.languages[lang].files["topics"].path)
        raise DataError(f"the table has no column for {missing[0]}", where=where, mend="run the recipe again")
    qids = tuple(scores)
    known = same.get((lang, qids))
    if known is not None and known.queries == queries:
        qids, queries = known.qids, known.queries
    table = ScoreTable(qids, names, measures.matrix(scores, names).reshape(len(qids), len(names)), queries)
    same.setdefault((lang, qids), table)
    return table
