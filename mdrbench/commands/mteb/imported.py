"""Import mteb's results as published figures, without importing mteb.

The layout that is read is described in :mod:`mdrbench.commands.mteb.results`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from mdrbench import results
from mdrbench.commands.mteb.results import ISO_639_3, OURS, TASKS, TaskFile, mteb_measure, read_task_file
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError, did_you_mean
from mdrbench.core.languages import ALL
from mdrbench.evaluation import measures
from mdrbench.results import Average, Cell, Evaluated, LanguageResult, Result, System, mteb_tables

TIE_RULE = "score descending, then docid descending (mteb)"
DENOMINATOR = "queries with a judgment (mteb)"
DEPTH = 1000
"""Hits of a query that mteb's retrieval keeps."""


class Model(NamedTuple):
    """The model that the scores are of."""

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
        found = list(task_files(path))
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
            for target, result in _results(file, read, model_of(file, model), root):
                if made.setdefault(target, result) != result:
                    raise DataError(f"another result claims {target.name}", where=str(file), mend="import one of them")
    for target, result in made.items():
        write_atomically(target, results.dump(result))
    return list(made), sorted(set(others))


def software(read: TaskFile) -> str:
    """Name mteb with the version that computed a file's scores."""
    return f"mteb {read.mteb_version or '(version not stated)'}"


def _known(task: str) -> bool:
    return task in TASKS or task.startswith(OURS)


def task_files(path: Path) -> Iterator[tuple[Path, TaskFile]]:
    """The TaskResult files at a path; in a folder, JSON files of other kinds are passed over."""
    if not path.is_dir():
        yield path, read_task_file(path)
        return
    for file in sorted(path.rglob("*.json")):
        if file.name != "model_meta.json" and "task_name" in file.read_text(encoding="utf-8"):
            yield file, read_task_file(file)


def model_of(file: Path, given: str | None) -> Model:
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
    stated = f"{software(read)}, {read.task_name} at {read.dataset_revision[:12]}"
    for split, entries in read.scores.items():
        languages = {
            lang: LanguageResult(
                scores={name: Cell(value=v, source="mteb", table=read.task_name) for name, v in scores.items()}
            )
            for lang, scores in language_scores(file, split, entries, measures.DEFAULT).items()
        }
        slug = f"{read.task_name} {model.name} {model.revision[:12]} {split}".lower()
        path = root / results.PUBLISHED / "mteb" / f"{re.sub(r'[^a-z0-9]+', '-', slug).strip('-')}.json"
        found = [m for m in measures.DEFAULT if any(m in entry.scores for entry in languages.values())]
        yield (
            path,
            Result(
                kind="published",
                dataset=dataset,
                split=split,
                system=System(
                    name=model.name,
                    summary=f"{stated}, model revision {model.revision[:12]}",
                    revision=model.revision,
                ),
                evaluated=Evaluated(
                    measures=found,
                    depth=DEPTH,
                    tie_rule=mteb_tables.tie_rule(software(read)),
                    denominator=DENOMINATOR,
                    corpus_variant=variant,
                    software=software(read),
                    data_revision=read.dataset_revision,
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


def language_scores(
    file: Path, split: str, entries: list[dict[str, Any]], names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Read the scores of a split: language -> measure -> score from 0 to 1.

    Raises:
        DataError: a language is unknown or occurs twice, a score is no number from 0 to 1, or an entry has none.
    """
    languages: dict[str, dict[str, float]] = {}
    for number, entry in enumerate(entries):
        where = f"{file}: scores.{split}.{number}"
        lang = _language(entry, where)
        if lang in languages:
            raise DataError(f"'{lang}' occurs twice", where=where, mend="keep one of the two entries")
        languages[lang] = _scores(entry, names, where)
    return languages


def _scores(entry: dict[str, Any], names: tuple[str, ...], where: str) -> dict[str, float]:
    scores = {}
    for measure in names:
        name = mteb_measure(measure)
        if name is None:
            continue
        value = entry.get(name, entry.get("main_score") if name == "ndcg_at_10" else None)
        if value is None:
            continue
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise DataError(f"{name} {value!r} is no number from 0 to 1", where=where, mend="let mteb write it anew")
        scores[measure] = value
    if not scores:
        raise DataError("has no score", where=where, mend="let mteb write it anew")
    return scores


def _averages(languages: dict[str, LanguageResult], names: list[str], task: str) -> list[Average]:
    """The mean over the benchmark's languages, of each measure that all of them have."""
    covered = [lang for lang in ALL if lang in languages]
    columns = {name: [cell for lang in covered if (cell := languages[lang].scores.get(name))] for name in names}
    means = {
        name: Cell(value=round(fmean(cell.value for cell in cells), 6), source="mteb", table=task)
        for name, cells in columns.items()
        if cells and len(cells) == len(covered)
    }
    label = f"{results.average_label(covered)}, computed from the cells"
    return [Average(label=label, languages=covered, scores=means)] if means else []
