"""Export results in mteb's layout and read mteb's files, without importing mteb.

::

    DIR/results/ORG__MODEL/REVISION/TASK.json         mteb's TaskResult: split -> scores of each subset (language)
    DIR/results/ORG__MODEL/REVISION/model_meta.json   name and revision of the model

Measured results are exported under the model ``mdrbench/RECIPE`` and the recipe's digest. Results of MIRACL's tasks are
imported by :mod:`mdrbench.commands.mteb.imported`.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mdrbench import results
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.core.store import key_of
from mdrbench.evaluation import measures
from mdrbench.results import Result

TASKS = {
    "MIRACLRetrieval": ("miracl", "full"),
    "MIRACLRetrievalHardNegatives": ("miracl", "hard-negatives"),
    "MIRACLRetrievalHardNegatives.v2": ("miracl", "hard-negatives-v2"),
}
"""Tasks of mteb that can be imported -> data set and corpus variant.

``hard-negatives`` searches a pool, the union of three systems' best 250 passages of each query, and has at most 1,000
queries a language. ``hard-negatives-v2`` is the same pool with another instruction for models that take one. Scores of
a pool are higher than those of the full corpus.
"""

OURS = "mdrbench-"
"""Prefix of the task of any other data set."""

ISO_639_3 = {
    **{"ar": "ara", "bn": "ben", "en": "eng", "es": "spa", "fa": "fas", "fi": "fin", "fr": "fra", "hi": "hin"},
    **{"id": "ind", "ja": "jpn", "ko": "kor", "ru": "rus", "sw": "swa", "te": "tel", "th": "tha", "zh": "zho"},
    **{"de": "deu", "yo": "yor"},
}
"""Language code -> the ISO 639-3 code that mteb's languages begin with."""

_NAMES = {"nDCG": "ndcg", "Recall": "recall", "MRR": "mrr", "MAP": "map"}


def task_name(dataset: str) -> str:
    """Return the name of a data set's task in mteb's layout."""
    own = {"miracl": "MIRACLRetrieval", "miracl-hard-negatives": "MIRACLRetrievalHardNegatives"}
    return own.get(dataset, f"{OURS}{dataset}")


def langscript(code: str) -> str:
    """Return a language as mteb writes it: ``ar`` becomes ``ara-Arab``."""
    return f"{ISO_639_3[code]}-{(LANGUAGES | SURPRISE)[code].script}"


def mteb_measure(measure: str) -> str | None:
    """Return mteb's name of a measure: ``nDCG@10`` becomes ``ndcg_at_10``. None if mteb does not have it."""
    name, k = measures.parse_measure(measure)
    return f"{_NAMES[name]}_at_{k}" if name in _NAMES else None


def data_revision(files: dict[str, dict[str, dict[str, str]]]) -> str:
    """Return a revision for local data: a hash over split -> language -> file name -> SHA-256."""
    return f"sha256-{key_of(files)[:40]}"


def export(paths: list[Path], out: Path) -> list[Path]:
    """Write measured results as TaskResult files: one file for each system and data set, with all its splits.

    Returns:
        The paths of the files.

    Raises:
        UsageError: a result is not measured, lacks nDCG@10 or is given twice, or an existing file holds languages or
            splits that would be lost.
    """
    groups: dict[Path, dict[str, Result]] = {}
    for path in paths:
        result = results.read(path)
        if result.kind != "measured":
            raise UsageError(
                "The result was not measured by mdrbench.", where=str(path), mend="give results of `mdrbench run`"
            )
        if "nDCG@10" not in result.evaluated.measures:
            raise UsageError(
                "The result has no nDCG@10, mteb's main score.", where=str(path), mend="run the recipe with nDCG@10"
            )
        splits = groups.setdefault(_target(result, out), {})
        if result.split in splits:
            raise UsageError(f"The {result.split} split is given twice.", where=str(path), mend="give each result once")
        splits[result.split] = result
    for target, splits in groups.items():
        _refuse_a_loss(target, splits)
        meta = _model_meta(next(iter(splits.values())))
        write_atomically(target.with_name("model_meta.json"), json.dumps(meta, indent=1))
        write_atomically(target, json.dumps(_task_result(splits), indent=1))
    return list(groups)


def _target(result: Result, out: Path) -> Path:
    folder = out / "results" / f"mdrbench__{result.system.name}" / _revision(result)
    return folder / f"{task_name(result.dataset)}.json"


def _revision(result: Result) -> str:
    return (result.system.recipe_digest or "")[:40] or "no_revision_available"


def _refuse_a_loss(target: Path, splits: dict[str, Result]) -> None:
    if not target.exists():
        return
    for split, entries in read_task_file(target).scores.items():
        written = splits[split].languages if split in splits else {}
        if lost := [entry["hf_subset"] for entry in entries if entry.get("hf_subset") not in written]:
            raise UsageError(
                f"The file holds {', '.join(map(str, lost))} ({split}), which this export lacks.",
                where=str(target),
                mend="export all splits of a system together, or into another --out",
            )


def _task_result(splits: dict[str, Result]) -> dict[str, Any]:
    entries = [entry for result in splits.values() for entry in result.languages.values()]
    steps = [step for entry in entries for step in entry.steps.values()]
    files = {
        split: {lang: entry.dataset.files for lang, entry in result.languages.items() if entry.dataset}
        for split, result in splits.items()
    }
    made = max((step.made_at for step in steps), default=None)
    return {
        "dataset_revision": data_revision(files),
        "task_name": task_name(next(iter(splits.values())).dataset),
        "mteb_version": None,  # mteb did not compute these scores
        "scores": {
            split: [_scores(result, lang) for lang in result.language_codes()] for split, result in splits.items()
        },
        "evaluation_time": sum(step.seconds for step in steps),
        "kg_co2_emissions": None,
        "date": datetime.fromisoformat(made).timestamp() if made else None,
    }


def _scores(result: Result, lang: str) -> dict[str, Any]:
    cells = result.languages[lang].scores
    scores = {name: cell.value for measure, cell in cells.items() if (name := mteb_measure(measure))}
    place = {"hf_subset": lang, "languages": [langscript(lang)]}
    return {**scores, "main_score": scores["ndcg_at_10"], **place}


def _model_meta(result: Result) -> dict[str, Any]:
    """Return the fields of a ModelMeta. Unknown fields are None, and ``loader_kwargs`` holds the recipe."""
    unknown = "loader release_date languages n_parameters memory_usage_mb max_tokens embed_dim license open_weights"
    unknown += " public_training_code public_training_data similarity_fn_name use_instructions training_datasets"
    return {
        "name": f"mdrbench/{result.system.name}",
        "revision": _revision(result),
        **dict.fromkeys(unknown.split()),
        "framework": [],
        "loader_kwargs": result.system.recipe or {},
    }


class TaskFile(BaseModel):
    """The fields of mteb's TaskResult that are read."""

    task_name: str
    dataset_revision: str
    mteb_version: str | None = None
    scores: dict[str, list[dict[str, Any]]]


def read_task_file(path: Path) -> TaskFile:
    """Read a result file of mteb.

    Raises:
        DataError: the file is missing, not JSON, too old, or not a TaskResult.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            "There is no such file.", where=str(path), mend="give a result file of mteb, or a folder"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"The file is not JSON: {error}", where=str(path), mend="let mteb write it again") from None
    if isinstance(data, dict) and "mteb_dataset_name" in data:
        mend = "load it with mteb.TaskResult.from_disk and write it with to_disk"
        raise DataError("The file was written before mteb 1.11.", where=str(path), mend=mend)
    try:
        return TaskFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "file"
        message = f"The file is not a TaskResult of mteb: {place}: {first['msg']}"
        raise DataError(message, where=str(path), mend="let mteb write it again") from None
