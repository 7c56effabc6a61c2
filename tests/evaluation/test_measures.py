from __future__ import annotations

import random

import ir_measures
import pytest

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.types import Hit, Qrels, Run
from mdrbench.evaluation import measures
from mdrbench.formats import trec


def collection(seed: int, topics: int = 60, depth: int = 150) -> tuple[Qrels, Run]:
    """Random judgments and a run with ties, topics nobody retrieved for, and topics nobody judged."""
    rng = random.Random(seed)
    docs = [f"{i}#{j}" for i in range(100) for j in range(4)]
    qrels = {f"q{i}": {d: rng.randint(0, 1) for d in rng.sample(docs, rng.randint(1, 12))} for i in range(topics)}
    run = {f"q{i}": [Hit(d, rng.randint(0, 20) / 4) for d in rng.sample(docs, depth)] for i in range(5, topics + 5)}
    run["q7"] = []
    return qrels, run


def save(tmp_path, qrels: Qrels, run: Run):
    (tmp_path / "qrels").write_text("".join(f"{q} 0 {d} {g}\n" for q, j in qrels.items() for d, g in j.items()))
    (tmp_path / "run").write_text("".join(f"{q} Q0 {h.docid} 0 {h.score!r} t\n" for q, hs in run.items() for h in hs))
    return tmp_path / "qrels", tmp_path / "run"


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_trec_evals_topic_by_topic(tmp_path, trec_eval, seed):
    qrels, run = collection(seed)
    files = save(tmp_path, qrels, run)
    flags = ("-m", "ndcg_cut.10", "-m", "recall.100", "-m", "map_cut.100")
    expected = trec_eval(*files, "-M", "100", *flags)
    at_ten = trec_eval(*files, "-M", "10", "-m", "recip_rank")
    means = expected.pop("all")
    mean_mrr = at_ten.pop("all")["recip_rank"]
    found = measures.score_topics(run, qrels, ("nDCG@10", "Recall@100", "MAP@100", "MRR@10"))
    assert list(found) == list(qrels)
    for qid in qrels:
        if qid in expected:  # with -q trec_eval prints only topics that have hits, with -c it averages over all
            assert found[qid]["nDCG@10"] == pytest.approx(expected[qid]["ndcg_cut_10"], abs=6e-5)
            assert found[qid]["Recall@100"] == pytest.approx(expected[qid]["recall_100"], abs=6e-5)
            assert found[qid]["MAP@100"] == pytest.approx(expected[qid]["map_cut_100"], abs=6e-5)
            assert found[qid]["MRR@10"] == pytest.approx(at_ten[qid]["recip_rank"], abs=6e-5)
        else:
            assert set(found[qid].values()) == {0.0}
    averages = measures.matrix(found, ("nDCG@10", "Recall@100", "MAP@100", "MRR@10")).mean(axis=0)
    wanted = [means["ndcg_cut_10"], means["recall_100"], means["map_cut_100"], mean_mrr]
    assert averages == pytest.approx(wanted, abs=6e-5)


def test_negative_grades_count_as_zero_even_if_a_topic_has_no_other(tmp_path, trec_eval):
    qrels = {"q1": {"a": -1, "b": 1, "c": 2}, "q2": {"a": -2}, "q3": {"a": -1000, "b": -1}}
    run = {qid: [Hit("a", 2.0), Hit("b", 1.0), Hit("c", 0.5)] for qid in qrels}
    found = measures.score_topics(run, qrels, ("nDCG@10", "MAP@100"))
    expected = trec_eval(*save(tmp_path, {"q1": qrels["q1"]}, run), "-m", "ndcg_cut.10", "-m", "map_cut.100")["q1"]
    assert found["q1"]["nDCG@10"] == pytest.approx(expected["ndcg_cut_10"], abs=6e-5)
    assert found["q1"]["MAP@100"] == pytest.approx(expected["map_cut_100"], abs=6e-5)
    assert found["q2"] == found["q3"] == {"nDCG@10": 0.0, "MAP@100": 0.0}


def test_an_empty_run_scores_zero_on_every_judged_topic():
    qrels, _ = collection(0)
    found = measures.score_topics({}, qrels)
    assert len(found) == len(qrels)
    assert measures.matrix(found, measures.DEFAULT).sum() == 0


def test_judged_is_ir_measures_judged():
    qrels, run = collection(3)
    distinct = {q: [Hit(h.docid, float(i)) for i, h in enumerate(hits)] for q, hits in run.items() if hits}
    as_dict = {q: {h.docid: h.score for h in hits} for q, hits in distinct.items()}
    expected = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.Judged @ 10], qrels, as_dict)}
    found = measures.score_topics(distinct, qrels, ("Judged@10",))
    assert {q: row["Judged@10"] for q, row in found.items() if q in expected} == expected
    assert all(found[q]["Judged@10"] == 0 for q in found.keys() - expected.keys())


def test_nothing_below_rank_100_counts():
    run = {"q": [Hit(f"d{i:03}", -float(i)) for i in range(150)]}
    found = measures.score_topics(run, {"q": {"d099": 1, "d100": 1}}, ("Recall@100", "MAP@100"))
    assert found["q"] == {"Recall@100": 0.5, "MAP@100": pytest.approx(0.005)}


@pytest.mark.parametrize(
    ("hits", "said"),
    [
        ([Hit("a", float("nan"))], "scores 'a' nan"),
        ([Hit("a", float("-inf"))], "scores 'a' -inf"),
        ([Hit("a", 1.0), Hit("a", 1.0)], "ranks 'a' twice"),
    ],
)
def test_scores_that_cannot_be_ranked_are_an_error(hits, said):
    with pytest.raises(DataError, match=said):
        measures.score_topics({"q": hits}, {"q": {"a": 1}})


@pytest.mark.parametrize("text", ["ndcg@10", "nDCG", "nDCG@0", "P@10", "Recall@1000"])
def test_an_unknown_measure_is_named(text):
    with pytest.raises(UsageError, match=text):
        measures.parse_measure(text)


def test_reading_a_run_and_scoring_it_keeps_trec_evals_order(tmp_path, trec_eval):
    """The whole way of a run: written by us, read by us and by trec_eval."""
    qrels, run = collection(11)
    trec.write_run(tmp_path / "run.gz", run, "t")
    back = trec.read_run(tmp_path / "run.gz")
    files = save(tmp_path, qrels, back)
    mean = trec_eval(*files, "-M", "100", "-m", "ndcg_cut.10")["all"]["ndcg_cut_10"]
    found = measures.score_topics(back, qrels, ("nDCG@10",))
    assert measures.matrix(found, ("nDCG@10",)).mean() == pytest.approx(mean, abs=6e-5)
