"""Scoring 13,000 topics x 100 hits (the size of MIRACL dev in 16 languages) against what a user would pick instead.

    python benchmarks/evaluate.py [--topics 13000] [--depth 100] [--repeat 3]

All compute nDCG@10, Recall@100, MRR@10 and MAP@100 of the same run from Python objects in the same process; ours and
ir-measures also Judged@10. The means must agree. Reading the run from its gzipped file is timed apart.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ir_measures
import pytrec_eval
from ir_measures import AP, RR, Judged, R, nDCG

from mdrbench.core.types import Hit
from mdrbench.evaluation import measures
from mdrbench.formats import trec


def collection(topics: int, depth: int):
    """Random judgments (3 positives, 7 zeros a topic) and a run that finds most of the judged passages."""
    rng = random.Random(0)
    docs = [f"{article}#{part}" for article in range(20_000) for part in range(5)]
    qrels, run = {}, {}
    for number in range(topics):
        judged = rng.sample(docs, 10)
        qrels[f"q{number}"] = {docid: int(i < 3) for i, docid in enumerate(judged)}
        pool = list(dict.fromkeys([*judged[:8], *rng.sample(docs, depth)]))[:depth]
        scores = trec.float32(sorted((rng.random() for _ in pool), reverse=True))
        rng.shuffle(pool)
        run[f"q{number}"] = [Hit(docid, score) for docid, score in zip(pool, scores, strict=True)]
    return qrels, run


def timed(function: Callable[[], dict[str, float]], repeat: int) -> tuple[float, dict[str, float]]:
    """Median seconds and the means."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        means = function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), means


def main() -> None:
    """Print one line a contender."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--topics", type=int, default=13_000)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    qrels, run = collection(options.topics, options.depth)
    plain = {qid: dict(hits) for qid, hits in run.items()}

    def ours() -> dict[str, float]:
        scores = measures.score_topics(run, qrels)
        return dict(zip(measures.DEFAULT, measures.matrix(scores, measures.DEFAULT).mean(axis=0), strict=True))

    def ir_measures_calc() -> dict[str, float]:
        wanted = {nDCG @ 10: "nDCG@10", R @ 100: "Recall@100", RR @ 10: "MRR@10", AP @ 100: "MAP@100"}
        found = ir_measures.calc_aggregate([*wanted, Judged @ 10], qrels, plain)
        return {name: found[measure] for measure, name in wanted.items()}

    def bare_pytrec_eval() -> dict[str, float]:
        evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100", "map_cut.100", "recip_rank"})
        found = evaluator.evaluate(plain)
        names = {"nDCG@10": "ndcg_cut_10", "Recall@100": "recall_100", "MAP@100": "map_cut_100"}
        return {name: statistics.fmean(row[key] for row in found.values()) for name, key in names.items()}

    print(f"{options.topics} topics x {options.depth} hits, median of {options.repeat}")
    contenders = {
        "mdrbench (5 measures, checked)": ours,
        "ir-measures (5 measures)": ir_measures_calc,
        "pytrec_eval, bare (4 measures)": bare_pytrec_eval,
    }
    reference = None
    for name, function in contenders.items():
        seconds, means = timed(function, options.repeat)
        reference = reference or means
        gap = max(abs(value - reference[key]) for key, value in means.items())
        print(f"  {name:<32} {seconds:6.2f} s   nDCG@10 {means['nDCG@10']:.4f}   largest difference {gap:.1e}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.trec.gz"
        start = time.perf_counter()
        trec.write_run(path, run, "bench")
        written = time.perf_counter() - start
        start = time.perf_counter()
        trec.read_run(path)
        read = time.perf_counter() - start
    print(f"  writing the run, gzipped, takes {written:.2f} s; reading and checking it {read:.2f} s")


if __name__ == "__main__":
    main()
