"""Recipe x languages -> ordered steps with keys. Nothing heavy is imported and nothing is run here.

A step's key is the hash of its stage (with that stage's VERSION), its parameters, the SHA-256 of the source files it
reads and the keys of the steps before it: whatever has the same key is never computed twice, in any recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mdrbench.core.errors import UsageError
from mdrbench.core.store import Store
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.pipeline.plan.steps import Step, step
from mdrbench.pipeline.plan.training import plan_training
from mdrbench.recipe import Recipe

BYTES_PER_SCORED_TOPIC = 35
"""Measured on wiki16's gzipped topic files; for the estimates of a plan only."""


@dataclass(frozen=True)
class LanguagePlan:
    """The steps of a language, in an order in which they can run; those whose artifacts a result is read from."""

    steps: list[Step]
    run: Step
    evaluate: Step
    groups: Step | None = None


@dataclass(frozen=True)
class RecipePlan:
    """The steps of one recipe, in an order in which they can run, and which of them its result is read from."""

    recipe: Recipe
    overrides: list[str]
    dataset: MiraclFolder
    split: str
    languages: list[str]
    by_language: dict[str, LanguagePlan]
    average: Step
    training: list[Step]

    def steps(self) -> list[Step]:
        """All steps in an order in which they can run, the average last."""
        planned = [*(one for plan in self.by_language.values() for one in plan.steps), *self.training, self.average]
        by_ref = {one.ref: one for one in planned}
        ordered: dict[tuple[str, str], Step] = {}

        def visit(one: Step) -> None:
            if one.ref not in ordered:
                for ref in one.inputs.values():
                    visit(by_ref[ref])
                ordered[one.ref] = one

        for one in planned:
            visit(one)
        return list(ordered.values())

    def targets(self) -> list[Step]:
        """What a result is written from: runs, scores and the average."""
        wanted = [one for plan in self.by_language.values() for one in (plan.run, plan.evaluate, plan.groups) if one]
        return [*wanted, self.average]


def plan_recipe(
    recipe: Recipe, dataset: MiraclFolder, languages: list[str], split: str, store: Store, overrides: list[str]
) -> RecipePlan:
    """Plan a recipe.

    Raises:
        DataError: a source file is missing.
        UsageError: the recipe makes hard negatives that nothing is trained on, or trains what cannot be trained.
    """
    planners = {lang: Planner(dataset, lang, store) for lang in languages}
    training: list[Step] = []
    groups: dict[str, Step] = {}
    if recipe.training is not None:
        groups, training = plan_training(recipe, planners)
    elif recipe.negatives is not None:
        raise UsageError(
            f"'{recipe.name}' makes hard negatives and trains nothing on them",
            mend=f"give it a section `training`, or make them alone: `mdrbench mine {recipe.name}`",
        )
    train = training[-1] if training else None
    by_language = {
        lang: _plan_language(recipe, planner, split, train, groups.get(lang)) for lang, planner in planners.items()
    }
    average = step(
        stage="average",
        scope="all",
        params={"split": split, **_evaluation(recipe)},
        inputs={lang: plan.evaluate.ref for lang, plan in by_language.items()},
    )
    return RecipePlan(recipe, overrides, dataset, split, languages, by_language, average, training)


def _evaluation(recipe: Recipe) -> dict[str, Any]:
    return {**recipe.evaluation.model_dump(mode="json"), "depth": measures.DEPTH, "seed": recipe.seed}


def _plan_language(
    recipe: Recipe, planner: Planner, split: str, train: Step | None, groups: Step | None
) -> LanguagePlan:
    run = planner.ranking(recipe.retriever, split, recipe.search.depth, train=train)
    evaluate = planner.add(
        stage="evaluate",
        params={"split": split, **_evaluation(recipe)},
        sources=planner.split_sources(split),
        inputs={"run": run.ref},
        size=planner.topic_count(split) * BYTES_PER_SCORED_TOPIC,
    )
    return LanguagePlan(list(planner.steps.values()), run, evaluate, groups)
