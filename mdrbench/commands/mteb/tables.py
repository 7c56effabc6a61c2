"""Write mteb's results and its facts about models as the compact tables of :mod:`mdrbench.results.mteb_tables`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from mdrbench.commands.mteb.imported import (
    DENOMINATOR,
    DEPTH,
    TIE_RULE,
    Model,
    language_scores,
    model_of,
    software,
    task_files,
)
from mdrbench.commands.mteb.results import TASKS
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError
from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.results import SystemKind, mteb_tables
from mdrbench.results.mteb_tables import ModelFacts, Models, Row, Table, Training
from mdrbench.results.stored import seal_text

MEASURES = ("nDCG@10", "Recall@100", "MRR@10", "MAP@100", "Recall@10")

FACTS = {
    **{"parameters": "n_parameters", "dimension": "embed_dim", "max_tokens": "max_tokens"},
    **{"memory_mb": "memory_usage_mb", "licence": "license", "released": "release_date"},
    **{"open_weights": "open_weights", "instructions": "use_instructions", "languages": "languages"},
    **{"reference": "reference", "adapted_from": "adapted_from", "superseded_by": "superseded_by"},
}
"""Our name of a fact -> mteb's."""

KINDS: dict[str, SystemKind] = {"dense": "single vector", "sparse": "sparse", "late-interaction": "multi-vector"}
SIMILARITIES: dict[str, SystemKind] = {"cosine": "single vector", "dot": "single vector", "MaxSim": "multi-vector"}

MetaData = dict[str, Any]
"""What mteb says about a model: the keys of ``model_meta.json``, and from the registry also ``model_type``."""

Lookup = Callable[[str], MetaData | None]
"""Name of a model -> what mteb's registry says about it."""


def write_tables(
    paths: list[Path], root: Path, origin: str, lookup: Lookup, registry: str, model: str | None = None
) -> list[Path]:
    """Write one table a task and the facts about every model under ``root``; tables of other tasks stay.

    Args:
        paths: TaskResult files, or folders that hold some, at any depth.
        origin: where the files are from: repository, commit, date, licence.
        lookup: mteb's registry; it fills in facts that the files beside the results leave empty.
        registry: version of the registry.
        model: ``ORG/NAME`` for files with neither ``model_meta.json`` nor mteb's folders around them.

    Returns:
        The paths written.

    Raises:
        DataError: a file is no TaskResult, a score is wrong, a model has two rows in a task, or there is no result.
    """
    rows: dict[str, list[Row]] = {}
    models: dict[Model, ModelFacts] = {}
    for file, read in (pair for path in paths for pair in task_files(path)):
        if read.task_name not in TASKS:
            continue
        owner = model_of(file, model)
        models.setdefault(owner, facts_of(owner, _meta(file), lookup(owner.name.partition(" (")[0])))
        for split, entries in read.scores.items():
            scores = language_scores(file, split, entries, MEASURES)
            rows.setdefault(read.task_name, []).append(
                Row(
                    model=owner.name,
                    revision=owner.revision,
                    split=split,
                    software=software(read),
                    data_revision=read.dataset_revision,
                    scores={c: [scores[c].get(m) for m in MEASURES] for c in (*ALL, *SURPRISE) if c in scores},
                )
            )
    if not rows:
        where = ", ".join(map(str, paths))
        raise DataError("no result of MIRACL's tasks", where=where, mend=f"give files of {', '.join(TASKS)}")
    written = [_write_table(root, task, found, origin) for task, found in rows.items()]
    facts = [models[owner] for owner in sorted(models)]
    return [*written, _write_models(root, Models(origin=origin, registry=registry, models=facts))]


def _meta(file: Path) -> MetaData:
    path = file.with_name("model_meta.json")
    meta: MetaData = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return meta


def _write_table(root: Path, task: str, rows: list[Row], origin: str) -> Path:
    rows.sort(key=lambda row: (row.model, row.revision, row.split))
    for before, row in pairwise(rows):
        if (before.model, before.revision, before.split) == (row.model, row.revision, row.split):
            raise DataError(f"{task} has two results of {row.model} at {row.revision}", mend="import one of them")
    dataset, variant = TASKS[task]
    table = Table(
        task=task,
        dataset=dataset,
        corpus_variant=variant,
        origin=origin,
        depth=DEPTH,
        tie_rule=TIE_RULE,
        denominator=DENOMINATOR,
        measures=list(MEASURES),
        rows=rows,
    )
    return _write(root / mteb_tables.FOLDER / f"{table.collection}.json", table, "rows", rows)


def _write_models(root: Path, models: Models) -> Path:
    return _write(root / mteb_tables.FOLDER / mteb_tables.MODELS, models, "models", models.models)


def _write(path: Path, document: BaseModel, key: str, items: Iterable[BaseModel]) -> Path:
    """Write JSON with each item of the list ``key`` on a line of its own, so that a change shows as one line."""
    head = json.dumps(document.model_dump(mode="json", exclude={key, "seal"}), indent=1, ensure_ascii=False)
    lines = (
        json.dumps(item.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False, separators=(",", ":"))
        for item in items
    )
    text = head.removesuffix("\n}") + f',\n "{key}": [\n' + ",\n".join(lines) + "\n ]\n}\n"
    write_atomically(path, seal_text(text))
    return path


# -- facts about models ------------------------------------------------------------------------------------------------


def facts_of(model: Model, meta: MetaData, registered: MetaData | None) -> ModelFacts:
    """Join what the file beside a result says about its model with what mteb's registry says; the file has priority."""
    registered = registered or {}
    values: dict[str, Any] = {}
    filled = []
    for name, key in FACTS.items():
        values[name] = _cleaned(name, meta.get(key))
        if values[name] is None:
            values[name] = _cleaned(name, registered.get(key))
            if values[name] is not None:
                filled.append(name)
    state, tydi, source = _training(meta.get("training_datasets"), registered)
    return ModelFacts(
        name=model.name,
        revision=model.revision,
        kind=_kind(meta, registered),
        **values,
        miracl=state,
        mr_tydi=tydi,
        training_source=source,
        training_list=meta.get("training_datasets") is not None,
        from_registry=filled,
    )


def _cleaned(name: str, value: Any) -> Any:
    if value is None or value in ("not specified", [], ""):
        return None
    if name == "languages":
        return sorted({str(language)[:3] for language in value})
    if name in ("parameters", "dimension", "max_tokens", "memory_mb"):
        return round(value) if isinstance(value, int | float) and math.isfinite(value) else None
    return value if isinstance(value, bool) else str(value)


def _kind(meta: MetaData, registered: MetaData) -> SystemKind | None:
    declared = registered.get("model_type") or []
    if declared:
        return KINDS.get(declared[0])
    return SIMILARITIES.get(str(meta.get("similarity_fn_name")))


TrainingSource = Literal["file", "registry", "base model"]


def _training(own: Iterable[str] | None, registered: MetaData) -> tuple[Training, Training, TrainingSource | None]:
    """Say whether a model was trained on MIRACL and on Mr. TyDi, and where the first is from.

    A list that names the data set is believed before one that does not: the file beside the result, then the registry,
    then the registry's lists of the models that this one was made from.
    """
    lists: list[tuple[TrainingSource, Iterable[str] | None]] = [
        ("file", own),
        ("registry", registered.get("training_datasets")),
        ("base model", registered.get("all_training_datasets")),
    ]
    known = [(source, {name.lower() for name in names}) for source, names in lists if names is not None]
    if not known:
        return "unknown", "unknown", None
    named = [source for source, names in known if any("miracl" in name for name in names)]
    tydi = any("tidy" in name or "tydi" in name for _, names in known for name in names)
    state: Training = "trained" if named else "declared not"
    return state, "trained" if tydi else "declared not", named[0] if named else known[0][0]


def registry_lookup() -> tuple[Lookup, str]:
    """Import mteb and return a look-up of its registry, and mteb's version."""
    import mteb
    from mteb.models import get_model_meta

    registry: dict[str, Any] = vars(get_model_meta)["MODEL_REGISTRY"]

    def lookup(name: str) -> MetaData | None:
        meta = registry.get(name)
        if meta is None:
            return None
        facts: MetaData = {key: getattr(meta, key) for key in FACTS.values()}
        every = meta.get_training_datasets() if meta.training_datasets is not None else None
        return {
            **facts,
            "model_type": meta.model_type,
            "training_datasets": meta.training_datasets,
            "all_training_datasets": every,
        }

    return lookup, f"mteb {mteb.__version__}"
