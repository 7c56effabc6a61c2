"""Plan recipes, run the plans, and write result files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mdrbench import recipe, results
from mdrbench.core import console
from mdrbench.core.errors import MdrbenchError, StepError, UsageError
from mdrbench.core.members import Member
from mdrbench.core.store import Store
from mdrbench.data.access import check_final, check_searchable, choose_languages, open_dataset, require
from mdrbench.data.downloads import DownloadedFolder
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.hub import downloads
from mdrbench.negatives import canaries
from mdrbench.pipeline import costs, progress, runner, write_result
from mdrbench.pipeline.plan import RecipePlan, plan_recipe
from mdrbench.pipeline.plan.negatives import SPLIT as TRAIN
from mdrbench.pipeline.plan.steps import Ref, Step
from mdrbench.recipe import Recipe
from mdrbench.recipe.schema import Training
from mdrbench.results import Result

ChosenExecutor = str | Mapping[str, Any]
"""An executor's name, or a mapping of ``name`` and settings."""


@dataclass(frozen=True)
class Inputs:
    """What a command works on: checked recipes, the data set, and languages that are on disk."""

    recipes: list[Recipe]
    dataset: MiraclFolder
    languages: list[str]


def load_inputs(
    names: list[str],
    data: str,
    langs: str,
    split: str,
    overrides: list[str],
    *,
    fetch: bool = False,
    quiet: bool = False,
    search: bool = True,
) -> Inputs:
    """Load recipes and open the data set.

    Args:
        split: a split that every language needs; if a recipe trains, they need training topics too.
        fetch: download what is missing of the data set.
        quiet: hide the progress of downloads.
        search: whether the corpora are searched. If not, they may hold judged passages alone, and nothing is trained.

    Raises:
        UsageError: a recipe or a language does not exist, two recipes have the same name, or the data set cannot be
            searched.
        DataError: the data set is malformed, or a part is missing and ``fetch`` is off.
    """
    loaded = [recipe.load(name, overrides) for name in dict.fromkeys(names)]
    counts = Counter(recipe.name for recipe in loaded)
    if (most_common := counts.most_common(1)) and most_common[0][1] > 1:
        raise UsageError(f"Two of the recipes are called '{most_common[0][0]}'.", mend="give each its own `name`")
    trains = search and any(recipe.training is not None for recipe in loaded)
    splits = list(dict.fromkeys([split, TRAIN] if trains else [split]))
    dataset = open_dataset(data)
    if search:
        check_searchable(dataset)
    languages = choose_languages(dataset, langs, splits)
    if fetch and isinstance(dataset, DownloadedFolder):
        with downloads.listener(quiet) as listen:
            dataset.fetch(languages, splits, listen)
    for needed in splits:
        require(dataset, languages, needed)
    return Inputs(loaded, dataset, languages)


def plan_all(
    names: list[str],
    data: str,
    langs: str,
    split: str,
    overrides: list[str],
    store: Store,
    *,
    fetch: bool = False,
    quiet: bool = False,
    final: bool = False,
) -> list[RecipePlan]:
    """Return a plan for each recipe. Nothing is run.

    Args:
        fetch: download what is missing of the data set, and the models of the recipes.
        quiet: hide the progress of downloads.
        final: allow a split that is kept for final figures.

    Raises:
        UsageError: see :func:`load_inputs`.
        DataError: see :func:`load_inputs`.
    """
    if fetch:
        check_final(split, final)
    inputs = load_inputs(names, data, langs, split, overrides, fetch=fetch, quiet=quiet)
    if fetch:
        for loaded in inputs.recipes:
            loaded.retriever.build().prepare(console.say)
            if loaded.training is not None:
                prepare_training(loaded.training)
    plans = [
        plan_recipe(loaded, inputs.dataset, inputs.languages, split, store, overrides) for loaded in inputs.recipes
    ]
    for plan in plans if fetch else ():
        if judges_or_generates(plan.steps(), plan.targets(), store):
            prepare_negatives(plan.recipe)
    return plans


def prepare_training(training: Training) -> None:
    """Fetch and check what a training needs beside its encoder: the models of domains and teacher."""
    training.domains.build().prepare(console.say)
    if training.teacher is not None:
        training.teacher.build().prepare(console.say)


def prepare_negatives(recipe: Recipe) -> None:
    """Fetch and check what the negatives of a recipe need: models, and the endpoints of judge and generator.

    Raises:
        SetupError: the judge or the generator cannot work on this machine. The mend lists the choices.
    """
    section = recipe.negatives
    if section is None:
        return
    section.judge.build().prepare(console.say)
    section.generation.build().prepare(console.say)
    if (retriever := section.mining.build().retriever(recipe.mined_retriever)) is not None:
        retriever.build().prepare(console.say)


@dataclass(frozen=True)
class Trial:
    """The trial of a recipe's judge: ``canaries`` by language, and all steps and targets of the run.

    Attributes:
        canaries: language -> the step that asks the judge about known pairs.
    """

    recipe: Recipe
    canaries: dict[str, Step]
    steps: list[Step]
    targets: list[Step]

    def is_due(self, store: Store) -> bool:
        """Whether the judge will be asked, or was tried before."""
        tried = any(store.find(*step.ref) for step in self.canaries.values())
        return tried or judges_or_generates(self.steps, self.targets, store)


def judges_or_generates(steps: list[Step], targets: list[Step], store: Store) -> bool:
    """Whether a judge or a generator has to be asked for the targets: their artifacts are not in the cache yet."""
    to_make, _ = runner.needed(targets, {step.ref: step for step in steps}, store)
    return any(step.members.keys() & {"judge", "generator"} for step in to_make)


def try_judges(
    trials: list[Trial], store: Store, quiet: bool, executor: ChosenExecutor = "local"
) -> tuple[runner.Outcome, MdrbenchError | None]:
    """Try the judges on known pairs before anything is encoded (:mod:`mdrbench.negatives.canaries`).

    Returns:
        The artifacts of the trials, and the error that stops the run: a trial failed, or a judge is below the
        recipe's ``negatives.canaries.threshold`` and ``below`` is ``stop``.
    """
    due = [trial for trial in trials if trial.canaries and trial.is_due(store)]
    if not due:
        return runner.Outcome(), None
    steps = [step for trial in due for step in trial.steps]
    outcome = run_steps(steps, [step for trial in due for step in trial.canaries.values()], store, quiet, executor)
    if error := failure(outcome, steps):
        return outcome, error
    for trial in due:
        assert trial.recipe.negatives is not None
        settings = trial.recipe.negatives.canaries
        facts = {lang: outcome.artifacts[step.ref].facts for lang, step in trial.canaries.items()}
        refusal = canaries.refusal(canaries.decide(facts, settings.threshold), settings.threshold)
        if refusal and settings.below == "stop":
            return outcome, refusal
        if refusal:
            console.say(f"{trial.recipe.name}: {refusal.message}; going on (negatives.canaries.below)")
    return outcome, None


def chosen_name(chosen: ChosenExecutor) -> str:
    """Return the name of an executor."""
    return chosen if isinstance(chosen, str) else str(chosen["name"])


def build_executor(chosen: ChosenExecutor) -> runner.Executor:
    """Build an executor.

    Raises:
        UsageError: there is no such executor, or it does not have such a setting.
    """
    settings = {"name": chosen} if isinstance(chosen, str) else dict(chosen)
    try:
        executor: runner.Executor = Member.of("executors", settings).build()
    except ValidationError as error:
        setting = error.errors()[0]["loc"][0]
        raise UsageError(
            f"the executor '{settings['name']}' has no setting '{setting}'",
            mend="`--workers` is for local and ray, `--queue` for queue",
        ) from None
    return executor


def run_steps(
    steps: list[Step],
    targets: list[Step],
    store: Store,
    quiet: bool,
    executor: ChosenExecutor = "local",
    passing: frozenset[Ref] = frozenset(),
) -> runner.Outcome:
    """Make the targets on an executor and show progress on the terminal; ``passing``: see :func:`runner.run`."""
    listener = partial(progress.listener, quiet=quiet)
    return runner.run(steps, targets, store, build_executor(executor), listener, passing)


def run_plans(
    plans: list[RecipePlan],
    store: Store,
    results_root: Path,
    command: str,
    quiet: bool,
    executor: ChosenExecutor = "local",
    keep_embeddings: bool = True,
) -> tuple[list[tuple[Path, Result]], MdrbenchError | None]:
    """Run all plans together, shared steps once, and write a result for each plan with a finished language.

    Args:
        keep_embeddings: whether the embeddings of trained encoders stay in the cache after they were searched. Those of
            encoders that no recipe trained always stay: recipes share them.

    Returns:
        The written results, and the error to raise after showing them, or None if no step failed.
    """
    for plan in plans:
        write_result.target(plan, results_root)  # refuse before the work starts
    _refuse_what_does_not_fit(plans, store, here=chosen_name(executor) == "local")
    steps = [step for plan in plans for step in plan.steps()]
    targets = [step for plan in plans for step in plan.targets()]
    written = []
    trials = [Trial(plan.recipe, plan.canaries(), plan.steps(), plan.targets()) for plan in plans]
    with store.in_use(step.key for step in steps):
        tried, error = try_judges(trials, store, quiet, executor)
        if error:
            return [], error
        passing = frozenset[Ref]() if keep_embeddings else frozenset().union(*(p.trained_embeddings() for p in plans))
        outcome = run_steps(steps, targets, store, quiet, executor, passing)
        outcome.artifacts |= tried.artifacts
        for plan in plans:
            _add_training(plan, outcome, store)
            if any(language.evaluate.ref in outcome.artifacts for language in plan.by_language.values()):
                path = write_result.write(plan, outcome.artifacts, results_root, command)
                written.append((path, results.read(path)))
    return written, failure(outcome, steps)


def shortages_of(plans: list[RecipePlan], store: Store) -> list[costs.Shortage]:
    """Return what the plans need and this machine does not have (:func:`mdrbench.pipeline.costs.shortages`)."""
    steps = {step.ref: step for plan in plans for step in plan.steps()}
    to_make, _ = runner.needed([step for plan in plans for step in plan.wanted()], steps, store)
    return costs.shortages(costs.Costs(steps.values(), store), to_make)


def _refuse_what_does_not_fit(plans: list[RecipePlan], store: Store, *, here: bool) -> None:
    """Raise the first shortage of memory if this machine does the work; say all others, which are estimates."""
    for shortage in shortages_of(plans, store):
        if shortage.certain and here:
            raise shortage.error
        console.say(f"note: {shortage.error}")


def _add_training(plan: RecipePlan, outcome: runner.Outcome, store: Store) -> None:
    """Add the artifacts of a plan's training if they are in the cache. Nothing is trained again for the record."""
    for step in plan.training:
        if found := store.find(*step.ref):
            outcome.artifacts[step.ref] = found


def failure(outcome: runner.Outcome, steps: list[Step]) -> MdrbenchError | None:
    """Return one error for all failures, with the exit code of the first, or None."""
    if not outcome.failures:
        return None
    first = next(iter(outcome.failures.values()))
    kind = type(first) if isinstance(first, MdrbenchError) else StepError
    scopes = sorted({step.scope for step in steps if step.ref in outcome.failures} - {"all"})
    listed = "\n".join(f"  {text}" for text in dict.fromkeys(str(error) for error in outcome.failures.values()))
    return kind(
        f"There is no result for {', '.join(scopes) or 'the average'}:\n{listed}",
        mend="fix the errors above and run the same command again; finished steps are kept",
    )
