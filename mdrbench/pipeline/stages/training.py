"""The stages that train a recipe's encoder on its groups: pair, label, train (see :mod:`mdrbench.training`)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.atomic_files import text_file
from mdrbench.core.errors import DataError, SetupError
from mdrbench.core.store import key_of
from mdrbench.core.types import Example, Passage, TrainingGroup
from mdrbench.formats import groups as group_files
from mdrbench.formats import jsonl, trec
from mdrbench.negatives.groups import positives as positives_of
from mdrbench.pipeline.plan.steps import Job
from mdrbench.retrieval import vectors
from mdrbench.training import Key, Material, averaging, held_out, mapped, token_files, weighting
from mdrbench.training import teacher as teachers
from mdrbench.training.domains import Labeller
from mdrbench.training.samplers import Sampler
from mdrbench.training.settings import Settings
from mdrbench.training.token_files import TrainingData

if TYPE_CHECKING:
    import numpy as np

TOKENS, TEACHER = "tokens", "teacher"
"""The folder of what processes map, and the teacher's in it."""

SEATS = "seats"
"""The folder in which workers meet that train together (:mod:`mdrbench.pipeline.stages.training_seats`)."""


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
    found = {lang: [(group.qid, group.positives[0]) for group in groups] for lang, groups in _groups(job)}
    passages = {
        lang: [texts[docid] for _, docid in pairs]
        for lang, pairs in found.items()
        for texts in [_texts(job, lang, {docid for _, docid in pairs})]
    }
    retriever = job.build("retriever")
    labels = labeller.label(passages, lambda texts: retriever.encoder.encode_passages(texts, lambda done: None))
    with text_file(job.out / "labels.jsonl.gz") as file:
        for lang, pairs in found.items():
            for (qid, _), domain in zip(pairs, labels[lang], strict=True):
                row = {"lang": lang, "qid": qid, "domain": domain}
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
    if nodes := job.params.get("nodes"):
        raise SetupError(f"training.nodes is {nodes}, and this run has one worker", mend=SEVERAL)
    prepare(job)
    if (processes := job.params["processes"]) == 1:
        facts = train_alone(job)
    else:
        from mdrbench.pipeline.stages.training_processes import together

        facts = together(job, processes)
    clear(job.out)
    return facts


SEVERAL = "use --executor queue or ray, or --workers with at least so many, or leave training.nodes out"


def clear(out: Path) -> None:
    """Remove what a finished training needs no more."""
    shutil.rmtree(out / TOKENS)
    shutil.rmtree(out / SEATS, ignore_errors=True)


def prepare(job: Job) -> None:
    """Write what all processes of a training map: token ids, groups, the teacher's scores.

    What an interrupted training left is used again if it was made of the same, and its files are whole.
    """
    retriever, folder = job.build("retriever"), job.out / TOKENS
    source = {
        "inputs": {role: path.name for role, path in job.inputs.items()},
        "split": job.params["split"],
        "queries_per_language": job.params["queries_per_language"],
        "separator": retriever.config.title_separator,
    }
    encoder, made_of = retriever.encoder, key_of(source)
    languages = _materials(job, retriever.config.title_separator)
    written = token_files.write(folder, encoder.files.path, encoder.settings, languages, source)
    if (taught := _taught(job)) and (written or not mapped.sealed(folder / TEACHER, made_of)):
        shutil.rmtree(folder / TEACHER, ignore_errors=True)
        (folder / TEACHER).mkdir()
        taught(job, folder / TEACHER, made_of, TrainingData.open(folder))


def train_alone(job: Job) -> dict[str, Any]:
    """Train in this process, which is the only one or one of a group; :func:`prepare` came before."""
    from mdrbench.training.loop import train as run

    encoder = job.build("retriever").encoder
    settings = Settings.model_validate(job.params["loop"])
    data = TrainingData.open(job.out / TOKENS)
    examples = list(_examples(job, data))
    apart = held_out(data.keys, settings.validation, settings.seed)
    seen = [example for example in examples if (example.lang, example.qid) not in apart]
    teacher = teachers.opened(job.out / TOKENS / TEACHER) if _taught(job) else None
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
                data,
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
    if isinstance(teacher, teachers.Rankings):
        facts = {**facts, "taught": teacher.coverage}
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
        keys = [(example.lang, example.qid) for example in examples]
        self._batches: list[list[Key]] = []
        for epoch in range(-(-steps // per_epoch)):
            for batch in sampler.batches(examples, size, seed, epoch):
                self._batches.append([keys[at] for at in batch])
        del self._batches[steps:]

    def count(self) -> int:
        """Steps in all."""
        return len(self._batches)

    def batch(self, n: int) -> list[Key]:
        """The queries of a step."""
        return self._batches[n]


def _groups(job: Job) -> Iterator[tuple[str, Iterator[TrainingGroup]]]:
    """Yield each language with its groups, in the order of the languages."""
    for role, path in job.inputs.items():
        if role.startswith("groups "):
            yield role.partition(" ")[2], group_files.read(path / "groups.jsonl.gz")


def _taught(job: Job) -> Callable[[Job, Path, str, TrainingData], None] | None:
    """Return what writes the teacher's files; None without a teacher."""
    if any(role.startswith("taught ") for role in job.inputs):
        return _embeddings
    return _rankings if any(role.startswith("ranked ") for role in job.inputs) else None


def _embeddings(job: Job, folder: Path, made_of: str, data: TrainingData) -> None:
    """Write the embeddings of a dense teacher: of all training topics, and of the groups' passages."""
    import numpy as np

    queries, passages = list[Key](), list[Key]()
    places = np.empty(len(data.passages), dtype=np.int32)
    wanted: dict[str, np.ndarray] = {}
    for lang in data.bounds:
        topics = trec.read_topics(job.dataset.topics_file(lang, job.params["split"]))
        queries.extend((lang, qid) for qid in topics)
        rows = data.passage_rows(lang)
        at = vectors.rows_of(job.inputs[f"teacher {lang}"] / "index", set(rows))
        if absent := next((docid for docid in rows if docid not in at), None):
            raise DataError(f"the teacher has no embedding of '{absent}' ({lang})")
        order = sorted(at, key=lambda docid: at[docid])
        places[[rows[docid] for docid in order]] = np.arange(len(passages), len(passages) + len(order))
        passages.extend((lang, docid) for docid in order)
        wanted[lang] = np.array([at[docid] for docid in order], dtype=np.int64)

    def matrices() -> Iterator[np.ndarray]:
        for lang, rows in wanted.items():
            for first, matrix in vectors.matrices(job.inputs[f"teacher {lang}"] / "index"):
                low, high = np.searchsorted(rows, (first, first + len(matrix)))
                yield matrix[rows[low:high] - first]

    place = {key: number for number, key in enumerate(queries)}
    of_queries = (np.load(job.inputs[f"taught {lang}"] / "queries.npy") for lang in data.bounds)
    teachers.write_embeddings(
        folder,
        made_of,
        teachers.Side(queries, np.array([place[key] for key in data.keys], dtype=np.int32), of_queries, "float16"),
        teachers.Side(passages, places, matrices(), "float32"),
    )


def _rankings(job: Job, folder: Path, made_of: str, data: TrainingData) -> None:
    """Write the scores of a teacher that ranks."""
    runs = ((lang, trec.read_run(job.inputs[f"ranked {lang}"] / "run.trec.gz")) for lang in data.bounds)
    teachers.write_rankings(folder, made_of, data, runs)


def _texts(job: Job, lang: str, docids: set[str]) -> dict[str, Passage]:
    return group_files.passages(docids, job.places(lang).passages(docids))


def _materials(job: Job, separator: str) -> Iterator[tuple[str, Material]]:
    """Yield each language with its groups and their texts; memory holds one language."""
    for lang, found in _groups(job):
        groups = list(islice(found, job.params["queries_per_language"]))
        topics = trec.read_topics(job.dataset.topics_file(lang, job.params["split"]))
        passages = _texts(job, lang, group_files.docids(groups))
        texts = {docid: passages.pop(docid).joined(separator) for docid in list(passages)}
        yield lang, Material({group.qid: topics[group.qid] for group in groups}, groups, texts)
        del groups, topics, passages, texts


def _examples(job: Job, data: TrainingData) -> Iterator[Example]:
    rows = jsonl.records(job.inputs["label"] / "labels.jsonl.gz", {"lang": str, "qid": str, "domain": str})
    domains = {(row["lang"], row["qid"]): row["domain"] for _, row in rows}
    for key, positives in zip(data.keys, data.positive_docids, strict=True):
        yield Example(*key, domains[key], positives)
