"""Plan a recipe: turn it and a list of languages into ordered steps with keys. Nothing is run here.

A step's key is the hash of its stage with its version, its parameters, the SHA-256 of the source files it reads and the
keys of the steps before it. Two steps with the same key are computed once, in whatever recipe they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mdrbench.core.errors import UsageError
from mdrbench.core.store import Store
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures
from mdrbench.pipeline.plan.negatives import canaries_step
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.pipeline.plan.steps import Ref, Step, step
from mdrbench.pipeline.plan.training import check_batches, plan_training
from mdrbench.recipe import Recipe

BYTES_PER_SCORED_TOPIC = 35
"""Measured on wiki16's gzipped topic files; for the estimates of a plan only."""


@dataclass(frozen=True)
class LanguagePlan:
    """The steps of a language in an order in which they can run, and the steps that its result is read from."""

    steps: list[Step]
    run: Step
    evaluate: Step
    groups: Step | None = None
    canaries: Step | None = None


@dataclass(frozen=True)
class RecipePlan:
    """The steps of one recipe, and the steps that its result is read from."""

    recipe: Recipe
    overrides: list[str]
    dataset: MiraclFolder
    split: str
    languages: list[str]
    by_language: dict[str, LanguagePlan]
    average: Step
    training: list[Step]

    def steps(self) -> list[Step]:
        """Return all steps in an order in which they can run, the average last."""
        planned = [*(step for plan in self.by_language.values() for step in plan.steps), *self.training, self.average]
        by_ref = {step.ref: step for step in planned}
        ordered: dict[Ref, Step] = {}

        def visit(step: Step) -> None:
            if step.ref not in ordered:
                for ref in step.inputs.values():
                    visit(by_ref[ref])
                ordered[step.ref] = step

        for each in planned:
            visit(each)
        return list(ordered.values())

    def targets(self) -> list[Step]:
        """Return the steps that a result is written from: runs, scores and the average."""
        plans = self.by_language.values()
        return [*(step for plan in plans for step in (plan.run, plan.evaluate, plan.groups) if step), self.average]

    def wanted(self) -> list[Step]:
        """Return all that a run makes: its targets, and the steps that try the judge."""
        return [*self.targets(), *self.canaries().values()]

    def trained_embeddings(self) -> frozenset[Ref]:
        """Return the indexes that a trained encoder made, and the structures over them."""
        indexes = {step.ref for step in self.steps() if step.stage == "index" and "train" in step.inputs}
        over = {step.ref for step in self.steps() if step.stage == "structure" and step.inputs["index"] in indexes}
        return frozenset(indexes | over)

    def canaries(self) -> dict[str, Step]:
        """Return language -> the step that tries the judge; empty if there is no judge."""
        return {lang: plan.canaries for lang, plan in self.by_language.items() if plan.canaries}


def plan_recipe(
    recipe: Recipe, dataset: MiraclFolder, languages: list[str], split: str, store: Store, overrides: list[str]
) -> RecipePlan:
    """Plan a recipe.

    Raises:
        DataError: a source file is missing, or the queries and their positives cannot fill a batch.
        UsageError: the recipe makes hard negatives but trains nothing, or its retriever cannot be trained.
    """
    planners = {lang: Planner(dataset, lang, store) for lang in languages}
    training: list[Step] = []
    groups: dict[str, Step] = {}
    if recipe.training is not None:
        groups, training = plan_training(recipe, recipe.training, planners)
        check_batches(recipe.training, planners)
    elif recipe.negatives is not None:
        raise UsageError(
            f"'{recipe.name}' makes hard negatives but trains nothing on them",
            mend=f"give it a section `training`, or only make them: `mdrbench mine {recipe.name}`",
        )
    train = training[-1] if training else None
    by_language = {
        lang: plan_language(recipe, planner, split, train, groups.get(lang)) for lang, planner in planners.items()
    }
    average = step(
        "average",
        "all",
        dataset,
        {"split": split, **_evaluation(recipe)},
        inputs={lang: plan.evaluate.ref for lang, plan in by_language.items()},
    )
    return RecipePlan(recipe, overrides, dataset, split, languages, by_language, average, training)


def _evaluation(recipe: Recipe) -> dict[str, Any]:
    return {**recipe.evaluation.model_dump(mode="json"), "depth": measures.DEPTH, "seed": recipe.seed}


def plan_language(
    recipe: Recipe, planner: Planner, split: str, train: Step | None, groups: Step | None
) -> LanguagePlan:
    """Plan the ranking and the evaluation of one language after what its planner holds already.

    Args:
        train: the step that trains the retriever's encoder, if one does.
        groups: the step with the language's finished groups, if it has negatives.
    """
    canaries = canaries_step(recipe, planner)
    run = planner.ranking(recipe.retriever, split, recipe.search.depth, train=train)
    evaluate = planner.add(
        "evaluate",
        {"split": split, **_evaluation(recipe)},
        sources=planner.split_sources(split),
        inputs={"run": run.ref},
        size=planner.topic_count(split) * BYTES_PER_SCORED_TOPIC,
    )
    return LanguagePlan(list(planner.steps.values()), run, evaluate, groups, canaries)
