"""From the command line's words to plans, and from plans to result files."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from mdrbench import pipeline, progress, recipe, record, registry, results
from mdrbench.errors import MdrbenchError, StepError, UsageError
from mdrbench.languages import parse_langs
from mdrbench.layout import MiraclFolder
from mdrbench.plan import RecipePlan, plan_recipe
from mdrbench.results import Result
from mdrbench.store import Store


def open_dataset(name: str) -> MiraclFolder:
    """``--data``: the name of a packaged data set, else a folder."""
    if name in ("sample",):
        member = registry.load("datasets", name)
        return member.build(member.Config())
    member = registry.load("datasets", "local")
    return member.build(member.Config(path=Path(name)))


def plan_all(
    names: list[str], data: str, langs: str, split: str, overrides: list[str], store: Store
) -> list[RecipePlan]:
    """One plan a recipe; nothing is run."""
    loaded = [recipe.load(name, overrides) for name in dict.fromkeys(names)]
    by_name = Counter(one.name for one in loaded)
    if (twice := by_name.most_common(1)) and twice[0][1] > 1:
        raise UsageError(f"two of the recipes are called '{twice[0][0]}'", mend="give each a `name` of its own")
    dataset = open_dataset(data)
    languages = parse_langs(langs, dataset.languages())
    return [plan_recipe(one, dataset, languages, split, store, overrides) for one in loaded]


def run_plans(
    plans: list[RecipePlan], store: Store, results_root: Path, command: str, quiet: bool, executor_name: str = "local"
) -> tuple[list[tuple[Path, Result]], MdrbenchError | None]:
    """Run all plans together (shared steps once) and write a result for each that has a language to show.

    Returns:
        The written results, and the error to end with where a step failed: its own exit code tells the kind.
    """
    for plan in plans:
        record.target(plan, results_root)  # refuse before the work, not after
    steps = {step.ref: step for plan in plans for step in plan.steps()}
    targets = [step for plan in plans for step in plan.targets()]
    member = registry.load("executors", executor_name)
    executor = member.build(member.Config())
    planned = len(pipeline.needed(targets, steps, store)[0])
    with progress.listener(quiet, planned) as listen:
        outcome = pipeline.run(list(steps.values()), targets, store, executor, listen)
    written = []
    with ExitStack() as held:
        for step in targets:
            held.enter_context(store.locked(step.key, shared=True))
        for plan in plans:
            if any(step["evaluate"].ref in outcome.artifacts for step in plan.by_language.values()):
                path = record.write(plan, outcome.artifacts, results_root, command)
                written.append((path, results.read(path)))
    return written, _summary(outcome, steps)


def _summary(outcome: pipeline.Outcome, steps: dict) -> MdrbenchError | None:
    """One error for all failures, with the exit code of the first."""
    if not outcome.failures:
        return None
    first = next(iter(outcome.failures.values()))
    kind = type(first) if isinstance(first, MdrbenchError) else StepError
    scopes = sorted({steps[ref].scope for ref in outcome.failures} - {"all"})
    listed = "\n".join(f"  {text}" for text in dict.fromkeys(str(error) for error in outcome.failures.values()))
    return kind(
        f"no result for {', '.join(scopes) or 'the average'}:\n{listed}",
        mend="what is finished is kept; mend the above and run the same command again",
    )
