"""How stages divide: into parts that any process can make, and what the parts are put together to.

A part is a fixed window of the work (passages, rows, topics), never the share of a worker, so the result has the same
bits however many workers there are. The sizes of windows are part of no key, except that of judging, which may change
the last digits of a score (:mod:`mdrbench.pipeline.plan.negatives`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from mdrbench.core.errors import StepError
from mdrbench.core.types import Hit, Passage, Run
from mdrbench.data.passage_places import CorpusWindows, PassagePlaces
from mdrbench.pipeline import stages
from mdrbench.pipeline.parts import Part
from mdrbench.pipeline.plan.steps import Job
from mdrbench.pipeline.stages import negatives
from mdrbench.pipeline.stages.training import clear
from mdrbench.retrieval import vectors

Facts = dict[str, Any]

Memory = dict[str, Any]
"""What a worker keeps between two parts of one step: the loaded member, the encoded topics, its place in the corpus."""

ROWS = int(os.environ.get("MDRBENCH_PART_ROWS", str(128 * vectors.BLOCK)))
"""Rows of a part of exact search (a million)."""

PASSAGES = int(os.environ.get("MDRBENCH_PART_PASSAGES", "1000000"))
"""Passages of a part of an index that is joined from indexes."""

TOPICS = int(os.environ.get("MDRBENCH_PART_TOPICS", "500"))
"""Topics of a part of a search that answers each topic by itself."""


class Division(NamedTuple):
    """One way to divide a stage.

    Attributes:
        parts: the windows that are still to be made.
        make: makes one window in the ``out`` of a job; returns facts.
        gather: puts the windows together in the ``out`` of a job, which holds the files of all parts, from their facts.
        together: the parts are made at the same time, by as many workers, and count as one item of work.
    """

    parts: list[Part]
    make: Callable[[Job, Part, Memory], Facts]
    gather: Callable[[Job, list[Part], list[Facts]], Facts]
    together: bool = False


def division(stage: str, job: Job) -> Division | None:
    """Return how the job of a stage divides; None if it is made whole."""
    if stage == "index":
        return _index_division(job)
    if stage == "train" and (nodes := job.params.get("nodes")):
        return Division([Part(f"seat-{n}", n, n + 1) for n in range(nodes)], _train_seat, _trained, together=True)
    if stage == "search" and "index" in job.inputs and "structure" not in job.inputs:
        retriever = job.build("retriever")
        if hasattr(retriever, "search_rows"):
            size, count = max(1, ROWS // vectors.BLOCK) * vectors.BLOCK, job.facts["index"]["indexed"]
            return _if_several(Division(_cut(count, size), _search_rows, _search_all_rows), job)
        if getattr(retriever, "topicwise", False):
            return _if_several(
                Division(_cut(len(stages.queries(job)), TOPICS), _search_topics, _search_all_topics), job
            )
    if stage == "judge" and not getattr(job.build("judge"), "at_once", False):
        parts = _cut(job.facts["groups"]["queries"], job.params["window"])
        return Division(parts, _judge_window, _judge_all) if len(parts) > 1 else None
    return None


def _index_division(job: Job) -> Division | None:
    retriever = job.build("retriever")
    if hasattr(retriever, "index_window"):
        return Division(_windows(job), _index_window, _index)
    parts = _cut(job.facts["corpus"]["passages"], PASSAGES)
    return Division(parts, _index_part, _join) if hasattr(retriever, "join") and len(parts) > 1 else None


def _if_several(found: Division, job: Job) -> Division | None:
    return found if len(found.parts) > 1 and stages.queries(job) else None


def _cut(count: int, size: int) -> list[Part]:
    return [Part(f"{number:05}", at, min(at + size, count)) for number, at in enumerate(range(0, count, size))]


def _built(job: Job, memory: Memory) -> Any:
    if "retriever" not in memory:
        memory["retriever"] = job.build("retriever")
    return memory["retriever"]


# -- an index in windows of passages -----------------------------------------------------------------------------------


def _windows(job: Job) -> list[Part]:
    """Cut the passages behind those that an earlier attempt finished; a window is a shard, named by its number."""
    retriever, out = job.build("retriever"), job.out / "index"
    counts = [len(docids) for docids in retriever.finished(out)]
    total, size, done = job.facts["corpus"]["passages"], retriever.config.shard_size, sum(counts)
    starts = range(done, total, size)
    return [Part(f"{len(counts) + n:05}", at, min(at + size, total)) for n, at in enumerate(starts)]


def _index_window(job: Job, part: Part, memory: Memory) -> Facts:
    retriever = _built(job, memory)
    passages = list(_passages(job, part, memory, retriever.config.shard_size))
    if len(passages) != part.stop - part.start:
        raise StepError(f"the corpus of '{job.scope}' ends before passage {part.stop}", mend="run the command again")
    total = len(passages)
    retriever.index_window(passages, int(part.name), job.out / "index", lambda done: job.progress(done, total))
    facts: Facts = retriever.window_facts()
    return facts


def _passages(job: Job, part: Part, memory: Memory, size: int) -> Iterator[Passage]:
    """Read a window of the corpus."""
    if "corpus" not in memory:
        table, facts = job.inputs["corpus"] / "docids.u64", job.facts["corpus"]
        places = PassagePlaces(job.dataset, job.scope, table, facts["duplicates"])
        memory["corpus"] = CorpusWindows(places, facts["passages"])
    windows: CorpusWindows = memory["corpus"]
    return windows.passages(part.start, part.stop, size)


def _index(job: Job, parts: list[Part], facts: list[Facts]) -> Facts:
    retriever, out = job.build("retriever"), job.out / "index"
    indexed = sum(len(docids) for docids in retriever.finished(out))
    found = {
        "indexed": indexed,
        "skipped": 0,
        "resumed_after": parts[0].start if parts else indexed,
        **retriever.index_facts(out),
        **(_together(facts) if facts else retriever.window_facts()),
    }
    stages.check_index(job, found)
    return found


def _index_part(job: Job, part: Part, memory: Memory) -> Facts:
    passages, total = _passages(job, part, memory, PASSAGES), part.stop - part.start
    facts: Facts = _built(job, memory).index(
        job.scope, passages, job.out / part.name, lambda done: job.progress(done, total)
    )
    return facts


def _join(job: Job, parts: list[Part], facts: list[Facts]) -> Facts:
    folders = [job.out / part.name for part in parts]
    job.build("retriever").join(folders, job.out / "index")
    for folder in folders:
        shutil.rmtree(folder)
    counts = {name: sum(one[name] for one in facts) for name in ("indexed", "skipped")}
    found = {**_together(facts), **counts}
    stages.check_index(job, found)
    return found


def _together(facts: list[Facts]) -> Facts:
    """Merge facts of parts: a value that all share stays, numbers become their least, texts are listed."""
    merged: Facts = {}
    for name in facts[0]:
        values: list[Any] = list({json.dumps(one.get(name)): one.get(name) for one in facts}.values())
        if len(values) == 1:
            merged[name] = values[0]
        else:
            merged[name] = min(values) if isinstance(values[0], int) else ", ".join(sorted(map(str, values)))
    return merged


# -- a search in ranges of rows, or windows of topics ------------------------------------------------------------------


def _search_rows(job: Job, part: Part, memory: Memory) -> Facts:
    import numpy as np

    retriever = _built(job, memory)
    if "queries" not in memory:
        memory["queries"] = retriever.encode(stages.queries(job))
    found = retriever.search_rows(job.index(), memory["queries"], job.params["depth"], part.start, part.stop)
    np.savez(job.out / f"rows-{part.name}.npz", scores=found[0], rows=found[1])
    facts: Facts = retriever.encoder.facts()
    return facts


def _search_all_rows(job: Job, parts: list[Part], facts: list[Facts]) -> Facts:
    import numpy as np

    found = []
    for part in parts:
        path = job.out / f"rows-{part.name}.npz"
        with np.load(path) as file:
            found.append((file["scores"], file["rows"]))
        path.unlink()
    merged = vectors.merge(found, job.params["depth"])
    run = vectors.hits(job.index(), stages.queries(job), *merged)
    return {**stages.write_run(job, run), **_together(facts)}


def _search_topics(job: Job, part: Part, memory: Memory) -> Facts:
    topics = dict(islice(stages.queries(job).items(), part.start, part.stop))
    run = _built(job, memory).search(job.scope, job.indexes(), topics, job.params["depth"])
    (job.out / f"topics-{part.name}.json").write_text(json.dumps(run), encoding="utf-8")
    return {}


def _search_all_topics(job: Job, parts: list[Part], facts: list[Facts]) -> Facts:
    run: Run = {}
    for part in parts:
        path = job.out / f"topics-{part.name}.json"
        hits = json.loads(path.read_text(encoding="utf-8"))
        run |= {qid: [Hit(*hit) for hit in found] for qid, found in hits.items()}
        path.unlink()
    return stages.write_run(job, run)


# -- judging in windows of queries -------------------------------------------------------------------------------------


def _judge_window(job: Job, part: Part, memory: Memory) -> Facts:
    return negatives.judge_window(job, part.name, part.start, part.stop)


def _judge_all(job: Job, parts: list[Part], facts: list[Facts]) -> Facts:
    return negatives.judge_all(job, [part.name for part in parts], facts)


# -- a training in seats -----------------------------------------------------------------------------------------------


def _train_seat(job: Job, part: Part, memory: Memory) -> Facts:
    from mdrbench.pipeline.stages.training_seats import seat

    return seat(job, part.start)


def _trained(job: Job, parts: list[Part], facts: list[Facts]) -> Facts:
    clear(job.out)
    return facts[0]
