"""Rankings in the formats of other tools, written as run files so that they are checked and scored like all others.

- mteb's predictions: a folder with ``TASK_predictions.json``, or that file: language -> split -> qid -> docid -> score
- rankings without scores: lines ``qid docid rank`` (MS MARCO) or ``qid Q0 docid rank`` (top-100 files of leaderboards)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mdrbench.core.errors import DataError
from mdrbench.formats import trec

PREDICTIONS = "*_predictions.json"
"""Files that mteb writes into a prediction folder."""

META = "mteb_model_meta"
"""A key of a predictions file that is no language."""


def as_runs(words: Sequence[str], split: str, folder: Path) -> list[str]:
    """Return the words of the command with every foreign ranking replaced by ``LANG=FILE``.

    Args:
        words: ``LANG=FILE``, patterns, folders of mteb's predictions, or files of them.
        split: the split whose predictions are taken.
        folder: an empty folder for the run files.

    Raises:
        DataError: a file is not what its name says; the error names the file and the language, or the line.
    """
    return [word for given in words for word in _as_runs(given, split, folder)]


def _as_runs(word: str, split: str, folder: Path) -> list[str]:
    path = Path(word)
    if path.is_dir():
        files = sorted(path.glob(PREDICTIONS))
        if len(files) != 1:
            several = f"give one of {', '.join(file.name for file in files)}"
            mend = several if files else "let mteb write its predictions into this folder"
            raise DataError(f"the folder has {len(files)} files {PREDICTIONS}", where=word, mend=mend)
        path = files[0]
    if path.suffix == ".json" and path.is_file():
        return [f"{lang}={_write(folder, lang, run)}" for lang, run in _predictions(path, split)]
    lang, equals, name = word.partition("=")
    if equals and Path(name).is_file() and (run := _ranks(Path(name))):
        return [f"{lang}={_write(folder, lang, run)}"]
    return [word]


Scored = list[tuple[str, list[tuple[str, float]]]]
"""Topics with their docids and scores, in the order of the file."""


def _predictions(path: Path, split: str) -> Iterator[tuple[str, Scored]]:
    """Yield the language and the run of each subset of a predictions file."""
    mend = "give the TASK_predictions.json that mteb wrote"
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"not JSON: {error}", where=str(path), mend=mend) from None
    subsets = {lang: value for lang, value in content.items() if lang != META} if isinstance(content, dict) else {}
    if not subsets:
        raise DataError("no predictions", where=str(path), mend=mend)
    for lang, splits in subsets.items():
        topics = splits.get(split) if isinstance(splits, dict) else None
        if not isinstance(topics, dict):
            known = ", ".join(splits) if isinstance(splits, dict) else "none"
            raise DataError(f"{lang} has no split {split}", where=str(path), mend=f"its splits: {known}")
        yield lang, [(qid, _hits(hits, f"{path}: {lang} {split} {qid}")) for qid, hits in topics.items()]


def _hits(hits: Any, where: str) -> list[tuple[str, float]]:
    if not isinstance(hits, dict) or not all(isinstance(score, int | float) for score in hits.values()):
        raise DataError("not docids with scores", where=where, mend="write {docid: score}")
    return sorted(hits.items(), key=lambda hit: -hit[1])


def _ranks(path: Path) -> Scored:
    """Read lines of ranks without scores; nothing if the first lines are of another format."""
    columns = [line.split() for _, line in islice(trec.lines(path), 3)]
    widths = {len(line) for line in columns if line}
    if widths not in ({3}, {4}):
        return []
    topics: dict[str, list[tuple[str, float]]] = {}
    for number, line in trec.lines(path):
        words = line.split()
        if not words:
            continue
        if len(words) not in widths or not words[-1].isascii() or not words[-1].isdigit() or not int(words[-1]):
            mend = "write `qid docid rank` with ranks from 1"
            raise DataError("not a topic, a passage and a rank", where=f"{path}:{number}", mend=mend)
        topics.setdefault(words[0], []).append((words[-2], 1 / int(words[-1])))
    return [(qid, sorted(hits, key=lambda hit: -hit[1])) for qid, hits in topics.items()]


def _write(folder: Path, lang: str, run: Scored) -> Path:
    """Write a run file; scores keep all their digits."""
    path = folder / f"{lang}.trec"
    with open(path, "w", encoding="utf-8") as file:
        for qid, hits in run:
            file.writelines(
                f"{qid} Q0 {docid} {rank} {score!r} converted\n" for rank, (docid, score) in enumerate(hits, 1)
            )
    return path
