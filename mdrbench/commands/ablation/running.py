"""Run the complete recipe and its variants together, so that shared steps run once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdrbench import recipe
from mdrbench.commands.ablation import parts as ablation_parts
from mdrbench.commands.ablation import variants as ablation
from mdrbench.commands.ablation.variants import Choice, Variant
from mdrbench.commands.run import ChosenExecutor, load_inputs, prepare_negatives, run_plans
from mdrbench.core import console
from mdrbench.core.errors import DataError, MdrbenchError, UsageError
from mdrbench.core.secrets import published
from mdrbench.core.store import Store, key_of
from mdrbench.pipeline import runner, write_result
from mdrbench.pipeline.plan import RecipePlan, plan_recipe
from mdrbench.results import ablations as ablation_results
from mdrbench.results import effects as ablation_effects
from mdrbench.results import identity
from mdrbench.results.ablations import Ablation


@dataclass(frozen=True)
class Planned:
    """The plans of the complete recipe (first) and of each variant, one plan per seed. Nothing has run."""

    choice: Choice
    plans: list[tuple[Variant, list[RecipePlan]]]

    @property
    def complete(self) -> list[RecipePlan]:
        """The plans of the complete recipe."""
        return self.plans[0][1]

    def all(self) -> list[RecipePlan]:
        """Return each plan once. A sweep over seeds may have the same plan as a repetition."""
        return list({plan.recipe.digest: plan for _, plans in self.plans for plan in plans}.values())


@dataclass
class Ablated:
    """The written ablation. ``failed``: label of a variant -> languages without scores."""

    path: Path
    found: Ablation
    failed: dict[str, list[str]] = field(default_factory=dict)


def plan(
    choice: Choice,
    data: str,
    langs: str,
    split: str,
    store: Store,
    *,
    seeds: int = 1,
    fetch: bool = False,
    quiet: bool = False,
) -> Planned:
    """Plan the complete recipe and all variants on the same data.

    With ``fetch``, missing data and models are fetched first, and judges and generators are checked.

    Raises:
        UsageError, DataError, SetupError: as for a run of each variant.
    """
    inputs = load_inputs([choice.name], data, langs, split, choice.overrides, fetch=fetch, quiet=quiet)
    plans, prepared = [], set()
    for variant in (choice.complete, *choice.variants):
        needs = key_of(variant.recipe.model_dump(mode="json", include={"retriever", "negatives"}))
        if fetch and needs not in prepared:
            variant.recipe.retriever.build().prepare(console.say)
            prepare_negatives(variant.recipe)
            prepared.add(needs)
        repeats = [
            plan_recipe(recipe.load(choice.name, items), inputs.dataset, inputs.languages, split, store, items)
            for items in ablation.seeded(variant, choice.overrides, seeds)
        ]
        plans.append((variant, repeats))
    return Planned(choice, plans)


def run(
    planned: Planned,
    store: Store,
    results_root: Path,
    command: str,
    *,
    quiet: bool = False,
    executor: ChosenExecutor = "local",
    keep_embeddings: bool = True,
) -> tuple[Ablated, MdrbenchError | None]:
    """Run all plans, record each result as usual, and store the differences of the variants.

    Returns:
        The ablation, and the error to raise after showing it, or None if no step failed.

    Raises:
        UsageError: a stored ablation would lose variants.
        MdrbenchError: the complete recipe failed, so there is nothing to compare with.
    """
    draft = _draft(planned, results_root, command)
    path = ablation_results.path_of(write_result.target(planned.complete[0], results_root)[0])
    _earlier(path, draft)  # refuse before the work, not after
    failed = {}
    with store.in_use(step.key for plan in planned.all() for step in plan.steps()):
        _, error = run_plans(planned.all(), store, results_root, command, quiet, executor, keep_embeddings)
        for variant, plans in planned.plans:
            lacking = {lang for one in plans for lang in one.languages if not _done(one, lang, store)}
            if lacking:
                failed[variant.label] = [lang for lang in draft.languages if lang in lacking]
    if failed.pop(planned.choice.complete.label, None):
        raise error or DataError("The complete recipe has no scores.", mend="run the same command again")
    finished = [v for v in draft.variants if v.label not in failed]
    found = draft.model_copy(update={"variants": finished, "failed": [*failed]})
    store_variants(path, found, results_root)
    return Ablated(path, ablation_results.read(path), failed), error


def store_variants(path: Path, found: Ablation, results_root: Path) -> None:
    """Write an ablation with the variants that are stored already; ablations side by side lose none."""
    with identity.writing(results_root, found.dataset):
        if (earlier := _earlier(path, found)) is not None:
            found = ablation_results.merged(earlier, found)
        ablation_effects.derive(found, path.parent.parent)
        ablation_results.write(path, found)


def _done(plan: RecipePlan, lang: str, store: Store) -> bool:
    return store.find(*plan.by_language[lang].evaluate.ref) is not None


def _draft(planned: Planned, root: Path, command: str) -> Ablation:
    """Return the ablation without its numbers."""
    choice, first = planned.choice, planned.complete[0]
    runs = {variant.label: [_seed_run(plan, root) for plan in plans] for variant, plans in planned.plans}
    return Ablation(
        dataset=first.dataset.name,
        split=first.split,
        recipe=choice.complete.recipe.name,
        summary=choice.complete.recipe.summary,
        overrides=published(choice.overrides),
        languages=first.languages,
        measures=list(first.recipe.evaluation.measures),
        seeds=len(planned.complete),
        complete=ablation_results.Complete(names=_names(choice.complete), runs=runs[choice.complete.label]),
        variants=[
            ablation_results.Variant(names=_names(one), overrides=published(one.overrides), runs=runs[one.label])
            for one in choice.variants
        ],
        absent=[
            ablation_results.Absent(part=slug, label=ablation_parts.PARTS[slug].label, why=why)
            for slug, why in choice.absent.items()
        ],
        command=command,
    )


def _seed_run(plan: RecipePlan, root: Path) -> ablation_results.SeedRun:
    path, _ = write_result.target(plan, root)
    result = path.relative_to(root / plan.dataset.name).as_posix()
    return ablation_results.SeedRun(
        seed=plan.recipe.seed, overrides=published(plan.overrides), digest=plan.recipe.digest, result=result
    )


def _names(variant: Variant) -> list[ablation_results.Name]:
    return [
        ablation_results.Name(label=n.label, kind=n.kind, parts=list(n.parts), key=n.key, value=n.value)
        for n in variant.names
    ]


def _earlier(path: Path, draft: Ablation) -> Ablation | None:
    """Return the stored ablation whose variants are kept; None if there is none or the new one replaces it.

    Raises:
        UsageError: it is for another version of the recipe, other languages or seeds, and has variants that the
            new one lacks.
    """
    if not path.exists():
        return None
    earlier = ablation_results.read(path)
    if earlier.sealed and earlier.identity() == draft.identity():
        return earlier
    names = (draft.complete.names, *(variant.names for variant in draft.variants))
    new = {name.label for group in names for name in group}
    lost = [one.label for one in earlier.variants if not new & {name.label for name in one.names}]
    if lost:
        raise UsageError(
            f"{path} holds {len(earlier.variants)} variants of another version of '{draft.recipe}', of other languages "
            f"or seeds, or without a seal; this run would drop: {', '.join(lost)}",
            mend="ask for all of them (--all), remove the file, or write elsewhere with --results DIR",
        )
    return None


def explain(planned: Planned, store: Store) -> list[dict[str, Any]]:
    """What each variant changes, and its steps: hit (in the store), shared (made for one above), miss, not needed."""
    made: set[tuple[str, str]] = set()
    rows = []
    for variant, plans in planned.plans:
        steps = list(_states(plans, made, store))
        made |= {(row["stage"], row["key"]) for row in steps if row["state"] == "miss"}
        rows.append(
            {
                "variant": variant.label,
                "names": [name.label for name in variant.names],
                "overrides": variant.overrides,
                "digests": [plan.recipe.digest for plan in plans],
                "steps": steps,
            }
        )
    return rows


def _states(plans: list[RecipePlan], made: set[tuple[str, str]], store: Store) -> Iterator[dict[str, Any]]:
    by_ref = {step.ref: step for plan in plans for step in plan.steps()}
    targets = [step for plan in plans for step in plan.wanted()]
    making = {step.ref for step in runner.needed(targets, by_ref, store)[0]}
    for ref, step in by_ref.items():
        state = (
            "hit" if store.find(*ref) else "not needed" if ref not in making else "shared" if ref in made else "miss"
        )
        yield {"scope": step.scope, "stage": step.stage, "key": step.key, "state": state}
