"""Cut a data set to a pool: the passages that some systems rank best for the topics of a split, and all judged ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage
from mdrbench.data import writing
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.data.record import DatasetRecord, read_record, write_record
from mdrbench.data.writing import LanguageData, SplitData
from mdrbench.formats.trec import read_qrels, read_run, read_topics


class PooledRun(NamedTuple):
    """A run that passages are taken from: the system's name, and the SHA-256 of its file."""

    system: str
    path: Path
    sha256: str


def write_pool(
    dataset: MiraclFolder, root: Path, split: str, depth: int, runs: dict[str, list[PooledRun]]
) -> dict[str, dict[str, int]]:
    """Write a pool as a data set of its own.

    Args:
        dataset: the data set to cut.
        root: the folder of the pool.
        split: the only split of the pool. Its topics, and all of its judgments, are kept.
        depth: how many hits of each topic and run are taken.
        runs: language -> runs of the split.

    Returns:
        The counts of each language (see :func:`mdrbench.data.writing.write_language`).

    Raises:
        DataError: a run ranks a passage that the corpus lacks, or is of another split.
    """
    counts: dict[str, dict[str, int]] = {}
    for lang, pooled in runs.items():
        qrels = read_qrels(dataset.qrels_file(lang, split))
        judgments = [(qid, docid, grade) for qid, judged in qrels.items() for docid, grade in judged.items()]
        docids = {docid for _, docid, _ in judgments}
        for run in pooled:
            docids |= _best(run, depth, set(qrels))
        topics = read_topics(dataset.topics_file(lang, split))
        data = LanguageData(_kept(dataset, lang, docids), {split: SplitData(topics.items(), judgments)})
        work = root / "unfinished" / lang
        shutil.rmtree(work, ignore_errors=True)
        counts[lang] = writing.write_language(work, lang, data)
        if counts[lang]["passages"] != len(docids):
            lacking = len(docids) - counts[lang]["passages"]
            mend = "give runs that were made on this data set"
            raise DataError(f"{lacking} passages of the runs are not in the corpus of '{lang}'.", where=lang, mend=mend)
        writing.place_language(work, root, lang)
        shutil.rmtree(root / "unfinished")
        _record(dataset, root, depth, lang, pooled, counts[lang])
    return counts


def _best(run: PooledRun, depth: int, qids: set[str]) -> set[str]:
    """Return the docids of a run's best hits."""
    hits = read_run(run.path)
    if not qids & set(hits):
        mend = "give runs of the split that the pool is for (--split)"
        raise DataError("The run has none of the split's topics.", where=str(run.path), mend=mend)
    return {hit.docid for ranked in hits.values() for hit in islice(ranked, depth)}


def _kept(dataset: MiraclFolder, lang: str, docids: set[str]) -> Iterator[Passage]:
    """Yield the passages with these docids, each once, in the order of the corpus."""
    left = set(docids)
    for _, _, passage in dataset.numbered_passages(lang):
        if passage.docid in left:
            left.remove(passage.docid)
            yield passage


def _record(
    dataset: MiraclFolder, root: Path, depth: int, lang: str, runs: list[PooledRun], counts: dict[str, int]
) -> None:
    """Add a language to the pool's record, and its runs to the origin."""
    empty = DatasetRecord(corpus_variant=f"pool-{depth}", origin={"kind": "pool", "name": dataset.name, "runs": {}})
    record = read_record(root) or empty
    record.origin["runs"][lang] = {run.system: run.sha256 for run in runs}
    record.languages[lang] = counts
    write_record(root, record)
    systems = sorted({system for named in record.origin["runs"].values() for system in named})
    card = root / "README.md"
    if not card.is_file():
        card.write_text(_card(root.resolve().name, dataset.name, depth, systems), encoding="utf-8")


def _card(name: str, source: str, depth: int, systems: list[str]) -> str:
    return f"""# {name}: a pool of {source}

The passages of {source} that at least one of {len(systems)} systems ranks among its best {depth} for a topic,
and all judged passages. Systems: {", ".join(systems)}.

**A figure on a pool is higher than one on the full corpus.** Results on this data set record the variant
`pool-{depth}` and are never ranked with results on {source}. A system that finds relevant passages outside the pool
gains nothing from them.

Topics, judgments and licences are those of {source}: see its data card.
"""
