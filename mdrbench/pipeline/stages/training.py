"""The stages that train a recipe's encoder on its groups: pair, label, train (see :mod:`mdrbench.training`)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import text_file
from mdrbench.core.errors import DataError
from mdrbench.core.types import Example, Passage, TrainingGroup
from mdrbench.formats import groups as group_files
from mdrbench.formats import jsonl, trec
from mdrbench.negatives.groups import positives as positives_of
from mdrbench.pipeline.plan.steps import Job
from mdrbench.retrieval import vectors
from mdrbench.training import Key, Material, averaging, held_out, weighting
from mdrbench.training.domains import Labeller
from mdrbench.training.samplers import Sampler
from mdrbench.training.settings import Settings
from mdrbench.training.teacher import Embeddings, Rankings, Rows, Teacher


def pair(job: Job) -> dict[str, Any]:
    """Make groups without hard negatives: every training topic with its positives, for in-batch negatives only."""
    qrels, topics = job.qrels(), job.topics()
    positives = {qid: positives_of(qrels.get(qid, {})) for qid in topics}
    found = [TrainingGroup(qid, wanted, ()) for qid, wanted in positives.items() if wanted]
    group_files.write(job.out / "groups.jsonl.gz", found)
    return {"queries": len(found), "negatives": 0}


def label(job: Job) -> dict[str, Any]:
    """Give every training query of all languages a domain, by its first positive passage."""
    labeller: Labeller = job.build("domains")
    found = dict(_groups(job))
    passages = {
        lang: [texts[group.positives[0]] for group in groups]
        for lang, groups in found.items()
        for texts in [_texts(job, lang, {group.positives[0] for group in groups})]
    }
    retriever = job.build("retriever")
    labels = labeller.label(passages, lambda texts: retriever.encoder.encode_passages(texts, lambda done: None))
    with text_file(job.out / "labels.jsonl.gz") as file:
        for lang, groups in found.items():
            for group, domain in zip(groups, labels[lang], strict=True):
                row = {"lang": lang, "qid": group.qid, "domain": domain}
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    return labeller.facts()


def teach(job: Job) -> dict[str, Any]:
    """Embed the training topics of a language with the teacher."""
    import numpy as np

    topics = job.topics()
    retriever = job.build("retriever")
    np.save(job.out / "queries.npy", retriever.encode(topics).astype(np.float16))
    return {"queries": len(topics), **retriever.encoder.facts()}


def train(job: Job) -> dict[str, Any]:
    """Train the recipe's encoder on the groups of all languages; the checkpoint is the artifact."""
    if (processes := job.params["processes"]) == 1:
        return train_alone(job)
    from mdrbench.pipeline.stages.training_processes import together

    return together(job, processes)


def train_alone(job: Job) -> dict[str, Any]:
    """Train in this process, which is the only one or one of a group."""
    from mdrbench.training.loop import train as run

    retriever = job.build("retriever")
    encoder, separator = retriever.encoder, retriever.config.title_separator
    settings = Settings.model_validate(job.params["loop"])
    material = {
        lang: _material(job, lang, groups[: job.params["queries_per_language"]], separator)
        for lang, groups in _groups(job)
    }
    examples = list(_examples(job, material))
    apart = held_out(((e.lang, e.qid) for e in examples), settings.validation, settings.seed)
    seen = [example for example in examples if (example.lang, example.qid) not in apart]
    teacher = _teacher(job, material)
    coverage = _coverage(teacher, material) if isinstance(teacher, Rankings) else None
    members = job.params.get("average") or 1
    folders = [job.out] if members == 1 else [job.out / f"member-{number}" for number in range(members)]
    found = []
    for number, folder in enumerate(folders):
        own = settings.model_copy(update={"seed": settings.seed + number * averaging.STEP})
        found.append(
            run(
                own,
                encoder.files.path,
                encoder.settings,
                material,
                _Batches(job.build("sampler"), job.params, seen, own.seed),
                weighting.weights(seen, **job.params["weights"]),
                teacher=teacher,
                apart=apart,
                out=folder,
                base=encoder.files.name,
                progress=_part(job, number, members),
            )
        )
    facts = found[0]
    if members > 1:
        facts = {**facts, "averaged": [{key: one[key] for key in ("identity", "steps", "validation")} for one in found]}
        _average(job, folders)
    if coverage is not None:
        facts = {**facts, "taught": coverage}
    return {key: facts[key] for key in sorted(facts)}


def _part(job: Job, number: int, members: int) -> Callable[[int, int, float], None]:
    """Return the progress of one of several trainings."""
    return lambda step, steps, loss: job.progress(number * steps + step, members * steps)


def _average(job: Job, folders: list[Path]) -> None:
    """Put the average of the members in the place of one model, with the log of the first."""
    if os.environ.get("RANK", "0") != "0":
        return  # the first process does it
    averaging.average([folder / "model" for folder in folders], job.out / "model")
    shutil.copy(folders[0] / "log.jsonl", job.out / "log.jsonl")
    for folder in folders:
        shutil.rmtree(folder)


class _Batches:
    """The batches of all epochs; see :class:`mdrbench.training.Batches`."""

    def __init__(self, sampler: Sampler, params: dict[str, Any], examples: list[Example], seed: int):
        size = params["batch_size"]
        per_epoch = sampler.count(examples, size)
        steps = params["steps"] or per_epoch * params["epochs"]
        self._batches: list[list[Key]] = []
        for epoch in range(-(-steps // per_epoch)):
            for batch in sampler.batches(examples, size, seed, epoch):
                self._batches.append([(examples[at].lang, examples[at].qid) for at in batch])
        del self._batches[steps:]

    def count(self) -> int:
        """Steps in all."""
        return len(self._batches)

    def batch(self, n: int) -> list[Key]:
        """The queries of a step."""
        return self._batches[n]


def _groups(job: Job) -> Iterator[tuple[str, list[TrainingGroup]]]:
    """Yield each language with its groups, in the order of the languages."""
    for role, path in job.inputs.items():
        if role.startswith("groups "):
            yield role.partition(" ")[2], list(group_files.read(path / "groups.jsonl.gz"))


def _teacher(job: Job, material: dict[str, Material]) -> Teacher | None:
    """Read what the teacher says of the training queries and the groups' passages; None without a teacher."""
    if any(role.startswith("taught ") for role in job.inputs):
        return _embeddings(job, material)
    if any(role.startswith("ranked ") for role in job.inputs):
        return Rankings({(lang, qid): own for lang, one in material.items() for qid, own in _ranked(job, lang, one)})
    return None


def _embeddings(job: Job, material: dict[str, Material]) -> Embeddings:
    import numpy as np

    names: tuple[list[Key], list[Key]] = [], []
    parts: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for lang, one in material.items():
        topics = trec.read_topics(job.dataset.topics_file(lang, job.params["split"]))
        names[0].extend((lang, qid) for qid in topics)
        parts[0].append(np.load(job.inputs[f"taught {lang}"] / "queries.npy"))
        folder = job.inputs[f"teacher {lang}"] / "index"
        at = vectors.rows_of(folder, set(one.passages))
        docids = sorted(at, key=lambda docid: at[docid])
        names[1].extend((lang, docid) for docid in docids)
        parts[1].append(vectors.rows(folder, np.array([at[docid] for docid in docids], dtype=np.int64)))
    sides = zip(names, parts, strict=True)
    return Embeddings(*(Rows({name: i for i, name in enumerate(own)}, np.concatenate(found)) for own, found in sides))


def _ranked(job: Job, lang: str, material: Material) -> Iterator[tuple[str, dict[Key, float]]]:
    """Yield each query of the groups with the scores of the groups' passages in its ranking."""
    run = trec.read_run(job.inputs[f"ranked {lang}"] / "run.trec.gz")
    for group in material.groups:
        hits = run.get(group.qid, [])
        yield group.qid, {(lang, hit.docid): hit.score for hit in hits if hit.docid in material.passages}


def _coverage(teacher: Rankings, material: dict[str, Material]) -> dict[str, int]:
    """Count the queries' own passages, and those of them that the teacher ranked.

    Raises:
        DataError: it ranked none in a language, so nothing could be learned.
    """
    pairs = scored = 0
    for lang, one in material.items():
        own = {(group.qid, docid) for group in one.groups for docid in group_files.docids([group])}
        found = sum(teacher.holds((lang, qid), (lang, docid)) for qid, docid in own)
        if own and not found:
            raise DataError(f"the teacher ranked no passage of {lang}'s groups", mend="set another training.teacher")
        pairs, scored = pairs + len(own), scored + found
    return {"pairs": pairs, "scored": scored}


def _texts(job: Job, lang: str, docids: set[str]) -> dict[str, Passage]:
    return group_files.passages(docids, job.places(lang).passages(docids))


def _material(job: Job, lang: str, groups: list[TrainingGroup], separator: str) -> Material:
    topics = trec.read_topics(job.dataset.topics_file(lang, job.params["split"]))
    passages = _texts(job, lang, group_files.docids(groups))
    return Material(
        {group.qid: topics[group.qid] for group in groups},
        groups,
        {docid: passage.joined(separator) for docid, passage in passages.items()},
    )


def _examples(job: Job, material: dict[str, Material]) -> Iterator[Example]:
    rows = jsonl.records(job.inputs["label"] / "labels.jsonl.gz", {"lang": str, "qid": str, "domain": str})
    domains = {(row["lang"], row["qid"]): row["domain"] for _, row in rows}
    for lang, one in material.items():
        for group in one.groups:
            yield Example(lang, group.qid, domains[lang, group.qid], group.positives)
