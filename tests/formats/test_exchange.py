"""Runs of other tools: there and back, and scored alike."""

from __future__ import annotations

from collections import namedtuple

import pytest

from mdrbench.core.errors import DataError
from mdrbench.core.types import Hit
from mdrbench.evaluation import measures
from mdrbench.formats import exchange, trec

RUN = {"q1": [Hit("b", 2.5), Hit("c", 1.25), Hit("a", 1.25)], "q2": [Hit("a", -0.5)]}
QRELS = {"q1": {"a": 1, "b": 0}, "q2": {"a": 1}}


def test_ir_measures_scores_an_exported_run_as_we_do_and_reads_its_file(tmp_path):
    import ir_measures

    docs = list(exchange.to_scored_docs(RUN))
    assert docs[0] == ir_measures.ScoredDoc("q1", "b", 2.5)
    qrels = [ir_measures.Qrel(qid, docid, grade) for qid, row in QRELS.items() for docid, grade in row.items()]
    theirs = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, docs)}
    ours = measures.score_topics(RUN, QRELS, ("nDCG@10",))
    assert theirs == {qid: pytest.approx(row["nDCG@10"]) for qid, row in ours.items()}
    path = tmp_path / "run.trec"
    trec.write_run(path, RUN, tag="mine")
    assert exchange.from_scored_docs(ir_measures.read_trec_run(str(path))) == RUN == trec.read_run(path)


def test_mappings_come_back_in_the_order_of_the_tie_rule():
    mapping = {"q1": {"a": 1.25, "c": 1.25, "b": 2.5}, "q2": {"a": -0.5}}
    assert exchange.to_mapping(RUN) == mapping
    assert exchange.from_mapping(mapping) == RUN


def test_scores_that_are_no_ranking_are_errors():
    with pytest.raises(DataError, match="the score of 'a' for the topic 'q' is nan"):
        exchange.from_mapping({"q": {"a": float("nan")}})
    doc = namedtuple("Doc", "query_id doc_id score")("q", "a", 1.0)
    with pytest.raises(DataError, match="'a' is there twice for the topic 'q'"):
        exchange.from_scored_docs([doc, doc])
