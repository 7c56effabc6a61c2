"""Derive the keys of a result's steps again, from its recipe and the hashes of the files that it was measured on.

A key is the hash of a step's stage, settings and source files, and of the keys before it. So made-up keys, left-out
steps, forged conventions and hashes of other files are found without the data. The retriever's conventions are taken
from the result. Those of judges, generators and other retrievers are this machine's: if its packages differ from the
recorded ones, keys that depend on them cannot be derived here, and that is told. So are the keys of a stage that fit in
no language, if another commit of mdrbench made the result: the stage was changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mdrbench import __version__
from mdrbench.core.environment import git_state, package_version
from mdrbench.core.errors import MdrbenchError, UsageError
from mdrbench.core.members import Context
from mdrbench.core.store import key_of
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.pipeline.plan import LanguagePlan, plan_language
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.pipeline.plan.steps import VERSIONS, Ref, Step
from mdrbench.pipeline.plan.training import plan_training
from mdrbench.recipe import Recipe
from mdrbench.results import Result, StepRecord

Found = tuple[str, str]
"""A language, or the name of a training, and a sentence."""

CERTAIN = ("corpus", "topics", "index", "search", "fuse", "evaluate", "pair")
"""Stages whose settings are all in the result, if they are of the recipe's retriever."""


OPTIONAL = ("label", "canaries")
"""Stages that a result does not record if their artifact was deleted before it was written."""


class Underivable(Exception):
    """The keys of some languages cannot be derived on this machine; the text says why."""


class _Recorded(Planner):
    """Plans a language from the files that a result recorded, without the data."""

    def __init__(self, dataset: MiraclFolder, lang: str, files: Mapping[str, str]):
        self.dataset, self.lang, self.steps = dataset, lang, {}
        self._files = files
        self.corpus_sources = {name: sha for name, sha in files.items() if not name.startswith(("topics.", "qrels."))}
        self._corpus_bytes = 0

    def split_sources(self, split: str) -> dict[str, str]:
        names = [f"{kind}.miracl-v1.0-{self.lang}-{split}.tsv" for kind in ("topics", "qrels")]
        if lacking := [name for name in names if name not in self._files]:
            raise Underivable(f"dataset.files lacks {' and '.join(lacking)}")
        return {name: self._files[name] for name in names}

    def topic_count(self, split: str) -> int:
        return 0


def contradictions(result: Result, unchecked: list[str]) -> Iterator[Found]:
    """Yield language (or name of a training) and sentence for each step that the recipe and the data do not lead to.

    Args:
        unchecked: gets a sentence for each part whose keys cannot be derived on this machine.
    """
    if result.system.submission:  # mdrbench made no step of it
        return
    try:
        recipe = _recipe(result)
    except Underivable as error:
        unchecked.append(f"step keys were not derived again: {error}")
        return
    if recipe.training is None:
        groups: dict[str | None, list[str]] = {None: result.language_codes()}
    else:
        groups = {name: training.languages for name, training in result.trainings.items()}
    for name, langs in groups.items():
        try:
            yield from _group(recipe, result, name, langs, unchecked)
        except (Underivable, MdrbenchError, ModuleNotFoundError) as error:
            told = error.message if isinstance(error, MdrbenchError) else error
            unchecked.append(f"step keys of {', '.join(langs)} were not derived again: {told}")


def _recipe(result: Result) -> Recipe:
    versions = {one.get("packages", {}).get("mdrbench") for one in result.environments.values()}
    if versions != {now := __version__}:
        raise Underivable(f"made by mdrbench {', '.join(sorted(map(str, versions)))}, this is {now}")
    if outside := next(_members_from_outside(result.system.recipe), None):
        raise Underivable(f"the code of {outside}, a member from outside, is never run by verify")
    try:
        return Recipe.model_validate(result.system.recipe, context=Context(_no_recipe))
    except (ValidationError, MdrbenchError, ModuleNotFoundError) as error:
        raise Underivable(f"the recipe cannot be built here ({str(error).splitlines()[0]})") from None


def _members_from_outside(part: Any) -> Iterator[str]:
    """Yield the names of members that a recorded recipe took from a file or a package."""
    if isinstance(part, dict):
        if "from" in part and "name" in part:
            yield str(part["name"])
        for value in part.values():
            yield from _members_from_outside(value)
    elif isinstance(part, list):
        for value in part:
            yield from _members_from_outside(value)


def _no_recipe(name: str) -> Any:
    raise UsageError(f"recipe '{name}' is not written out")


def _group(recipe: Recipe, result: Result, name: str | None, langs: list[str], unchecked: list[str]) -> Iterator[Found]:
    """Check the languages that share a training, or all languages of a recipe without one."""
    dataset = MiraclFolder(result.dataset, Path())
    planners: dict[str, Planner] = {}
    for lang in langs:
        entry = result.languages.get(lang)
        if entry is None or entry.dataset is None:
            raise Underivable(f"training {name} was also on '{lang}', which the result lacks")
        planners[lang] = _Recorded(dataset, lang, entry.dataset.files)
    negatives: dict[str, Step] = {}
    training: list[Step] = []
    if recipe.training is not None:
        negatives, training = plan_training(recipe, recipe.training, planners)
    train = training[-1] if training else None
    plans = {
        lang: plan_language(recipe, planner, result.split, train, negatives.get(lang))
        for lang, planner in planners.items()
    }
    expected = {step.ref for step in training} | {ref for plan in plans.values() for ref in _recorded_by(plan)}
    changed: list[str] = []
    while True:
        derived = _Derived(recipe, result, _other_packages(result), changed, expected)
        for place, steps in _in_order(plans, training, name or ""):
            derived.check(place, steps)
        unlike = next((stage for stage, fits in derived.fits.items() if not fits and stage not in changed), None)
        if unlike is None or not of_another_commit(result):
            break
        changed.append(unlike)
    derived.extra([*langs, *([name] if name else [])])
    yield from derived.found
    if changed:
        unchecked.append(f"keys of {', '.join(changed)} are of another commit of mdrbench, and were not derived again")
    if derived.unsure:
        unchecked.append(
            f"keys of {', '.join(sorted(derived.unsure))} were not derived again: made with {derived.other_packages}"
        )


@dataclass
class _Derived:
    """The keys of planned steps, as the result records them where it can be right."""

    recipe: Recipe
    result: Result
    other_packages: str
    changed: list[str]
    expected: set[Ref]
    fits: dict[str, bool] = field(default_factory=dict)
    keys: dict[Ref, str] = field(default_factory=dict)
    uncertain: set[Ref] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    found: list[Found] = field(default_factory=list)

    def check(self, place: str, steps: list[Step]) -> None:
        """Compare planned steps of a language, or of a training, with those that are recorded there."""
        languages = self.result.languages
        recorded = _refs(languages[place].steps if place in languages else self._trained(place))
        conventions = languages[place].conventions if place in languages else {}
        for step in steps:
            if any(ref in self.uncertain for ref in step.inputs.values()) or not self._certain(step):
                self.uncertain.add(step.ref)
            candidates = self._candidates(step, conventions)
            right = [key for key in candidates if (step.stage, key) in recorded]
            self.keys[step.ref] = (right or candidates)[0]
            if step.ref not in self.expected:
                continue
            if step.stage in OPTIONAL and all(stage != step.stage for stage, _ in recorded):
                self.uncertain.add(step.ref)
                continue
            self.fits[step.stage] = self.fits.get(step.stage, False) or bool(right)
            if not right and self._told(place, step, recorded):
                self.found.append((place, f"step '{step.stage}' is not what the recipe and the files lead to"))

    def extra(self, places: list[str]) -> None:
        """Name recorded steps that no plan leads to, unless their stage is named or uncertain already."""
        known = {(stage, key) for (stage, _), key in self.keys.items()}
        told = {(place, what.split("'")[1]) for place, what in self.found}
        for place in places:
            recorded = self.result.languages[place].steps if place in self.result.languages else self._trained(place)
            for ref, name in _refs(recorded).items():
                if ref[0] in self.changed or place in self.unsure or ref in known:
                    continue
                if (place, ref[0]) not in told:
                    self.found.append((place, f"step '{name}' is not one of the recipe's"))

    def _trained(self, name: str) -> Mapping[str, StepRecord]:
        return self.result.trainings[name].steps if name in self.result.trainings else {}

    def _certain(self, step: Step) -> bool:
        """Return whether all settings of a step are in the result; an index leaves settings of the search out."""
        settings = step.params.get("retriever", {})
        return step.stage in CERTAIN and settings.items() <= self.recipe.retriever.keyed.items()

    def _told(self, place: str, step: Step, recorded: Mapping[Ref, str]) -> bool:
        """Return whether a step that is not recorded is a contradiction, and go on with a key that may be right."""
        alike = [key for stage, key in recorded if stage == step.stage]
        if step.stage not in self.changed:
            if step.ref not in self.uncertain or not self.other_packages:
                return True
            self.unsure.add(place)
        if len(alike) == 1:
            self.keys[step.ref] = alike[0]
        return False

    def _candidates(self, step: Step, conventions: Mapping[str, Any]) -> list[str]:
        """Return the keys that each version of a step's stage leads to, today's first."""
        inputs = {role: (stage, self.keys[stage, key]) for role, (stage, key) in step.inputs.items()}
        params = step.params
        if self._certain(step) and "conventions" in params:
            recorded = {name: conventions.get(name) for name in params["conventions"]}
            params = {**params, "conventions": recorded}
        if "train" in inputs:
            params = {**params, "conventions": {**params["conventions"], "trained_by": inputs["train"][1]}}
        made_of = replace(step, inputs=inputs, params=params).made_of()
        return [key_of({**made_of, "version": version}) for version in range(VERSIONS[step.stage], 0, -1)]


def _recorded_by(plan: LanguagePlan) -> set[Ref]:
    """Return the steps of a language that its result records: those of its scores and groups, and the canaries."""
    by_ref = {step.ref: step for step in plan.steps}
    found: set[Ref] = set()
    ahead = [step.ref for step in (plan.evaluate, plan.groups, plan.canaries) if step]
    while ahead:
        ref = ahead.pop()
        if ref in by_ref and ref not in found:
            found.add(ref)
            ahead += by_ref[ref].inputs.values()
    return found


def of_another_commit(result: Result) -> bool:
    """Return whether a step of a result was made by another commit than this one, or by changed files of it."""
    here = git_state()
    made = [one.get("git") for one in result.environments.values()]
    return any(one is not None and (one.get("dirty") or one != here) for one in made)


def _other_packages(result: Result) -> str:
    """Return recorded packages that this machine has in another version, as text; empty if there is none."""
    packages = [one.get("packages", {}).items() for one in result.environments.values()]
    other = {
        f"{name} {version}"
        for items in packages
        for name, version in items
        if name != "mdrbench" and package_version(name) != version
    }
    return ", ".join(sorted(other))


def _in_order(
    plans: Mapping[str, LanguagePlan], training: Iterable[Step], name: str
) -> Iterator[tuple[str, list[Step]]]:
    """Yield steps so that those that are read come first: what is trained on, the training, what it was used for."""
    before: dict[str, list[Step]] = {}
    for lang, plan in plans.items():
        cut = next((i for i, step in enumerate(plan.steps) if "train" in step.inputs), len(plan.steps))
        before[lang] = plan.steps[:cut]
        yield lang, before[lang]
    yield name, [*training]
    for lang, plan in plans.items():
        yield lang, plan.steps[len(before[lang]) :]


def _refs(steps: Mapping[str, StepRecord]) -> dict[Ref, str]:
    """Return the recorded steps by stage and key, with the name that each has in the result."""
    return {(name.rpartition("/")[2], step.key): name for name, step in steps.items()}
