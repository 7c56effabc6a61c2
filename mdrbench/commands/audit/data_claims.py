"""Compare a result with the data set: files and counts, the topic-level scores of its runs, and its queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256
from mdrbench.core.types import Run, Topics
from mdrbench.data.checks import CorpusReport, check_topics
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures
from mdrbench.evaluation.measures import TopicScores
from mdrbench.formats import trec
from mdrbench.results import Result
from mdrbench.results.verified import Verified

CLOSE = 1e-9
"""Two computations of a mean agree within this; what is printed has four digits."""

Known = Callable[[str], bool]
"""Says whether a corpus has a docid."""

Corpora = Callable[[str], tuple[CorpusReport, Known]]
"""Reads a language's corpus."""


def close(stored: float, derived: float) -> bool:
    """Whether two computations of a mean agree."""
    return math.isclose(stored, derived, rel_tol=0, abs_tol=CLOSE)


def rescored(
    found: Verified, result: Result, lang: str, run: Run | None, dataset: MiraclFolder, corpora: Corpora | None
) -> TopicScores | None:
    """Compare the data with the record, and score the kept run; None if either cannot be read."""
    try:
        known = _data(found, result, lang, dataset, corpora)
        if run is None:
            return None
        qrels = trec.read_qrels(dataset.qrels_file(lang, result.split))
        topics = trec.read_topics(dataset.topics_file(lang, result.split))
        scores = measures.score_topics(run, qrels, tuple(result.evaluated.measures))
    except DataError as error:
        found.unreadable(error, lang)
        return None
    _unknown_in_run(found, _kept(found, result, lang, "run"), lang, run, topics, known)
    return scores


def _data(found: Verified, result: Result, lang: str, dataset: MiraclFolder, corpora: Corpora | None) -> Known | None:
    """Compare the data with the record: topics, qrels and counts, and the corpus if it is read.

    Returns:
        A function that says whether the corpus has a docid, None without the corpus.
    """
    recorded = result.languages[lang].dataset
    if recorded is None:
        found.problem("no data set is recorded", lang=lang, mend="run the recipe again")
        return None
    files = [dataset.topics_file(lang, result.split), dataset.qrels_file(lang, result.split)]
    known, warnings = None, {}
    if corpora is not None:
        corpus, known = corpora(lang)
        files += dataset.corpus_files(lang)
        warnings = corpus.warnings
        found.same("the corpus is another than was searched", recorded.fingerprint, corpus.fingerprint, lang=lang)
        found.same("dataset.passages", recorded.passages, corpus.passages, lang=lang)
    for path in files:
        found.same(f"{path.name} is another than was used", recorded.files.get(path.name), file_sha256(path), lang=lang)
    counts = check_topics(dataset, lang, result.split, known or (lambda docid: True))
    for key in ("topics", "judged_topics", "judgments", "positives"):
        found.same(f"dataset.{key}", getattr(recorded, key), counts[key], lang=lang)
    of_topics = counts["warnings"]
    assert isinstance(of_topics, dict)
    if corpora is not None:
        found.same("dataset.warnings", recorded.warnings, {**warnings, **of_topics}, lang=lang)
    return known


def _unknown_in_run(
    found: Verified, file: Path, lang: str, run: Run, topics: Collection[str], known: Known | None
) -> None:
    """Name the topics and the first passage of a run that the data lack."""
    for qid in run:
        if qid not in topics:
            found.problem(f"ranks passages for topic '{qid}', which the data lack", file=file, lang=lang)
    unknown = [(qid, hit.docid) for qid, hits in run.items() for hit in hits if known and not known(hit.docid)]
    if unknown:
        qid, docid = unknown[0]
        what = f"topic '{qid}' ranks '{docid}', which the corpus lacks{_more(unknown)}"
        found.problem(what, file=file, lang=lang)


def compare_topics(found: Verified, result: Result, lang: str, kept: TopicScores, derived: TopicScores) -> None:
    """Compare topic-level scores as kept with those of the run; the first of each measure is named."""
    file = _kept(found, result, lang, "topics")
    for qid in [*(q for q in derived if q not in kept), *(q for q in kept if q not in derived)]:
        what = "is judged and not in the file" if qid in derived else "is not judged"
        found.problem(f"topic '{qid}' {what}", file=file, lang=lang)
    for measure in next(iter(derived.values())):
        off = [q for q in derived if q in kept and not close(kept[q][measure], derived[q][measure])]
        if off:
            found.problem(
                f"topic '{off[0]}'{_more(off)}", file=file, lang=lang, measure=measure,
                stored=kept[off[0]][measure], derived=derived[off[0]][measure],
            )  # fmt: skip


def compare_queries(found: Verified, result: Result, lang: str, queries: Topics, dataset: MiraclFolder) -> None:
    """Compare the queries beside the scores with the data's topics."""
    topics = trec.read_topics(dataset.topics_file(lang, result.split))
    for qid, query in queries.items():
        if topics.get(qid) != query:
            file = _kept(found, result, lang, "topics")
            found.problem(f"the query of topic '{qid}'", file=file, lang=lang, stored=query, derived=topics.get(qid))
            return


def _kept(found: Verified, result: Result, lang: str, kind: str) -> Path:
    return found.path.parent / result.languages[lang].files[kind].path


def _more(cases: Iterable[object]) -> str:
    others = len(list(cases)) - 1
    return f" (and {others} more)" if others else ""
