"""All stages, in the order in which a run goes through them. Read this module first.

The stages that make hard negatives are in :mod:`mdrbench.pipeline.stages.negatives`, the stages that train are in
:mod:`mdrbench.pipeline.stages.training`.

A stage is a function of a :class:`mdrbench.pipeline.plan.steps.Job`: it reads its inputs and source files, writes
files into ``job.out``, and returns facts: JSON for the artifact's manifest, and from there for the result. A stage
knows neither keys nor locks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.errors import StepError
from mdrbench.core.types import Run, Topics
from mdrbench.data import checks
from mdrbench.data.docid_table import DocidTable
from mdrbench.evaluation import measures, statistics
from mdrbench.formats import groups as group_files
from mdrbench.formats import trec
from mdrbench.pipeline.plan.steps import Job
from mdrbench.pipeline.stages.negatives import (
    agreement,
    canaries,
    draw,
    generate,
    judge,
    mine,
    positives,
    read_generated,
    top_up,
    unjudged,
)
from mdrbench.pipeline.stages.training import label, pair, teach, train
from mdrbench.retrieval.indexes import VectorIndex
from mdrbench.retrieval.retrievers import Retriever

if TYPE_CHECKING:
    import numpy as np

Facts = dict[str, Any]
"""JSON about an artifact, for its manifest."""


def corpus(job: Job) -> Facts:
    """Read the corpus once: check every line, count, fingerprint, and write the table of docids and places."""
    report = checks.check_corpus(job.dataset, job.scope, job.out / "docids.u64", job.progress)
    return asdict(report)


def topics(job: Job) -> Facts:
    """Check topics and qrels of a split against each other and against the corpus."""
    known = DocidTable.lookup(job.inputs["corpus"] / "docids.u64")
    return checks.check_topics(job.dataset, job.scope, job.params["split"], known)


def index(job: Job) -> Facts:
    """Index the corpus with the recipe's retriever, and check that every passage of the corpus is in the index."""
    corpus_facts = job.facts["corpus"]
    total = corpus_facts["passages"]
    job.progress(0, total)
    retriever: Retriever = job.build("retriever")
    passages = job.dataset.passages(job.scope, corpus_facts["duplicates"])
    facts = retriever.index(job.scope, passages, job.out / "index", lambda done: job.progress(done, total))
    check_index(job, facts)
    return facts


def check_index(job: Job, facts: Facts) -> None:
    """Raise a StepError unless an index holds every passage of the corpus."""
    corpus_facts = job.facts["corpus"]
    total = corpus_facts["passages"]
    expected = total - facts["skipped"]
    if facts["indexed"] != expected or facts["skipped"] > corpus_facts["empty"]:
        raise StepError(
            f"the index of '{job.scope}' holds {facts['indexed']} passages, the corpus {total} "
            f"({corpus_facts['empty']} of them empty)",
            mend="the analyzer may not work on this machine: see `mdrbench doctor`",
        )


def structure(job: Job) -> Facts:
    """Build a search structure over a dense index."""
    kind: VectorIndex = job.build("index")
    total = job.facts["index"]["indexed"]
    return kind.build(job.index(), job.out, lambda done: job.progress(done, total))


def queries(job: Job) -> Topics:
    """Return what is searched: the topics of the split, or queries that were generated."""
    return job.topics() if "queries" not in job.inputs else read_generated(job.inputs["queries"])


def search(job: Job) -> Facts:
    """Search every topic of a split and write the run."""
    topics = queries(job)
    job.progress(0, len(topics))
    retriever, depth = job.build("retriever"), job.params["depth"]
    facts: Facts = {}
    if not topics:
        run: Run = {}
    elif "structure" in job.inputs:
        run, facts = retriever.search_structure(job.index(), job.inputs["structure"], topics, depth)
    else:
        run = retriever.search(job.scope, job.indexes(), topics, depth)
    encoded = retriever.encoder.facts() if topics and hasattr(retriever, "encoder") else {}
    return {**write_run(job, run), **facts, **encoded}


def fuse(job: Job) -> Facts:
    """Fuse the runs of a hybrid's parts."""
    runs = {label: trec.read_run(path / "run.trec.gz") for label, path in job.inputs.items()}
    return write_run(job, job.build("retriever").fuse(runs, job.params["depth"]))


def rerank(job: Job) -> Facts:
    """Order the hits of another retriever's run anew."""
    run = trec.read_run(job.inputs["run"] / "run.trec.gz")
    wanted = {hit.docid for hits in run.values() for hit in hits}
    texts = group_files.passages(wanted, job.places().passages(wanted))
    found, facts = job.build("retriever").rerank(queries(job), run, texts, job.progress)
    depth = job.params["depth"]
    return {**write_run(job, {qid: hits[:depth] for qid, hits in found.items()}), **facts}


def write_run(job: Job, run: Run) -> Facts:
    """Write the run of a search step; return its counts."""
    trec.write_run(job.out / "run.trec.gz", run, tag=job.params["retriever"]["name"])
    job.progress(len(run), len(run))
    return {
        "topics": len(run),
        "hits": sum(map(len, run.values())),
        "without_hits": sum(not hits for hits in run.values()),
        "conventions": job.params["conventions"],
    }


def evaluate(job: Job) -> Facts:
    """Score the run of a split topic by topic; compute means and intervals for the language."""
    qrels = job.qrels()
    asked = job.topics()
    names = tuple(job.params["measures"])
    run = trec.read_run(job.inputs["run"] / "run.trec.gz")
    scores = measures.score_topics(run, qrels, names)
    measures.write_topic_scores(job.out / "topics.tsv.gz", scores, asked, names)
    return {
        "topics": len(scores),
        "without_hits": sum(qid not in run for qid in qrels),
        "scores": _intervals([measures.matrix(scores, names)], job.params),
    }


def average(job: Job) -> Facts:
    """Average over the languages that ran, with an interval from resampling topics within each language."""
    return {"scores": average_scores([path / "topics.tsv.gz" for path in job.inputs.values()], job.params)}


STAGES: dict[str, Callable[[Job], Facts]] = {
    stage.__name__: stage
    for stage in (
        *(corpus, topics, index, structure, search, fuse, rerank),
        *(draw, positives, canaries, mine, judge, unjudged, generate, top_up, agreement, pair, label, teach, train),
        *(evaluate, average),
    )
}


def average_scores(topic_files: list[Path], params: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Average the languages' topic-level scores: measure -> value, low and high of the macro average."""
    names = tuple(params["measures"])
    groups = [measures.matrix(measures.read_topic_scores(path)[0], names) for path in topic_files]
    return _intervals(groups, params)


def _intervals(groups: list[np.ndarray], params: dict[str, Any]) -> dict[str, dict[str, float]]:
    settings = {key: params[key] for key in ("confidence", "resamples", "seed")}
    intervals = statistics.bootstrap(groups, **settings)
    return {name: interval._asdict() for name, interval in zip(params["measures"], intervals, strict=True)}
