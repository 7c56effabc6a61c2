"""Every stage, in the order in which a run goes through them: the page to read first.

A stage is a function of a :class:`Job`: it reads its inputs and source files, writes files into ``job.out`` and returns
facts, JSON that goes into the artifact's manifest and from there into the result. Stages know neither keys nor locks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mdrbench import layout, measures, registry, trec
from mdrbench.errors import StepError
from mdrbench.layout import MiraclFolder


@dataclass(frozen=True)
class Job:
    """What a stage gets: its scope and parameters, the input artifacts' folders and facts, and where to write."""

    scope: str
    params: dict[str, Any]
    dataset: MiraclFolder | None
    inputs: dict[str, Path]
    facts: dict[str, dict]
    out: Path
    progress: Callable[[int, int | None], None]


def corpus(job: Job) -> dict:
    """Read the corpus once: check every line, count, fingerprint, and write the table of docids."""
    report = layout.check_corpus(job.dataset, job.scope, job.out / "docids.u64", lambda done: job.progress(done, None))
    return asdict(report)


def topics(job: Job) -> dict:
    """Check topics and qrels of a split against each other and against the corpus."""
    known = layout.DocidTable.lookup(job.inputs["corpus"] / "docids.u64")
    return layout.check_topics(job.dataset, job.scope, job.params["split"], known)


def index(job: Job) -> dict:
    """Index the corpus with the recipe's retriever; every passage of the corpus must be in the index."""
    corpus_facts = job.facts["corpus"]
    total = corpus_facts["passages"]
    retriever = registry.build("retrievers", job.params["retriever"])
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


def search(job: Job) -> dict:
    """Search every topic of a split; the run is the artifact."""
    queries = trec.read_topics(job.dataset.topics_file(job.scope, job.params["split"]))
    retriever = registry.build("retrievers", job.params["retriever"])
    run = retriever.search(job.scope, job.inputs["index"] / "index", queries, job.params["depth"])
    trec.write_run(job.out / "run.trec.gz", run, tag=job.params["retriever"]["name"])
    job.progress(len(queries), len(queries))
    return {
        "topics": len(run),
        "hits": sum(map(len, run.values())),
        "without_hits": sum(not hits for hits in run.values()),
        "conventions": job.params["conventions"],
    }


def evaluate(job: Job) -> dict:
    """Score the run of a split per topic, with means and intervals for the language."""
    qrels = trec.read_qrels(job.dataset.qrels_file(job.scope, job.params["split"]))
    queries = trec.read_topics(job.dataset.topics_file(job.scope, job.params["split"]))
    names = tuple(job.params["measures"])
    scores = measures.score_topics(trec.read_run(job.inputs["search"] / "run.trec.gz"), qrels, names)
    measures.write_topic_scores(job.out / "topics.tsv.gz", scores, queries, names)
    return {"topics": len(scores), "scores": _intervals([measures.matrix(scores, names)], job.params)}


def average(job: Job) -> dict:
    """Macro average over the languages that ran, with an interval from resampling topics within each."""
    return {"scores": average_scores([path / "topics.tsv.gz" for path in job.inputs.values()], job.params)}


STAGES: dict[str, Callable[[Job], dict]] = {f.__name__: f for f in (corpus, topics, index, search, evaluate, average)}


def average_scores(topic_files: list[Path], params: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Measure -> value, low and high of the macro average over languages, from their topic-level files."""
    names = tuple(params["measures"])
    groups = [measures.matrix(measures.read_topic_scores(path)[0], names) for path in topic_files]
    return _intervals(groups, params)


def _intervals(groups: list, params: dict[str, Any]) -> dict[str, dict[str, float]]:
    settings = {key: params[key] for key in ("confidence", "resamples", "seed")}
    found = measures.bootstrap(groups, **settings)
    return {name: interval._asdict() for name, interval in zip(params["measures"], found, strict=True)}
