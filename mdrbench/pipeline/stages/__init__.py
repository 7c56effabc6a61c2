"""Every stage, in the order in which a run goes through them: the page to read first.

The stages that make hard negatives are in :mod:`mdrbench.pipeline.stages.negatives`, those that train in
:mod:`mdrbench.pipeline.stages.training`.

A stage is a function of a :class:`mdrbench.pipeline.plan.steps.Job`: it reads its inputs and source files, writes
files into ``job.out`` and returns facts: JSON that goes into the artifact's manifest, and from there into the result.
Stages know neither keys nor locks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mdrbench.core import registry
from mdrbench.core.errors import StepError
from mdrbench.core.types import Run
from mdrbench.data import miracl_layout
from mdrbench.evaluation import measures, statistics
from mdrbench.formats import trec
from mdrbench.pipeline.plan.steps import Job
from mdrbench.pipeline.stages.negatives import agreement, draw, generate, judge, mine, positives, read_generated, top_up
from mdrbench.pipeline.stages.training import label, pair, train


def corpus(job: Job) -> dict:
    """Read the corpus once: check every line, count, fingerprint, and write the table of docids."""
    report = miracl_layout.check_corpus(
        job.dataset, job.scope, job.out / "docids.u64", lambda done: job.progress(done, None)
    )
    return asdict(report)


def topics(job: Job) -> dict:
    """Check topics and qrels of a split against each other and against the corpus."""
    known = miracl_layout.DocidTable.lookup(job.inputs["corpus"] / "docids.u64")
    return miracl_layout.check_topics(job.dataset, job.scope, job.params["split"], known)


def index(job: Job) -> dict:
    """Index the corpus with the recipe's retriever; every passage of the corpus must be in the index."""
    corpus_facts = job.facts["corpus"]
    total = corpus_facts["passages"]
    job.progress(0, total)
    retriever = registry.build("retrievers", job.retriever())
    passages = job.dataset.passages(job.scope, corpus_facts["duplicates"])
    facts = retriever.index(job.scope, passages, job.out / "index", lambda done: job.progress(done, total))
    expected = total - facts["skipped"]
    if facts["indexed"] != expected or facts["skipped"] > corpus_facts["empty"]:
        raise StepError(
            f"the index of '{job.scope}' holds {facts['indexed']} passages, the corpus {total} "
            f"({corpus_facts['empty']} of them empty)",
            mend="the analyzer may not work on this machine: see `mdrbench doctor`",
        )
    return facts


def structure(job: Job) -> dict:
    """Build a search structure over a dense index."""
    member = registry.build("indexes", job.params["index"])
    total = job.facts["index"]["indexed"]
    return member.build(job.inputs["index"] / "index", job.out, lambda done: job.progress(done, total))


def search(job: Job) -> dict:
    """Search every topic of a split; the run is the artifact."""
    queries = job.topics() if "queries" not in job.inputs else read_generated(job.inputs["queries"])
    job.progress(0, len(queries))
    retriever, depth = registry.build("retrievers", job.retriever()), job.params["depth"]
    facts: dict = {}
    if not queries:
        found: Run = {}
    elif "structure" in job.inputs:
        found, facts = retriever.search_structure(job.indexes(), job.inputs["structure"], queries, depth)
    else:
        found = retriever.search(job.scope, job.indexes(), queries, depth)
    return {**_write_run(job, found), **facts}


def fuse(job: Job) -> dict:
    """Fuse the runs of a hybrid's parts."""
    runs = {label: trec.read_run(path / "run.trec.gz") for label, path in job.inputs.items()}
    retriever = registry.build("retrievers", job.retriever())
    return _write_run(job, retriever.fuse(runs, job.params["depth"]))


def _write_run(job: Job, run: Run) -> dict:
    trec.write_run(job.out / "run.trec.gz", run, tag=job.params["retriever"]["name"])
    job.progress(len(run), len(run))
    return {
        "topics": len(run),
        "hits": sum(map(len, run.values())),
        "without_hits": sum(not hits for hits in run.values()),
        "conventions": job.params["conventions"],
    }


def evaluate(job: Job) -> dict:
    """Score the run of a split per topic, with means and intervals for the language."""
    qrels = job.qrels()
    queries = job.topics()
    names = tuple(job.params["measures"])
    run = trec.read_run(job.inputs["run"] / "run.trec.gz")
    scores = measures.score_topics(run, qrels, names)
    measures.write_topic_scores(job.out / "topics.tsv.gz", scores, queries, names)
    return {
        "topics": len(scores),
        "without_hits": sum(qid not in run for qid in qrels),
        "scores": _intervals([measures.matrix(scores, names)], job.params),
    }


def average(job: Job) -> dict:
    """Macro average over the languages that ran, with an interval from resampling topics within each."""
    return {"scores": average_scores([path / "topics.tsv.gz" for path in job.inputs.values()], job.params)}


STAGES: dict[str, Callable[[Job], dict]] = {
    stage.__name__: stage
    for stage in (
        *(corpus, topics, index, structure, search, fuse),
        *(draw, positives, mine, judge, generate, top_up, agreement, pair, label, train),
        *(evaluate, average),
    )
}


def average_scores(topic_files: list[Path], params: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Measure -> value, low and high of the macro average over languages, from their topic-level files."""
    names = tuple(params["measures"])
    groups = [measures.matrix(measures.read_topic_scores(path)[0], names) for path in topic_files]
    return _intervals(groups, params)


def _intervals(groups: list, params: dict[str, Any]) -> dict[str, dict[str, float]]:
    settings = {key: params[key] for key in ("confidence", "resamples", "seed")}
    found = statistics.bootstrap(groups, **settings)
    return {name: interval._asdict() for name, interval in zip(params["measures"], found, strict=True)}
