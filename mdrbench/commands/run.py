"""From the command line's words to plans, and from plans to result files."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mdrbench import recipe, results
from mdrbench.core import console, registry
from mdrbench.core.errors import MdrbenchError, StepError, UsageError
from mdrbench.core.languages import parse_langs
from mdrbench.core.store import Store
from mdrbench.data.access import available, check_final, open_dataset, require
from mdrbench.data.downloads import DownloadedFolder
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.hub import downloads
from mdrbench.pipeline import progress, runner, write_result
from mdrbench.pipeline.plan import RecipePlan, plan_recipe
from mdrbench.pipeline.plan.steps import Step
from mdrbench.recipe import Recipe
from mdrbench.results import Result


@dataclass(frozen=True)
class Wanted:
    """What a command works on: checked recipes, the data set, languages that are on disk."""

    recipes: list[Recipe]
    dataset: MiraclFolder
    languages: list[str]


def want(
    names: list[str],
    data: str,
    langs: str,
    splits: list[str],
    overrides: list[str],
    *,
    fetch: bool = False,
    quiet: bool = False,
) -> Wanted:
    """Load recipes and data set; with ``fetch`` what is lacking of the data is downloaded, else that is an error."""
    loaded = [recipe.load(name, overrides) for name in dict.fromkeys(names)]
    by_name = Counter(one.name for one in loaded)
    if (twice := by_name.most_common(1)) and twice[0][1] > 1:
        raise UsageError(f"two of the recipes are called '{twice[0][0]}'", mend="give each a `name` of its own")
    dataset = open_dataset(data)
    languages = parse_langs(langs, available(dataset))
    if fetch and isinstance(dataset, DownloadedFolder):
        with downloads.listener(quiet) as listen:
            dataset.fetch(languages, splits, listen)
    for split in splits:
        require(dataset, languages, split)
    return Wanted(loaded, dataset, languages)


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
    """One plan a recipe; nothing is run.

    With ``fetch`` what the data set lacks, and the models of the recipes, are downloaded first; without it that is an
    error. ``quiet`` downloads silently.
    """
    if fetch:
        check_final(split, final)
    wanted = want(names, data, langs, [split], overrides, fetch=fetch, quiet=quiet)
    if fetch:
        for one in wanted.recipes:
            registry.build("retrievers", one.retriever).prepare(console.say)
    return [plan_recipe(one, wanted.dataset, wanted.languages, split, store, overrides) for one in wanted.recipes]


def prepare_negatives(one: Recipe) -> None:
    """Fetch and check what the negatives of a recipe need: models, the judge's endpoint, the generator's.

    Raises:
        SetupError: the judge or the generator cannot work here; what the choices are.
    """
    section = one.negatives
    if section is None:
        return
    registry.build("judges", section.judge).prepare(console.say)
    registry.build("generation", section.generation).prepare(console.say)
    miner = registry.build("mining", section.mining)
    if (retriever := miner.retriever(section.retriever or one.retriever)) is not None:
        registry.build("retrievers", retriever).prepare(console.say)


def run_steps(
    steps: list[Step], targets: list[Step], store: Store, quiet: bool, executor_name: str = "local"
) -> runner.Outcome:
    """Make the targets on an executor, with progress on the terminal."""
    by_ref = {step.ref: step for step in steps}
    member = registry.load("executors", executor_name)
    executor = member.build(member.Config())
    planned = len(runner.needed(targets, by_ref, store)[0])
    with progress.listener(quiet, planned) as listen:
        return runner.run(list(by_ref.values()), targets, store, executor, listen)


def run_plans(
    plans: list[RecipePlan], store: Store, results_root: Path, command: str, quiet: bool, executor_name: str = "local"
) -> tuple[list[tuple[Path, Result]], MdrbenchError | None]:
    """Run all plans together (shared steps once) and write a result for each that has a language to show.

    Returns:
        The written results, and the error to end with where a step failed: its own exit code tells the kind.
    """
    for plan in plans:
        write_result.target(plan, results_root)  # refuse before the work, not after
    steps = [step for plan in plans for step in plan.steps()]
    targets = [step for plan in plans for step in plan.targets()]
    outcome = run_steps(steps, targets, store, quiet, executor_name)
    written = []
    with ExitStack() as held:
        for step in targets:
            held.enter_context(store.locked(step.key, shared=True))
        for plan in plans:
            _add_training(plan, outcome, store, held)
            if any(one.evaluate.ref in outcome.artifacts for one in plan.by_language.values()):
                path = write_result.write(plan, outcome.artifacts, results_root, command)
                written.append((path, results.read(path)))
    return written, failure(outcome, steps)


def _add_training(plan: RecipePlan, outcome: runner.Outcome, store: Store, held: ExitStack) -> None:
    """The artifacts of a plan's training where they are still there: nothing is trained anew for their record."""
    for step in plan.training:
        held.enter_context(store.locked(step.key, shared=True))
        if found := store.find(*step.ref):
            outcome.artifacts[step.ref] = found


def failure(outcome: runner.Outcome, steps: list[Step]) -> MdrbenchError | None:
    """One error for all failures, with the exit code of the first."""
    if not outcome.failures:
        return None
    first = next(iter(outcome.failures.values()))
    kind = type(first) if isinstance(first, MdrbenchError) else StepError
    scopes = sorted({step.scope for step in steps if step.ref in outcome.failures} - {"all"})
    listed = "\n".join(f"  {text}" for text in dict.fromkeys(str(error) for error in outcome.failures.values()))
    return kind(
        f"no result for {', '.join(scopes) or 'the average'}:\n{listed}",
        mend="what is finished is kept; mend the above and run the same command again",
    )
