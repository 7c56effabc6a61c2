"""The stages that make hard negatives: draw, score, mine, judge, generate, top up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import text_file
from mdrbench.core.errors import DataError, StepError
from mdrbench.core.texts import text_digest
from mdrbench.core.types import Generation, Hit, Judgment, Pair, Passage, Qrels, Run, Source, Topics, TrainingGroup
from mdrbench.formats import groups as group_files
from mdrbench.formats import jsonl, trec
from mdrbench.negatives import agreement as agreements
from mdrbench.negatives import canaries as canary
from mdrbench.negatives import groups
from mdrbench.negatives.generation import Generator
from mdrbench.negatives.groups import Judging, Keep, Texts, Verdicts
from mdrbench.negatives.judges import Judge, together
from mdrbench.negatives.mining import Miner
from mdrbench.pipeline.plan.steps import Job


def draw(job: Job) -> dict[str, Any]:
    """Draw passages uniformly from the corpus for every topic, in random order: the run that `random` mines."""
    import numpy as np

    total, depth = job.facts["corpus"]["passages"], job.params["depth"]
    topics = job.topics()
    rng = np.random.default_rng([job.params["seed"], *job.scope.encode()])
    count = min(depth, total)
    rows = {qid: rng.choice(total, size=count, replace=False, shuffle=True).tolist() for qid in topics}
    wanted = {row for drawn in rows.values() for row in drawn}
    docids = job.places().docids(wanted, total)
    run = {qid: [Hit(docids[row], float(count - rank)) for rank, row in enumerate(rows[qid])] for qid in topics}
    trec.write_run(job.out / "run.trec.gz", run, tag="random")
    return {"topics": len(run), "hits": sum(map(len, run.values()))}


def positives(job: Job) -> dict[str, Any]:
    """Score every positive of the training topics with the retriever whose ranking is mined."""
    wanted = {qid: list(groups.positives(judged)) for qid, judged in job.qrels().items()}
    wanted = {qid: docids for qid, docids in wanted.items() if docids}
    retriever = job.build("retriever")
    scores = retriever.score(job.scope, job.indexes(), job.topics(), wanted)
    _write_rows(job.out / "positives.jsonl.gz", ({"qid": qid, "scores": found} for qid, found in scores.items()))
    return {"queries": len(scores), "positives": sum(map(len, scores.values()))}


def mine(job: Job) -> dict[str, Any]:
    """Choose hard negatives out of a ranking of the training topics."""
    miner: Miner = job.build("miner")
    run, qrels = trec.read_run(job.inputs["run"] / "run.trec.gz"), job.qrels()
    scores = {}
    if "positives" in job.inputs:
        rows = jsonl.records(job.inputs["positives"] / "positives.jsonl.gz", {"qid": str, "scores": dict})
        scores = {row["qid"]: row["scores"] for _, row in rows}
    texts = _digests(job, run, qrels, miner.depth)
    found, counts = groups.mine(
        miner,
        job.topics(),
        qrels,
        run,
        texts,
        scores=scores,
        judged_zeros=job.params["judged_zeros"] == "keep",
        size=job.params["size"],
    )
    group_files.write(job.out / "groups.jsonl.gz", found)
    return counts


def canaries(job: Job) -> dict[str, Any]:
    """Try the judge on positives and on passages of other articles, before anything is encoded."""
    judging, asked, questions = canaries_to_ask(job)
    assert judging.judge is not None
    found = canary.measure(judging.judge, asked, questions, judging.keep, _asking(job, len(asked), judging.judge))
    return {**found, "judge": _judge_facts(judging)}


def canaries_to_ask(job: Job) -> tuple[Judging, list[canary.Asked], int]:
    """Return the judge, the pairs that :func:`canaries` asks about, and the number of questions."""
    topics, params = job.topics(), job.params
    drawn = canary.choose(job.scope, topics, job.qrels(), params["questions"], params["seed"])
    passages = _passages(job, {docid for one in drawn for docid in one.docids()})
    judging = _judging(job, passages)
    assert judging.judge is not None
    asked = canary.pairs(drawn, job.scope, topics, passages, judging.judge.reference, params["reference"])
    return judging, canary.held(judging.judge, asked), len(drawn)


def judge(job: Job) -> dict[str, Any]:
    """Ask the judge about every mined negative, and remove the negatives that it finds relevant.

    The judge is called with a window of queries at a time, the same windows that several workers would take.
    """
    found = _groups(job)
    judging = _judging(job, _texts_of(job, found))
    guess = _guess(judging, judging.pairs(groups.everything(found)))
    progress = _asking(job, sum(len(group.negatives) for group in found), judging.judge)
    verdicts: Verdicts = {}
    done = 0
    for window in _windows(found, job.params["window"], getattr(judging.judge, "at_once", False)):
        verdicts |= judging.ask(groups.everything(window), _behind(progress, done))
        done += sum(len(group.negatives) for group in window)
    return _selected(job, found, verdicts, {**guess, "judge": _judge_facts(judging)})


def judge_window(job: Job, name: str, start: int, stop: int) -> dict[str, Any]:
    """Ask the judge about the candidates of some queries; return the facts of its answers."""
    found = _groups(job)[start:stop]
    judging = _judging(job, _texts_of(job, found))
    guess = _guess(judging, judging.pairs(groups.everything(found)))
    progress = _asking(job, sum(len(group.negatives) for group in found), judging.judge)
    _write_verdicts(_verdicts_file(job, name), judging.ask(groups.everything(found), progress))
    return {**guess, "judge": _judge_facts(judging)}


def judge_all(job: Job, names: Iterable[str], facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the verdicts of all windows together, and remove the negatives that are relevant by them."""
    verdicts: Verdicts = {}
    for name in names:
        verdicts |= read_verdicts(_verdicts_file(job, name))
        _verdicts_file(job, name).unlink()
    merge = getattr(job.build("judge"), "together", together)
    of_judge = merge([one["judge"] for one in facts])
    guesses = [one["guess"] for one in facts if "guess" in one]
    guess = {"guess": together(guesses)} if guesses else {}
    return _selected(job, _groups(job), verdicts, {**guess, "judge": of_judge})


def _verdicts_file(job: Job, name: str) -> Path:
    return job.out / f"verdicts-{name}.jsonl.gz"


def _windows(found: list[TrainingGroup], queries: int, at_once: bool) -> Iterator[list[TrainingGroup]]:
    """Cut groups into windows of so many queries, or into one for a judge that wants all pairs at once."""
    size = max(1, len(found) if at_once else queries)
    return (found[at : at + size] for at in range(0, len(found), size))


def _behind(progress: Callable[[int], None], before: int) -> Callable[[int], None]:
    return lambda done: progress(before + done)


def _selected(job: Job, found: list[TrainingGroup], verdicts: Verdicts, facts: dict[str, Any]) -> dict[str, Any]:
    """Write the groups without the negatives that do not stay, and all verdicts."""
    params = job.params
    keep = Keep(params["keep"], params["unreadable"])
    kept, counts = groups.select(found, verdicts, keep, params["size"], relabel=params.get("relabel") is not None)
    group_files.write(job.out / "groups.jsonl.gz", kept)
    _write_verdicts(job.out / "judgments.jsonl.gz", verdicts)
    return {**counts, **facts, "agreement": _agreement(verdicts, job.qrels())}


def _guess(judging: Judging, pairs: list[Pair]) -> dict[str, Any]:
    """Return the estimate of what is not stored yet, to be compared with what it takes; empty if nothing is asked."""
    estimate = judging.judge.estimate(pairs) if judging.judge else None
    return {"guess": estimate._asdict()} if estimate and estimate.requests else {}


def unjudged(job: Job) -> dict[str, Any]:
    """Take as many top candidates of each query as the judge let stay, whatever it said of them."""
    counts = {group.qid: len(group.negatives) for group in _groups(job)}
    if "mined" in job.inputs:
        candidates = list(group_files.read(job.inputs["mined"] / "groups.jsonl.gz"))
    else:
        miner: Miner = job.build("miner")
        run, qrels = trec.read_run(job.inputs["run"] / "run.trec.gz"), job.qrels()
        texts = _digests(job, run, qrels, miner.depth)
        zeros = job.params["judged_zeros"] == "keep"
        candidates, _ = groups.mine(miner, job.topics(), qrels, run, texts, scores={}, judged_zeros=zeros, size=None)
    found, facts = groups.as_many(candidates, counts)
    group_files.write(job.out / "groups.jsonl.gz", found)
    return facts


def pairs_to_judge(job: Job) -> list[Pair]:
    """Return the pairs that :func:`judge` will ask about, for an estimate of its cost."""
    found = _groups(job)
    return _judging(job, _texts_of(job, found)).pairs(groups.everything(found))


def sources_to_generate(job: Job, *, everything: bool = False) -> list[Source]:
    """Return what :func:`generate` writes queries from; with ``everything`` every query, also with enough negatives."""
    found = _groups(job)
    lacking = found if everything else groups.short(found, job.params["size"])
    passages = _passages(job, {group.positives[0] for group in lacking})
    return groups.sources(lacking, job.scope, job.topics(), passages)


def generate(job: Job) -> dict[str, Any]:
    """Generate a new query for every query that has too few negatives."""
    generator: Generator = job.build("generator")
    sources = sources_to_generate(job)
    made = list(generator.generate(sources, _asking(job, len(sources), generator)))
    if [one.qid for one in made] != [source.qid for source in sources]:
        raise StepError(
            f"'{job.members['generator'].name}' did not generate for the queries that it was given, in their order",
            mend="correct the generator's `generate`",
        )
    _write_rows(job.out / "generations.jsonl.gz", (one._asdict() for one in made))
    usable = len(groups.generated_topics(made))
    return {"queries": len(made), "unreadable": len(made) - usable, "generator": generator.facts()}


def read_generated(folder: Path) -> Topics:
    """Read the generated queries of a ``generate`` artifact; each has the qid of the query that it replaces."""
    rows = jsonl.records(folder / "generations.jsonl.gz", {"qid": str})
    made = (Generation(row["qid"], row.get("summary"), row.get("query")) for _, row in rows)
    return groups.generated_topics(made)


def top_up(job: Job) -> dict[str, Any]:
    """Fill groups with too few negatives from the rankings of the generated queries, unless the judge objects."""
    found, qrels = _groups(job), job.qrels()
    run = trec.read_run(job.inputs["run"] / "run.trec.gz")
    failed: dict[str, Any] = {}
    if (k := job.params.get("round_trip")) is not None:
        positives = {group.qid: group.positives[0] for group in found}
        run, failed = groups.round_trip(run, positives, k)
    short = {group.qid for group in groups.short(found, job.params["size"])}
    wanted = group_files.docids(group for group in found if group.qid in short) | _docids(run)
    passages = _passages(job, wanted)
    texts = Texts({docid: text_digest(passage.text) for docid, passage in passages.items()})
    judging = _judging(job, passages)
    full, asked, counts = groups.top_up(
        found,
        run,
        qrels,
        texts,
        read_verdicts(job.inputs["groups"] / "judgments.jsonl.gz"),
        judging,
        judged_zeros=job.params["judged_zeros"] == "keep",
        size=job.params["size"],
        progress=lambda done, total: job.progress(
            done, total, requests_text(_judge_facts(judging)) if done % TOLD_EVERY == 0 else ""
        ),
    )
    group_files.write(job.out / "groups.jsonl.gz", full)
    _write_verdicts(job.out / "judgments.jsonl.gz", asked)
    return {**counts, **failed, "judge": _judge_facts(judging)}


def agreement(job: Job) -> dict[str, Any]:
    """Compare the judge with the qrels, or with other judgments, on a sample of judged pairs."""
    truth = _own_judgments(job) if "judgments" in job.params else job.qrels()
    found = _sampled(job, truth)
    judging = _judging(job, _texts_of(job, found))
    verdicts = judging.ask(groups.everything(found), _counted(job, found))
    _write_verdicts(job.out / "judgments.jsonl.gz", verdicts)
    return {**_agreement(verdicts, truth), "judge": _judge_facts(judging)}


def _own_judgments(job: Job) -> Qrels:
    path = Path(job.params["judgments"])
    found, topics = trec.read_qrels(path), job.topics()
    if unknown := next((qid for qid in found if qid not in topics), None):
        raise DataError(
            f"query '{unknown}' is not a topic of the split '{job.params['split']}' of '{job.scope}'", where=str(path)
        )
    return found


def _sampled(job: Job, truth: Qrels) -> list[TrainingGroup]:
    """Draw judged pairs at random and arrange them as groups, with the passages to judge as negatives.

    If the judge sees a reference, it is the query's first positive in the qrels. The judge is not asked about the
    reference, so a query gives no pair if it has no positive, or if that positive is its only judged passage.

    Raises:
        DataError: no query gives a pair.
    """
    import numpy as np

    from mdrbench.core.types import Negative

    qrels = job.qrels()
    shown = {qid: groups.positives(qrels.get(qid, {}))[:1] if job.params["reference"] else () for qid in truth}
    pairs = [
        (qid, docid)
        for qid, judged in truth.items()
        for docid in judged
        if docid not in shown[qid] and (shown[qid] or not job.params["reference"])
    ]
    if not pairs:
        mend = "judge without a reference: --set negatives.reference=false" if job.params["reference"] else ""
        message = f"The split '{job.params['split']}' of '{job.scope}' has no judged pair to ask the judge about."
        raise DataError(message, mend=mend or "give a split with judgments")
    rng = np.random.default_rng([job.params["seed"], *job.scope.encode()])
    chosen = sorted(rng.permutation(len(pairs))[: job.params["pairs"]].tolist())
    by_qid: dict[str, list[str]] = {}
    for qid, docid in (pairs[n] for n in chosen):
        by_qid.setdefault(qid, []).append(docid)
    return [
        TrainingGroup(qid, shown[qid], tuple(Negative(docid, 0.0, "mined", True) for docid in docids))
        for qid, docids in by_qid.items()
    ]


def _passages(job: Job, wanted: set[str]) -> dict[str, Passage]:
    return group_files.passages(wanted, job.places().passages(wanted))


def _digests(job: Job, run: Run, qrels: Qrels, depth: int) -> Texts:
    """Digest the texts that :func:`mdrbench.negatives.groups.mine` compares; memory holds none of the texts."""
    wanted = groups.docids_to_compare(run, qrels, depth)
    return Texts.of(wanted, job.places().passages(wanted))


def _groups(job: Job) -> list[TrainingGroup]:
    return list(group_files.read(job.inputs["groups"] / "groups.jsonl.gz"))


def _texts_of(job: Job, found: list[TrainingGroup]) -> dict[str, Passage]:
    return _passages(job, group_files.docids(found))


def _counted(job: Job, found: list[TrainingGroup]) -> Callable[[int], None]:
    """Return a function that reports progress over all negatives of the groups."""
    total = sum(len(group.negatives) for group in found)
    return lambda done: job.progress(done, total)


def _asking(job: Job, total: int, member: Judge | Generator | None) -> Callable[[int], None]:
    """Return a function that reports progress, and what the member says of its requests."""

    def told(done: int) -> None:
        job.progress(done, total, requests_text(member.facts()) if member and done % TOLD_EVERY == 0 else "")

    return told


TOLD_EVERY = 10
"""Pairs between two looks at a member's counts."""


def requests_text(facts: dict[str, Any]) -> str:
    """Tell requests, repetitions, unreadable answers and money, as far as there are any.

    >>> requests_text({"requests": 12, "failed": 1, "unreadable": 2, "cost": 0.5})
    '12 requests, 1 repeated, 2 unreadable, cost 0.50'
    """
    words = {"requests": "requests", "failed": "repeated", "unreadable": "unreadable"}
    parts = [f"{facts[name]} {word}" for name, word in words.items() if facts.get(name)]
    return ", ".join([*parts, *([f"cost {facts['cost']:.2f}"] if facts.get("cost") else [])])


def _docids(run: Run) -> set[str]:
    return {hit.docid for hits in run.values() for hit in hits}


def _judging(job: Job, passages: dict[str, Passage]) -> Judging:
    return Judging(
        judge=None if job.members["judge"].name == "none" else job.build("judge"),
        lang=job.scope,
        topics=job.topics(),
        passages=passages,
        reference=job.params["reference"],
        keep=Keep(job.params["keep"], job.params["unreadable"]),
        trend=groups.Trend(job.scope),
    )


def _judge_facts(judging: Judging) -> dict[str, Any]:
    return judging.judge.facts() if judging.judge else {}


def _agreement(verdicts: Verdicts, truth: Qrels) -> dict[str, Any]:
    judgments = [judgment for by_docid in verdicts.values() for judgment in by_docid.values()]
    return agreements.agreement(judgments, truth).as_dict()


def _write_verdicts(path: Path, verdicts: Verdicts) -> None:
    _write_rows(path, (_row(judgment) for by_docid in verdicts.values() for judgment in by_docid.values()))


def _row(judgment: Judgment) -> dict[str, Any]:
    """A judgment as JSON, without a score if the judge gives none."""
    return {name: value for name, value in judgment._asdict().items() if name != "score" or value is not None}


def read_verdicts(path: Path) -> Verdicts:
    """Read the verdicts of a ``judge`` or ``agreement`` artifact; there are none if no judge was asked."""
    verdicts: Verdicts = {}
    if path.exists():
        for _, row in jsonl.records(path, {"qid": str, "docid": str}):
            verdicts.setdefault(row["qid"], {})[row["docid"]] = Judgment(**row)
    return verdicts


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with text_file(path) as file:
        file.writelines(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
