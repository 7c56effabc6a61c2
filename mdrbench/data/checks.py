"""Check a corpus, and the topics and qrels of a split, before anything is computed from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage, is_blank
from mdrbench.data.docid_table import DocidTable
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats.trec import iter_qrels, read_qrels, read_topics

MAX_DUPLICATES = 10_000
"""The most repeated docids that are tolerated in one corpus; with more, the corpus counts as broken."""


@dataclass(frozen=True)
class CorpusReport:
    """The outcome of one pass over a corpus; ``passages`` counts distinct docids."""

    passages: int
    characters: int
    fingerprint: str
    duplicates: list[str]
    empty: int
    warnings: dict[str, int]


def check_corpus(
    folder: MiraclFolder, lang: str, table: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> CorpusReport:
    """Read a corpus once and write its table of docids and places; a line that is not a passage raises a DataError.

    The fingerprint is the SHA-256 over the passages in file order, so it does not change with compression or
    sharding. Empty texts and identical repetitions of a passage are counted; a docid with two texts is an error.

    Args:
        progress: called with the bytes that were read, and the bytes of the corpus.
    """
    warnings: Counter[str] = Counter()
    digest, docids = sha256(), DocidTable(table)
    total = characters = empty = 0
    for place, _, _, passage in folder.placed_passages(lang, warnings, progress):
        total += 1
        characters += len(passage.title) + len(passage.text)
        digest.update("\x1f".join(passage).encode("utf-8") + b"\n")
        docids.add(passage.docid, place)
        if is_blank(passage.text):
            warnings["passage without text"] += 1
            empty += is_blank(passage.title)
    if not total:
        raise DataError("the corpus is empty", where=str(folder.corpus_files(lang)[0]), mend=folder.repair)
    if empty == total:
        raise DataError(
            f"there is nothing to search: none of the {total} passages has a title or a text",
            where=str(folder.corpus_files(lang)[0]),
            mend=f"check the keys title and text, or {folder.repair}",
        )
    repeated = docids.finish()
    duplicates, extra = _confirm_duplicates(folder, lang, set(repeated)) if repeated else ([], 0)
    if extra:
        warnings["repeated passage ignored"] = extra
    return CorpusReport(
        total - extra, characters, digest.hexdigest(), duplicates, empty, dict(sorted(warnings.items()))
    )


def _confirm_duplicates(folder: MiraclFolder, lang: str, hashes: set[int]) -> tuple[list[str], int]:
    """Return the docids that really occur more than once, and the number of their surplus lines."""
    if len(hashes) > MAX_DUPLICATES:
        raise DataError(
            f"{len(hashes)} docids occur more than once",
            where=str(folder.corpus_files(lang)[0].parent),
            mend=f"look for a shard that is there under two numbers, or {folder.repair}",
        )
    first: dict[str, tuple[str, Passage]] = {}
    duplicates: set[str] = set()
    extra = 0
    for path, number, passage in folder.numbered_passages(lang):
        if DocidTable.hash(passage.docid) not in hashes:
            continue
        if passage.docid not in first:
            first[passage.docid] = (f"{path}:{number}", passage)
            continue
        where, earlier = first[passage.docid]
        if passage != earlier:
            raise DataError(
                f"docid '{passage.docid}' has another text than at {where}",
                where=f"{path}:{number}",
                mend="give one of the two passages another docid, or drop it",
            )
        duplicates.add(passage.docid)
        extra += 1
    return sorted(duplicates), extra


def check_topics(folder: MiraclFolder, lang: str, split: str, known: Callable[[str], bool]) -> dict[str, object]:
    """Check topics and qrels of a split against each other and against the corpus.

    Judgments of an unknown topic or passage are errors, because no run can be scored correctly with them. Topics
    without judgments and topics without a positive are counted.

    Returns:
        Counts and warnings: ``topics``, ``judged_topics``, ``judgments``, ``positives``, ``warnings``.
    """
    warnings: Counter[str] = Counter()
    topics = read_topics(folder.topics_file(lang, split), warnings)
    path = folder.qrels_file(lang, split)
    qrels = read_qrels(path, warnings)
    for number, qid, docid, _ in iter_qrels(path):
        if qid not in topics:
            raise DataError(
                f"judges topic '{qid}', which {folder.topics_file(lang, split).name} lacks",
                where=f"{path}:{number}",
                mend="add the topic or drop the judgment",
            )
        if not known(docid):
            raise DataError(
                f"judges passage '{docid}', which the corpus lacks",
                where=f"{path}:{number}",
                mend="topics, qrels and corpus must be of one release",
            )
    positives = {qid: sum(grade > 0 for grade in judged.values()) for qid, judged in qrels.items()}
    warnings["topic without judgments, not scored"] += len(topics.keys() - qrels.keys())
    warnings["topic without a positive, scores 0"] += sum(n == 0 for n in positives.values())
    warnings["no judgment is positive, every score is 0"] += not any(positives.values())
    return {
        "topics": len(topics),
        "judged_topics": len(qrels),
        "judgments": sum(map(len, qrels.values())),
        "positives": sum(positives.values()),
        "warnings": {flaw: n for flaw, n in sorted(warnings.items()) if n},
    }
