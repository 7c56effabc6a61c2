"""Runs to and from the forms of other tools: ir_measures' scored documents, and the mappings of ranx and pytrec_eval.

trec_eval reads the run files themselves (:func:`mdrbench.formats.trec.write_run` with a name without ``.gz``), and
:func:`mdrbench.formats.trec.read_run` reads those of others. Scores are float32, as in every run here, and hits are
ordered by the tie rule of trec_eval 9. Other tools may order equal scores in another way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from mdrbench.core.errors import DataError, SetupError
from mdrbench.core.types import Hit, Run
from mdrbench.formats.trec import ranked

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


def to_scored_docs(run: Run) -> Iterator[ScoredDoc]:
    """Yield a run as ir_measures' ``ScoredDoc(query_id, doc_id, score)``; a topic without hits yields nothing.

    Raises:
        SetupError: ir_measures is not installed.
    """
    try:
        from ir_measures import ScoredDoc
    except ImportError:
        raise SetupError("the package ir_measures is missing", mend="pip install ir-measures") from None
    return (ScoredDoc(qid, hit.docid, hit.score) for qid, hits in run.items() for hit in hits)


def from_scored_docs(docs: Iterable[Any]) -> Run:
    """Return a run from objects with ``query_id``, ``doc_id`` and ``score``, such as ir_measures reads.

    Raises:
        DataError: a score is not finite, or a passage is there twice for a topic.
    """
    scores: dict[str, dict[str, float]] = {}
    for doc in docs:
        of_topic = scores.setdefault(str(doc.query_id), {})
        if str(doc.doc_id) in of_topic:
            raise DataError(
                f"'{doc.doc_id}' is there twice for the topic '{doc.query_id}'", mend="keep one score for each passage"
            )
        of_topic[str(doc.doc_id)] = float(doc.score)
    return from_mapping(scores)


def to_mapping(run: Run) -> dict[str, dict[str, float]]:
    """Return a run as topic -> docid -> score, for ``ranx.Run.from_dict`` and pytrec_eval."""
    return {qid: {hit.docid: hit.score for hit in hits} for qid, hits in run.items()}


def from_mapping(scores: Mapping[str, Mapping[str, float]]) -> Run:
    """Return a run from topic -> docid -> score, such as ``ranx.Run.to_dict`` gives.

    Raises:
        DataError: a score is not finite.
    """
    for qid, by_docid in scores.items():
        for docid, score in by_docid.items():
            if not isfinite(score):
                raise DataError(f"the score of '{docid}' for the topic '{qid}' is {score}", mend="correct the run")
    return {qid: ranked(Hit(docid, float(score)) for docid, score in row.items()) for qid, row in scores.items()}
