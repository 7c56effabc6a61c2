"""Score topics with trec_eval's conventions; read and write topic-level scores.

Scores come from trec_eval's own C code through pytrec_eval. The conventions are those of ``trec_eval -c -M 100``: the
qrels set the denominator (a judged topic without hits scores 0), equal float32 scores are ordered by docid descending,
and nothing below rank :data:`DEPTH` counts. ``Judged@k``, which trec_eval lacks, is ir-measures' definition (judged
among the top k, divided by the hits there) under the same tie rule; a topic without hits has 0.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from mdrbench.core.atomic_files import gzip_file
from mdrbench.core.errors import DataError, UsageError, did_you_mean
from mdrbench.core.types import Qrels, Run, Topics
from mdrbench.formats.trec import by_tie_rule, check_hits, parse_scores, whole_lines

if TYPE_CHECKING:
    import numpy as np

DEPTH = 100
"""Hits of a topic that count, trec_eval's ``-M``."""

DEFAULT = ("nDCG@10", "Recall@100", "MRR@10", "MAP@100", "Judged@10")
"""The measures of every leaderboard; the first one ranks."""

_TREC_NAMES = {"nDCG": "ndcg_cut_{k}", "Recall": "recall_{k}", "MAP": "map_cut_{k}", "MRR": "recip_rank"}

TopicScores = dict[str, dict[str, float]]
"""qid -> measure -> score, one entry for every judged topic."""


def parse_measure(text: str) -> tuple[str, int]:
    """``nDCG@10`` -> ``("nDCG", 10)``; known are nDCG, Recall, MRR, MAP and Judged at 1 to 100."""
    match = re.fullmatch(r"([A-Za-z]+)@([1-9]\d*)", text)
    known = [*_TREC_NAMES, "Judged"]
    if not match or match[1] not in known:
        raise UsageError(f"unknown measure '{text}'", mend=did_you_mean(text, list(DEFAULT)))
    if int(match[2]) > DEPTH:
        raise UsageError(f"'{text}' looks below rank {DEPTH}", mend=f"use a cut-off of at most {DEPTH}")
    return match[1], int(match[2])


def score_topics(run: Run, qrels: Qrels, measures: tuple[str, ...] = DEFAULT) -> TopicScores:
    """Score every topic of ``qrels``; leave out topics of ``run`` without judgments.

    Raises:
        DataError: a topic ranks a passage twice or with a score that is not finite.
    """
    import pytrec_eval

    wanted = {measure: parse_measure(measure) for measure in measures}
    kept = {}
    for qid in qrels:
        hits = run.get(qid)
        if hits:
            check_hits(qid, hits, "run")
            kept[qid] = {docid: score for score, docid in by_tie_rule(hits)[:DEPTH]}
    names = {_TREC_NAMES[name].format(k=k) for name, k in wanted.values() if name != "Judged"}
    # trec_eval counts a negative grade as 0; pytrec_eval crashes if a topic has no other grade
    judged = {qid: {docid: max(grade, 0) for docid, grade in grades.items()} for qid, grades in qrels.items()}
    evaluator = pytrec_eval.RelevanceEvaluator(judged, {re.sub(r"_(\d+)$", r".\1", name) for name in names})
    raw = evaluator.evaluate(kept) if names else {}
    return {
        qid: {
            measure: _judged(kept.get(qid), qrels[qid], k) if name == "Judged" else _from_trec(raw.get(qid), name, k)
            for measure, (name, k) in wanted.items()
        }
        for qid in qrels
    }


def _from_trec(scores: dict[str, float] | None, name: str, k: int) -> float:
    if scores is None:  # judged, but no hit: trec_eval -c counts it as zero
        return 0.0
    value = scores[_TREC_NAMES[name].format(k=k)]
    if name == "MRR":  # recip_rank is 1/rank of the first positive; below the cut-off it counts as none
        return value if value > 1 / (k + 1) else 0.0
    return value


def _judged(hits: dict[str, float] | None, judged: dict[str, int], k: int) -> float:
    top = list(hits)[:k] if hits else []
    return sum(docid in judged for docid in top) / len(top) if top else 0.0


def write_topic_scores(path: Path, scores: TopicScores, queries: Topics, names: tuple[str, ...]) -> None:
    """Write a gzipped, tab-separated table: a header, then qid, the scores in full precision and the query."""
    rows = [["qid", *names, "query"]]
    for qid, row in scores.items():
        rows.append([qid, *(repr(row[name]) for name in names), json.dumps(queries[qid], ensure_ascii=False)])
    with gzip_file(path) as file:
        file.write("".join("\t".join(cells) + "\n" for cells in rows).encode("utf-8"))


def read_topic_scores(path: Path) -> tuple[TopicScores, Topics]:
    """Read the scores and queries that :func:`write_topic_scores` wrote.

    Raises:
        DataError: the file is not such a table; the error names the line.
    """
    scores: TopicScores = {}
    queries: Topics = {}
    names: list[str] = []
    for number, line in whole_lines(path):
        cells = line.split("\t")
        if number == 1:
            if cells[0] != "qid" or cells[-1] != "query" or len(cells) < 3:
                raise _not_a_score_table("the header is not `qid`, measures, `query`", f"{path}:1")
            names = cells[1:-1]
            continue
        if len(cells) != len(names) + 2:
            raise _not_a_score_table(f"{len(cells)} columns, not {len(names) + 2}", f"{path}:{number}")
        qid = cells[0]
        if qid in scores:
            raise _not_a_score_table(f"topic {qid!r} is there twice", f"{path}:{number}")
        try:
            values = parse_scores(cells[1:-1])
            query = _query(cells[-1])
        except (ValueError, AttributeError, RecursionError):
            problem = "a score is not a number, or the query is not a JSON string"
            raise _not_a_score_table(problem, f"{path}:{number}") from None
        if not isfinite(sum(values)):
            raise _not_a_score_table("a score is not finite", f"{path}:{number}")
        scores[qid] = dict(zip(names, values, strict=True))
        queries[qid] = query
    if not names:
        raise _not_a_score_table("the file is empty", f"{path}:1")
    return scores, queries


def _not_a_score_table(problem: str, where: str) -> DataError:
    return DataError(f"not a table of topic-level scores: {problem}", where=where, mend="run the recipe again")


@lru_cache(maxsize=1 << 16)
def _query(text: str) -> str:
    """Read a query as JSON. The systems of a data set share their queries, so each is read once.

    Raises:
        ValueError, AttributeError, RecursionError: not a JSON string of valid Unicode.
    """
    query: str = json.loads(text)
    query.encode("utf-8")
    return query


def matrix(scores: TopicScores, measures: tuple[str, ...]) -> np.ndarray:
    """Return scores as an array of shape (topics, measures), topics in their order."""
    import numpy as np

    return np.array([[row[m] for m in measures] for row in scores.values()], dtype=np.float64)


def overlap(found: np.ndarray, exact: np.ndarray, k: int) -> float:
    """Return the recall of approximate search: the mean share of the ``k`` exact rows among the first ``k`` found.

    Args:
        found, exact: row numbers, best first, shape (queries, at least k); negative numbers stand for no row.
    """
    import numpy as np

    shares = []
    for mine, true in zip(found[:, :k], exact[:, :k], strict=True):
        wanted = true[true >= 0]
        shares.append(np.isin(wanted, mine).mean() if len(wanted) else 1.0)
    return float(np.mean(shares))
