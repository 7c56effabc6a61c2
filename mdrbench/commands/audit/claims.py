"""Derive what a result file says about itself from the rest of the file: place, recipe, conventions, steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mdrbench import results
from mdrbench.commands.audit import training_claims
from mdrbench.commands.audit.training_claims import Contradiction
from mdrbench.core.environment import PACKAGES
from mdrbench.core.errors import MdrbenchError
from mdrbench.core.store import key_of
from mdrbench.data.access import named_datasets, open_dataset
from mdrbench.evaluation import measures
from mdrbench.hub import model_names
from mdrbench.pipeline import write_result
from mdrbench.recipe import digest_of
from mdrbench.recipe.merging import parse_overrides
from mdrbench.recipe.schema import Evaluation
from mdrbench.results import LanguageResult, Result, StepRecord

ALWAYS = ("corpus", "topics", "evaluate")
"""Stages that every language of a recipe's result went through; its run is from ``search`` or ``fuse``."""


def contradictions(path: Path, result: Result) -> Iterator[Contradiction]:
    """Yield every contradiction between a result's parts, and between the result and its place."""
    yield from _place(path, result)
    yield from _scoring(result)
    for key, environment in result.environments.items():
        yield from _same(f"environment {key} is not the one of its hash", key, key_of(environment)[:12])
    system = result.system
    if system.recipe is None:
        if system.submission is None:
            mend = "write it with `mdrbench run` or `submit`"
            yield Contradiction("has neither a recipe nor a submission", mend=mend)
        else:
            runs, languages = sorted(system.submission.runs), sorted(result.languages)
            yield from _same("submission.runs are not of the result's languages", runs, languages)
        return
    try:
        digest = digest_of(system.recipe)
        evaluation = Evaluation.model_validate(system.recipe.get("evaluation", {}))
    except (MdrbenchError, ValueError, KeyError) as error:
        yield Contradiction(f"the recipe is not one of this mdrbench: {str(error).splitlines()[0]}")
        return
    yield from _same("the recipe is not the one of recipe_digest", system.recipe_digest, digest)
    yield from _recipe(result, system.recipe, evaluation)
    for lang, entry in result.languages.items():
        yield from _language(lang, entry, result)
    for name, training in result.trainings.items():
        for step_name, step in training.steps.items():
            yield from _measured(step_name, step, f"training {name}")
        yield from training_claims.training(name, training, result)


def _same(what: str, stored: Any, derived: Any, lang: str | None = None) -> Iterator[Contradiction]:
    if stored != derived:
        yield Contradiction(what, stored, derived, lang)


def _place(path: Path, result: Result) -> Iterator[Contradiction]:
    folder = path.resolve().parent
    is_variant = folder.name == "variants"
    dataset = (folder.parent if is_variant else folder).name
    yield from _same("the file's name is not the system's", path.name, results.path_of(Path(), result).name)
    yield from _same("dataset is not the folder that the result lies in", result.dataset, dataset)
    if is_variant != bool(result.system.variant_of):
        place = "among the variants" if is_variant else "among the recipes"
        yield Contradiction(f"lies {place}, which variant_of contradicts", mend="put the file back into its place")


def _scoring(result: Result) -> Iterator[Contradiction]:
    evaluated = result.evaluated
    ours = {"depth": measures.DEPTH, "tie_rule": write_result.TIE_RULE, "denominator": write_result.DENOMINATOR}
    for key, value in ours.items():
        yield from _same(f"evaluated.{key} is not how this mdrbench scores", getattr(evaluated, key), value)
    yield from _same("evaluated.corpus_variant is not what was searched", evaluated.corpus_variant, _variant(result))
    for lang, entry in result.languages.items():
        if (data := entry.dataset) is not None:
            if data.judged_topics > data.topics:
                yield Contradiction("dataset.judged_topics are more than its topics", lang=lang)
            if data.positives > data.judgments:
                yield Contradiction("dataset.positives are more than its judgments", lang=lang)


def _variant(result: Result) -> str:
    """Return the corpus variant that a result must state; a folder of the user's can be a pool."""
    if result.dataset in named_datasets():
        return open_dataset(result.dataset).corpus_variant
    stated = result.evaluated.corpus_variant
    return stated if re.fullmatch(r"pool-\d+", stated) else "full"


def _recipe(result: Result, recipe: Mapping[str, Any], evaluation: Evaluation) -> Iterator[Contradiction]:
    system, evaluated = result.system, result.evaluated
    yield from _same("system.name is not the recipe's", system.name, recipe.get("name"))
    yield from _same("system.summary is not the recipe's", system.summary, recipe.get("summary"))
    yield from _same("evaluated.measures are not the recipe's", evaluated.measures, list(evaluation.measures))
    for key in ("confidence", "resamples"):
        stored, derived = getattr(evaluated, key), getattr(evaluation, key)
        yield from _same(f"evaluated.{key} is not the recipe's", stored, derived)
    yield from _same("evaluated.seed is not the recipe's", evaluated.seed, recipe.get("seed"))
    variant_of = recipe.get("name") if system.overrides else None
    yield from _same("system.variant_of is not what the overrides say", system.variant_of, variant_of)
    for item in system.overrides:
        try:
            wanted = parse_overrides([item])
        except MdrbenchError as error:
            yield Contradiction(f"the override '{item}' cannot be read: {error.message}")
            continue
        if not _holds(wanted, system.recipe or {}):
            yield Contradiction(f"the override '{item}' is not in the recipe")


def _holds(wanted: Any, actual: Any) -> bool:
    """Return whether a value of a recipe is what an override sets; defaults may have been filled in around it."""
    if isinstance(wanted, Mapping):
        if not isinstance(actual, Mapping):
            return False
        return all(_holds(value, actual.get(key)) for key, value in wanted.items())
    if isinstance(actual, Mapping) and isinstance(wanted, str):
        return True  # a member's or a recipe's name, written out in the recipe
    if isinstance(wanted, str) and wanted.endswith(".py"):
        return Path(wanted).name == Path(str(actual)).name  # results record member files without their folder
    if isinstance(actual, list | Mapping) or isinstance(wanted, list):
        return bool(actual) == bool(wanted)
    return bool(wanted == actual)


def _language(lang: str, entry: LanguageResult, result: Result) -> Iterator[Contradiction]:
    missing = [stage for stage in ALWAYS if stage not in entry.steps]
    runs = [stage for stage in ("search", "fuse", "rerank") if stage in entry.steps]
    if missing or not runs:
        yield Contradiction(f"has no step {', '.join(missing) or 'search'}", lang=lang, mend="run the recipe again")
    recipe = result.system.recipe or {}
    for name, step in entry.steps.items():
        yield from _measured(name, step, lang)
    for stage, kept in (*((run, "run") for run in runs[-1:]), ("evaluate", "topics")):
        if stage in entry.steps and kept in entry.files and (size := entry.steps[stage].bytes) is not None:
            yield from _same(
                f"step '{stage}': its bytes are not those of the kept file", size, entry.files[kept].bytes, lang
            )
    names = [f"{kind}.miracl-v1.0-{lang}-{result.split}.tsv" for kind in ("topics", "qrels")]
    if entry.dataset is not None and (lacking := [name for name in names if name not in entry.dataset.files]):
        yield Contradiction(f"dataset.files lacks {' and '.join(lacking)}", lang=lang, mend="run the recipe again")
    yield from _conventions(lang, entry, recipe, result)
    if entry.negatives is not None:
        yield from training_claims.negatives(lang, entry.negatives)
    depth = recipe.get("search", {}).get("depth")
    yield from _same("conventions.search_depth is not the recipe's", entry.conventions.get("search_depth"), depth, lang)
    trained = "training" in recipe
    if trained != ("train" in entry.steps):
        yield Contradiction("the recipe's training and the step 'train' contradict each other", lang=lang)
    if trained and "train" in entry.steps:
        key = entry.steps["train"].key
        if key[:12] not in result.trainings:
            yield Contradiction(f"names training {key[:12]}, which the result lacks", lang=lang)
        yield from _same("conventions.trained_by is not the step", entry.conventions.get("trained_by"), key, lang)


def _measured(name: str, step: StepRecord, place: str) -> Iterator[Contradiction]:
    """Check the form of what was measured of a step: its values cannot be derived."""
    try:
        made = datetime.fromisoformat(step.made_at)
    except ValueError:
        made = None
    if made is None or made.tzinfo is None:
        yield Contradiction(f"step '{name}': made_at is not a time with its zone", step.made_at, lang=place)
    if step.peak_of not in ("step", "process"):
        yield Contradiction(f"step '{name}': peak_of is neither step nor process", step.peak_of, lang=place)
    if step.seconds < 0 or step.peak_bytes < 0 or (step.bytes or 0) < 0:
        yield Contradiction(f"step '{name}': took less than nothing", lang=place)


def _conventions(
    lang: str, entry: LanguageResult, recipe: Mapping[str, Any], result: Result
) -> Iterator[Contradiction]:
    """Compare conventions with the settings of the same name in the recipe's retriever, and with the packages."""
    settings = _settings(recipe.get("retriever", {}))
    environments = [result.environments.get(step.environment, {}) for step in entry.steps.values()]
    packages = [environment.get("packages", {}) for environment in environments]
    for name, value in _settings(entry.conventions).items():
        for stored in value:
            if name in settings and not any(_agrees(name, stored, setting) for setting in settings[name]):
                told = settings[name][0] if len(settings[name]) == 1 else settings[name]
                yield Contradiction(f"conventions.{name} is not the recipe's", stored, told, lang)
            if name in PACKAGES and packages and all(one.get(name) != stored for one in packages):
                yield Contradiction(f"conventions.{name} is not the version of any step", stored, None, lang)


def _settings(section: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of all settings by their own names, wherever in a section they stand."""
    found: dict[str, list[Any]] = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            for inner, values in _settings(value).items():
                found.setdefault(inner, []).extend(values)
            if "name" in value and name != "of":
                found.setdefault(name, []).append(value["name"])
        elif name != "name":
            found.setdefault(name, []).append(value)
    return found


def _agrees(name: str, stored: Any, setting: Any) -> bool:
    """Return whether a convention is what a setting leads to; ``auto`` and None leave the choice to the machine."""
    if setting in ("auto", None) or stored == setting:
        return True
    if name == "model" and isinstance(setting, str):
        return setting not in model_names.SHORT or bool(stored == model_names.SHORT[setting].repo)
    return False
