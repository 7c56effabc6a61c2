"""Training groups with their texts, in the formats that other trainers read.

====================== ============================================================================================
sentence-transformers  ``anchor``, ``positive``, ``negative_1`` ... ``negative_n`` (its *n-tuple*), or ``anchor``,
                       ``documents``, ``labels`` (its *labeled-list*); Parquet or JSON lines
Tevatron               ``query_id``, ``query``, ``positive_passages`` and ``negative_passages`` of ``docid``, ``title``,
                       ``text``; JSON lines
FlagEmbedding          ``query``, ``pos``, ``neg``, optionally ``pos_scores``, ``neg_scores``, ``prompt``; JSON lines
====================== ============================================================================================

Groups that a format cannot hold are left out, counted by reason in :class:`Exported`; nothing is ever padded. Title and
text are joined as the dense retriever joins them; Tevatron joins them itself, always with a space.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from mdrbench.core.atomic_files import text_file, whole
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.types import Passage, TrainingGroup
from mdrbench.formats import jsonl

ROW_GROUP = 1000
"""Rows of a Parquet file that are held in memory."""


class Texts(NamedTuple):
    """The texts behind the ids: qid -> query, docid -> passage (see :func:`mdrbench.formats.groups.passages`)."""

    queries: Mapping[str, str]
    passages: Mapping[str, Passage]
    title_separator: str = " "

    def query(self, group: TrainingGroup) -> str:
        """Return the text of the group's query; a DataError if it is unknown."""
        try:
            return self.queries[group.qid]
        except KeyError:
            raise DataError(
                f"the query '{group.qid}' of a training group has no text", mend="use the topics it was mined for"
            ) from None

    def passage(self, docid: str, group: TrainingGroup) -> Passage:
        """Return a passage of the group; a DataError if it is unknown."""
        try:
            return self.passages[docid]
        except KeyError:
            raise DataError(
                f"the passage '{docid}' of query '{group.qid}' has no text", mend="use the corpus it was mined from"
            ) from None

    def joined(self, docid: str, group: TrainingGroup) -> str:
        """Join title and text of a passage of the group (see :meth:`Passage.joined`)."""
        return self.passage(docid, group).joined(self.title_separator)


class Exported(NamedTuple):
    """Counts of an export: rows, the groups in them, and the groups left out by reason."""

    rows: int
    groups: int
    left_out: dict[str, int]


class PassageExample(NamedTuple):
    """A row of a Tevatron file."""

    qid: str
    query: str
    positives: tuple[Passage, ...]
    negatives: tuple[Passage, ...]


class TextExample(NamedTuple):
    """A row of a sentence-transformers or FlagEmbedding file; scores follow the order of the texts."""

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    positive_scores: tuple[float, ...] | None = None
    negative_scores: tuple[float, ...] | None = None
    prompt: str | None = None


# -- sentence-transformers ---------------------------------------------------------------------------------------------


def write_sentence_transformers(
    path: Path,
    groups: Iterable[TrainingGroup],
    texts: Texts,
    *,
    form: Literal["n-tuple", "labeled-list"] = "n-tuple",
    negatives: int = 7,
    positives: Literal["each", "first"] = "each",
) -> Exported:
    """Write ``.parquet``, ``.jsonl`` or ``.jsonl.gz`` for ``datasets.load_dataset``.

    Args:
        form: ``n-tuple`` for losses such as MultipleNegativesRankingLoss; ``labeled-list`` for a cross-encoder's
            list-wise losses: one row a group, with all its positives (label 1), then all its negatives (label 0).
        negatives: of an n-tuple, whose rows all have the same columns: the first n of each group; groups with fewer
            are left out.
        positives: an n-tuple for each positive of a group, as ``mine_hard_negatives`` writes, or for the first only.
    """
    if negatives < 1:
        raise UsageError(f"an n-tuple needs at least one negative, not {negatives}", mend="set negatives to 1 or more")
    tally = _Tally()
    if form == "n-tuple":
        kept = tally.only(groups, f"fewer than {negatives} negatives", lambda group: len(group.negatives) >= negatives)
        rows = _tuples(kept, texts, negatives, positives)
    else:
        kept = tally.only(groups, "no negatives", lambda group: bool(group.negatives))
        rows = (_labeled_list(group, texts) for group in kept)
    return tally.exported(_write_rows(path, rows))


def _tuples(groups: Iterable[TrainingGroup], texts: Texts, negatives: int, positives: str) -> Iterator[dict[str, str]]:
    for group in groups:
        hard = {
            f"negative_{number}": texts.joined(negative.docid, group)
            for number, negative in enumerate(group.negatives[:negatives], 1)
        }
        for docid in group.positives if positives == "each" else group.positives[:1]:
            yield {"anchor": texts.query(group), "positive": texts.joined(docid, group), **hard}


def _labeled_list(group: TrainingGroup, texts: Texts) -> dict[str, Any]:
    docids = (*group.positives, *(negative.docid for negative in group.negatives))
    return {
        "anchor": texts.query(group),
        "documents": [texts.joined(docid, group) for docid in docids],
        "labels": [1] * len(group.positives) + [0] * len(group.negatives),
    }


def read_sentence_transformers(path: Path) -> Iterator[TextExample]:
    """Yield the rows of a file that :func:`write_sentence_transformers` wrote, in either form."""
    for where, row in _read_rows(path):
        if "labels" in row:
            _check(row, {"anchor": str, "documents": [str], "labels": [int]}, where)
            if len(row["documents"]) != len(row["labels"]):
                raise _bad("'documents' and 'labels' differ in length", where)
            labelled = list(zip(row["documents"], row["labels"], strict=True))
            positives = tuple(text for text, label in labelled if label > 0)
            negatives = tuple(text for text, label in labelled if label <= 0)
            yield TextExample(row["anchor"], positives, negatives)
        else:
            names = [f"negative_{number}" for number in range(1, len(row) - 1)]
            _check(row, dict.fromkeys(["anchor", "positive", *(names or ["negative_1"])], str), where)
            yield TextExample(row["anchor"], (row["positive"],), tuple(row[name] for name in names))


# -- Tevatron ----------------------------------------------------------------------------------------------------------


def write_tevatron(path: Path, groups: Iterable[TrainingGroup], texts: Texts) -> Exported:
    """Write ``.jsonl`` for Tevatron's retriever training, all positives and negatives of a group in one row.

    Groups without negatives are left out: Tevatron draws negatives of a group with replacement and fails on none.
    ``title`` is always there, since Tevatron joins title and text wherever the key is.
    """
    tally = _Tally()
    kept = tally.only(groups, "no negatives", lambda group: bool(group.negatives))

    def row(group: TrainingGroup) -> dict[str, Any]:
        negatives = [texts.passage(negative.docid, group) for negative in group.negatives]
        return {
            "query_id": group.qid,
            "query": texts.query(group),
            "positive_passages": [texts.passage(docid, group)._asdict() for docid in group.positives],
            "negative_passages": [passage._asdict() for passage in negatives],
        }

    return tally.exported(_write_rows(path, map(row, kept), parquet=False))


def read_tevatron(path: Path) -> Iterator[PassageExample]:
    """Yield the rows of a Tevatron training file; a passage without a title has an empty one."""
    for where, row in _read_rows(path):
        _check(row, {"query_id": str, "query": str, "positive_passages": [dict], "negative_passages": [dict]}, where)
        positives, negatives = (
            tuple(_passage(passage, where) for passage in row[f"{side}_passages"]) for side in ("positive", "negative")
        )
        yield PassageExample(row["query_id"], row["query"], positives, negatives)


def _passage(passage: dict[str, Any], where: str) -> Passage:
    _check(passage, {"docid": str, "text": str}, where)
    title = passage.get("title") or ""
    if not isinstance(title, str):
        raise _bad("'title' of a passage is not a string", where)
    return Passage(passage["docid"], title, passage["text"])


# -- FlagEmbedding -----------------------------------------------------------------------------------------------------


def write_flag_embedding(
    path: Path,
    groups: Iterable[TrainingGroup],
    texts: Texts,
    *,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    prompt: str | None = None,
) -> Exported:
    """Write ``.jsonl`` for FlagEmbedding's fine-tuning, all positives and negatives of a group in one row.

    Groups without negatives are left out: FlagEmbedding repeats a group's negatives up to its group size and fails on
    none.

    Args:
        scores: qid -> docid -> a teacher's score, for knowledge distillation; of every positive and negative.
        prompt: the query instruction, which takes the place of ``query_instruction_for_retrieval``.
    """
    tally = _Tally()
    kept = tally.only(groups, "no negatives", lambda group: bool(group.negatives))

    def row(group: TrainingGroup) -> dict[str, Any]:
        sides = {"pos": list(group.positives), "neg": [negative.docid for negative in group.negatives]}
        result: dict[str, Any] = {"query": texts.query(group)}
        result |= {key: [texts.joined(docid, group) for docid in side] for key, side in sides.items()}
        if scores is not None:
            result |= {f"{key}_scores": [_score(scores, group, d) for d in side] for key, side in sides.items()}
        return result if prompt is None else {**result, "prompt": prompt}

    return tally.exported(_write_rows(path, map(row, kept), parquet=False))


def _score(scores: Mapping[str, Mapping[str, float]], group: TrainingGroup, docid: str) -> float:
    try:
        return scores[group.qid][docid]
    except KeyError:
        raise DataError(
            f"the teacher gives no score for '{docid}' of query '{group.qid}'", mend="score every passage of the group"
        ) from None


def read_flag_embedding(path: Path) -> Iterator[TextExample]:
    """Yield the rows of a FlagEmbedding fine-tuning file."""
    for where, row in _read_rows(path):
        _check(row, {"query": str, "pos": [str], "neg": [str]}, where)
        if row.get("prompt") is not None:
            _check(row, {"prompt": str}, where)
        yield TextExample(
            row["query"],
            tuple(row["pos"]),
            tuple(row["neg"]),
            _given_scores(row, "pos", where),
            _given_scores(row, "neg", where),
            row.get("prompt"),
        )


def _given_scores(row: dict[str, Any], side: str, where: str) -> tuple[float, ...] | None:
    """Return the teacher's scores of one side; None if the row has none."""
    key = f"{side}_scores"
    if row.get(key) is None:
        return None
    _check(row, {key: [float]}, where)
    if len(row[key]) != len(row[side]):
        raise _bad(f"'{side}' and '{key}' differ in length", where)
    return tuple(row[key])


# -- rows --------------------------------------------------------------------------------------------------------------


class _Tally:
    """Counts groups while they stream by."""

    def __init__(self) -> None:
        self.groups = 0
        self.left_out: Counter[str] = Counter()

    def only(
        self, groups: Iterable[TrainingGroup], reason: str, fits: Callable[[TrainingGroup], bool]
    ) -> Iterator[TrainingGroup]:
        """The groups that fit; the others are counted under ``reason``."""
        for group in groups:
            if fits(group):
                self.groups += 1
                yield group
            else:
                self.left_out[reason] += 1

    def exported(self, rows: int) -> Exported:
        """The counts, once the stream is spent."""
        return Exported(rows, self.groups, dict(self.left_out))


def _write_rows(path: Path, rows: Iterable[dict[str, Any]], *, parquet: bool = True) -> int:
    """Write rows in the format of the path's suffix, whole or not at all; their number."""
    if parquet and path.suffix == ".parquet":
        return _write_parquet(path, rows)
    # Tevatron and FlagEmbedding pick their files by the suffix .jsonl
    suffixes = (".parquet", ".jsonl", ".jsonl.gz") if parquet else (".jsonl",)
    if not path.name.endswith(suffixes[-2:]):
        raise UsageError(
            "the file name does not fit this format", where=str(path), mend=f"let it end in {' or '.join(suffixes)}"
        )
    count = 0
    with text_file(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    pyarrow, parquet = _pyarrow()
    stream = iter(rows)
    first = list(islice(stream, ROW_GROUP))
    if not first:
        raise DataError("there is no training group to write", where=str(path), mend="ask for fewer negatives")
    schema = pyarrow.Table.from_pylist(first[:1]).schema
    count = 0
    with whole(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for block in chain([first], iter(lambda: list(islice(stream, ROW_GROUP)), [])):
            writer.write_table(pyarrow.Table.from_pylist(block, schema=schema))
            count += len(block)
    return count


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise SetupError("Parquet needs pyarrow", mend="run `pip install 'mdrbench[data]'`, or write .jsonl") from None
    return pyarrow, parquet


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row with its place; skip blank lines of JSON, as ``datasets`` does."""
    if path.suffix != ".parquet":
        yield from jsonl.records(path, {})
        return
    pyarrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(ROW_GROUP))
            yield from ((f"{path}: row {number}", row) for number, row in enumerate(rows, 1))
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise _bad(f"cannot be read: {error}", str(path)) from None


def _check(row: dict[str, Any], kinds: dict[str, type | list[type]], where: str) -> None:
    """Raise a DataError unless the row holds every key with its type; ``[type]`` is a list of that type."""
    for key, kind in kinds.items():
        if row.get(key) is None:
            raise _bad(f"the row lacks '{key}'", where)
        values = row[key] if isinstance(kind, list) and isinstance(row[key], list) else [row[key]]
        wanted = kind[0] if isinstance(kind, list) else kind
        right = all(_is(value, wanted) for value in values)
        if not right or isinstance(kind, list) != isinstance(row[key], list):
            raise _bad(f"'{key}' must be {_NAMES[wanted][isinstance(kind, list)]}", where)


_NAMES = {
    str: ("a string", "a list of strings"),
    int: ("a whole number", "a list of whole numbers"),
    float: ("a number", "a list of numbers"),
    dict: ("an object", "a list of objects"),
}


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float if kind is float else kind)


def _bad(message: str, where: str) -> DataError:
    return DataError(message, where=where, mend="export the groups again")
