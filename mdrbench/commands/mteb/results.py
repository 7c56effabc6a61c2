"""Results in mteb's layout, out and in, without importing mteb.

::

    DIR/results/ORG__MODEL/REVISION/TASK.json         mteb's TaskResult: split -> scores of each subset (language)
    DIR/results/ORG__MODEL/REVISION/model_meta.json   name and revision of the model

Out go measured results, under the model ``mdrbench/RECIPE`` and the recipe's digest. In come results of MIRACL's tasks,
as published figures (``results/published/mteb``) that name mteb's version, the data set's revision and the model's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from mdrbench import results
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError, UsageError, did_you_mean
from mdrbench.core.languages import ALL, LANGUAGES, SURPRISE
from mdrbench.core.store import key_of
from mdrbench.evaluation import measures
from mdrbench.results import Average, Cell, Evaluated, LanguageResult, Result, System

TASKS = {
    "MIRACLRetrieval": ("miracl", "full"),
    "MIRACLRetrievalHardNegatives": ("miracl", "hard-negatives"),
    "MIRACLRetrievalHardNegatives.v2": ("miracl", "hard-negatives"),
}
"""mteb's tasks that are read -> data set and corpus variant.

``hard-negatives`` searches a pool, the union of three systems' best 250 passages of each query, and has at most 1,000
queries a language: its scores stand far above those of the full corpus.
"""

OURS = "mdrbench-"
"""What the task of any other data set begins with."""

ISO_639_3 = {
    **{"ar": "ara", "bn": "ben", "en": "eng", "es": "spa", "fa": "fas", "fi": "fin", "fr": "fra", "hi": "hin"},
    **{"id": "ind", "ja": "jpn", "ko": "kor", "ru": "rus", "sw": "swa", "te": "tel", "th": "tha", "zh": "zho"},
    **{"de": "deu", "yo": "yor"},
}
"""Our codes -> the codes that mteb's languages begin with."""

_NAMES = {"nDCG": "ndcg", "Recall": "recall", "MRR": "mrr", "MAP": "map"}


def task_name(dataset: str) -> str:
    """The name of a data set's task in mteb's layout."""
    return "MIRACLRetrieval" if dataset == "miracl" else f"{OURS}{dataset}"


def langscript(code: str) -> str:
    """A language as mteb writes it: ``ar`` -> ``ara-Arab``."""
    return f"{ISO_639_3[code]}-{(LANGUAGES | SURPRISE)[code].script}"


def mteb_measure(measure: str) -> str | None:
    """``nDCG@10`` -> ``ndcg_at_10``; None for what mteb does not have (``Judged@10``)."""
    name, k = measures.parse_measure(measure)
    return f"{_NAMES[name]}_at_{k}" if name in _NAMES else None


def data_revision(files: dict[str, dict[str, dict[str, str]]]) -> str:
    """What stands for a revision of local data: a hash over split -> language -> file name -> SHA-256."""
    return f"sha256-{key_of(files)[:40]}"


# -- out ---------------------------------------------------------------------------------------------------------------


def export(paths: list[Path], out: Path) -> list[Path]:
    """Write measured results as TaskResult files, the splits of one system and data set into one; returns the paths.

    Raises:
        UsageError: a result is no measurement, lacks nDCG@10, is given twice, or a file there holds more than would be
            written.
    """
    groups: dict[Path, dict[str, Result]] = {}
    for path in paths:
        result = results.read(path)
        if result.kind != "measured":
            raise UsageError("not measured by mdrbench", where=str(path), mend="give results of `mdrbench run`")
        if "nDCG@10" not in result.evaluated.measures:
            raise UsageError("has no nDCG@10, mteb's main score", where=str(path), mend="run it with nDCG@10")
        splits = groups.setdefault(_target(result, out), {})
        if result.split in splits:
            raise UsageError(f"the {result.split} split is given twice", where=str(path), mend="give each result once")
        splits[result.split] = result
    for target, splits in groups.items():
        _keep_what_is_there(target, splits)
        meta = _model_meta(next(iter(splits.values())))
        write_atomically(target.with_name("model_meta.json"), json.dumps(meta, indent=1))
        write_atomically(target, json.dumps(_task_result(splits), indent=1))
    return list(groups)


def _target(result: Result, out: Path) -> Path:
    folder = out / "results" / f"mdrbench__{result.system.name}" / _revision(result)
    return folder / f"{task_name(result.dataset)}.json"


def _revision(result: Result) -> str:
    return (result.system.recipe_digest or "")[:40] or "no_revision_available"


def _keep_what_is_there(target: Path, splits: dict[str, Result]) -> None:
    if not target.exists():
        return
    for split, entries in _read(target).scores.items():
        written = splits[split].languages if split in splits else {}
        if lost := [entry["hf_subset"] for entry in entries if entry.get("hf_subset") not in written]:
            raise UsageError(
                f"holds {', '.join(map(str, lost))} ({split}), which this export lacks",
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
        "mteb_version": None,  # it is not mteb that computed these
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
    """A ModelMeta with what is known; ``loader_kwargs`` holds the recipe."""
    unknown = "loader release_date languages n_parameters memory_usage_mb max_tokens embed_dim license open_weights"
    unknown += " public_training_code public_training_data similarity_fn_name use_instructions training_datasets"
    return {
        "name": f"mdrbench/{result.system.name}",
        "revision": _revision(result),
        **dict.fromkeys(unknown.split()),
        "framework": [],
        "loader_kwargs": result.system.recipe or {},
    }


# -- in ----------------------------------------------------------------------------------------------------------------


class TaskFile(BaseModel):
    """What is read of mteb's TaskResult."""

    task_name: str
    dataset_revision: str
    mteb_version: str | None = None
    scores: dict[str, list[dict[str, Any]]]


class Model(NamedTuple):
    """Whose scores they are."""

    name: str
    revision: str


def import_results(paths: list[Path], root: Path, model: str | None = None) -> tuple[list[Path], list[str]]:
    """Write mteb's results as published figures under ``root``.

    Args:
        paths: TaskResult files, or folders that hold some, at any depth.
        model: ``ORG/NAME`` for files with neither ``model_meta.json`` nor mteb's folders around them.

    Returns:
        The paths written, one a model, task and split, and the tasks in folders that are none of :data:`TASKS`.

    Raises:
        DataError: a file is no TaskResult, of an unknown task, or of an unknown model; a folder holds nothing to read;
            two files claim the same place.
    """
    made: dict[Path, Result] = {}
    others: list[str] = []
    for path in paths:
        found = list(_task_files(path))
        known = [(file, read) for file, read in found if _known(read.task_name)]
        others += [read.task_name for _, read in found if not _known(read.task_name)]
        if not known:
            names = sorted({read.task_name for _, read in found})
            raise DataError(
                f"holds no task that mdrbench knows: {', '.join(names[:5]) or 'no result of mteb at all'}",
                where=str(path),
                mend=did_you_mean(names[0] if names else "", [*TASKS, f"{OURS}DATASET"]),
            )
        for file, read in known:
            for target, result in _results(file, read, _model(file, model), root):
                if made.setdefault(target, result) != result:
                    raise DataError(f"another result claims {target.name}", where=str(file), mend="import one of them")
    for target, result in made.items():
        write_atomically(target, results.dump(result))
    return list(made), sorted(set(others))


def _known(task: str) -> bool:
    return task in TASKS or task.startswith(OURS)


def _task_files(path: Path) -> Iterator[tuple[Path, TaskFile]]:
    """The TaskResult files at a path; in a folder, JSON files of other kinds are passed over."""
    if not path.is_dir():
        yield path, _read(path)
        return
    for file in sorted(path.rglob("*.json")):
        if file.name != "model_meta.json" and "task_name" in file.read_text(encoding="utf-8"):
            yield file, _read(file)


def _read(path: Path) -> TaskFile:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=str(path), mend="give a result file of mteb, or a folder") from None
    except (OSError, ValueError) as error:
        raise DataError(f"not a JSON file: {error}", where=str(path), mend="let mteb write it anew") from None
    if isinstance(data, dict) and "mteb_dataset_name" in data:
        mend = "load it with mteb.TaskResult.from_disk and write it with to_disk"
        raise DataError("was written before mteb 1.11", where=str(path), mend=mend)
    try:
        return TaskFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise DataError(f"no TaskResult of mteb: {place}: {first['msg']}", where=str(path), mend="check it") from None


def _model(file: Path, given: str | None) -> Model:
    """From ``model_meta.json``, else from mteb's folders, else as given."""
    meta = file.with_name("model_meta.json")
    if meta.is_file():
        data = json.loads(meta.read_text(encoding="utf-8"))
        if isinstance(data.get("name"), str):
            settings = data.get("experiment_kwargs") or {}
            marks = ", ".join(f"{key}={value}" for key, value in settings.items())
            return Model(data["name"] + (f" ({marks})" if marks else ""), str(data.get("revision")))
    folder = file.resolve().parent
    if "__" in folder.parent.name:
        return Model(folder.parent.name.replace("__", "/", 1), folder.name)
    if given is None:
        mend = "give --model ORG/NAME, or keep model_meta.json beside the file"
        raise DataError("does not say whose result it is", where=str(file), mend=mend)
    return Model(given, "not stated")


def _results(file: Path, read: TaskFile, model: Model, root: Path) -> Iterator[tuple[Path, Result]]:
    """One result a split, with its place."""
    if read.mteb_version is None and model.name.startswith("mdrbench/"):
        mend = "the result that it was exported from is the one to keep"
        raise DataError("was exported by mdrbench, not computed by mteb", where=str(file), mend=mend)
    dataset, variant = TASKS.get(read.task_name, (read.task_name.removeprefix(OURS), "full"))
    stated = f"mteb {read.mteb_version or '(version not stated)'}, {read.task_name} at {read.dataset_revision[:12]}"
    for split, entries in read.scores.items():
        languages = {}
        for number, entry in enumerate(entries):
            where = f"{file}: scores.{split}.{number}"
            lang = _language(entry, where)
            if lang in languages:
                raise DataError(f"'{lang}' is there twice", where=where, mend="keep one of the two")
            languages[lang] = LanguageResult(scores=_cells(entry, read.task_name, where))
        slug = f"{read.task_name} {model.name} {model.revision[:12]} {split}".lower()
        path = root / results.PUBLISHED / "mteb" / f"{re.sub(r'[^a-z0-9]+', '-', slug).strip('-')}.json"
        found = [m for m in measures.DEFAULT if any(m in entry.scores for entry in languages.values())]
        yield (
            path,
            Result(
                kind="published",
                dataset=dataset,
                split=split,
                system=System(name=model.name, summary=f"{stated}, model revision {model.revision[:12]}"),
                evaluated=Evaluated(
                    measures=found,
                    depth=1000,
                    tie_rule="score descending, then docid descending (mteb)",
                    denominator="queries with a judgment (mteb)",
                    corpus_variant=variant,
                ),
                languages=languages,
                averages=_averages(languages, found, read.task_name),
            ),
        )


def _language(entry: dict[str, Any], where: str) -> str:
    """Our code of a subset: by its ISO 639-3 code, else by its name."""
    by_iso = {iso: code for code, iso in ISO_639_3.items()}
    named = [by_iso.get(str(language).split("-")[0]) for language in entry.get("languages") or []]
    subset = str(entry.get("hf_subset"))
    code = named[0] if len(named) == 1 and named[0] else subset if subset in ISO_639_3 else None
    if code is None:
        mend = f"languages known: {', '.join(ISO_639_3)}"
        raise DataError(f"subset '{subset}' is in no language of the benchmark", where=where, mend=mend)
    return code


def _cells(entry: dict[str, Any], task: str, where: str) -> dict[str, Cell]:
    cells = {}
    for measure in measures.DEFAULT:
        name = mteb_measure(measure)
        value = entry.get(name, entry.get("main_score") if name == "ndcg_at_10" else None)
        if name is None or value is None:
            continue
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise DataError(f"{name} {value!r} is no number from 0 to 1", where=where, mend="let mteb write it anew")
        cells[measure] = Cell(value=value, source="mteb", table=task)
    if not cells:
        raise DataError("has no score", where=where, mend="let mteb write it anew")
    return cells


def _averages(languages: dict[str, LanguageResult], names: list[str], task: str) -> list[Average]:
    """The mean over the benchmark's languages, of each measure that all of them have."""
    covered = [lang for lang in ALL if lang in languages]
    columns = {name: [languages[lang].scores.get(name) for lang in covered] for name in names}
    means = {
        name: Cell(value=round(fmean(cell.value for cell in cells), 6), source="mteb", table=task)
        for name, cells in columns.items()
        if cells and all(cells)
    }
    label = f"{results.average_label(covered)}, computed from the cells"
    return [Average(label=label, languages=covered, scores=means)] if means else []
