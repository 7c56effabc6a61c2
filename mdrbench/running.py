"""From the command line's words to plans, and from plans to result files."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, runtime_checkable

from mdrbench import downloads, output, pipeline, progress, recipe, record, registry, results
from mdrbench.errors import DataError, MdrbenchError, StepError, UsageError
from mdrbench.languages import parse_langs
from mdrbench.layout import MiraclFolder
from mdrbench.plan import RecipePlan, plan_recipe
from mdrbench.results import Result
from mdrbench.store import Store


@runtime_checkable
class Fetchable(Protocol):
    """A data set that is downloaded, such as :mod:`mdrbench.datasets.miracl`."""

    def fetched(self, split: str | None = None) -> list[str]: ...

    def missing(self, langs: list[str], splits: list[str] | None = None) -> list[str]: ...

    def fetch(
        self, langs: list[str], splits: list[str] | None = None, listen: downloads.Listen = ..., jobs: int = 4
    ) -> None: ...


def open_dataset(name: str) -> MiraclFolder:
    """``--data``: the name of a data set that is packaged or downloaded, else a folder."""
    if name in ("miracl", "sample"):
        member = registry.load("datasets", name)
        return member.build(member.Config())
    member = registry.load("datasets", "local")
    return member.build(member.Config(path=Path(name)))


def available(dataset: MiraclFolder) -> list[str]:
    """What ``--langs`` may name: the benchmark languages of a data set, then its surprise languages."""
    return [*dataset.languages(), *dataset.surprise()]


def require(dataset: MiraclFolder, languages: list[str], split: str) -> None:
    """Raise a DataError that names the command to fetch what a data set lacks."""
    if not isinstance(dataset, Fetchable):
        return
    if lacking := [lang for lang in languages if dataset.missing([lang], [split])]:
        raise DataError(
            f"not fetched: {dataset.name} in {', '.join(lacking)} ({split})",
            where=str(dataset.root),
            mend=f"`mdrbench data fetch --langs {','.join(lacking)} --split {split}`",
        )


def at_hand(dataset: MiraclFolder, langs: str | None, split: str) -> list[str]:
    """The languages asked for, all of them on disk; by default those that are there."""
    if langs:
        languages = parse_langs(langs, available(dataset))
    elif isinstance(dataset, Fetchable):
        languages = dataset.fetched(split) or dataset.languages()
    else:
        languages = available(dataset)
    require(dataset, languages, split)
    return languages


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
) -> list[RecipePlan]:
    """One plan a recipe; nothing is run.

    With ``fetch`` what the data set lacks, and the models of the recipes, are downloaded first; without it that is an
    error. ``quiet`` downloads silently.
    """
    loaded = [recipe.load(name, overrides) for name in dict.fromkeys(names)]
    by_name = Counter(one.name for one in loaded)
    if (twice := by_name.most_common(1)) and twice[0][1] > 1:
        raise UsageError(f"two of the recipes are called '{twice[0][0]}'", mend="give each a `name` of its own")
    dataset = open_dataset(data)
    languages = parse_langs(langs, available(dataset))
    if fetch and isinstance(dataset, Fetchable):
        with downloads.listener(quiet) as listen:
            dataset.fetch(languages, [split], listen)
    require(dataset, languages, split)
    if fetch:
        for one in loaded:
            registry.build("retrievers", one.retriever).prepare(output.say)
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
