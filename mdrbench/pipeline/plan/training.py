"""The steps that train a recipe's encoder: groups of every language, domains, training."""

from __future__ import annotations

from typing import Any

from mdrbench.core import registry
from mdrbench.core.errors import UsageError
from mdrbench.pipeline.plan.negatives import SPLIT, groups_step
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.pipeline.plan.steps import Step, step
from mdrbench.recipe import Recipe
from mdrbench.training.settings import RUN_ONLY, Settings


def plan_training(recipe: Recipe, planners: dict[str, Planner]) -> tuple[dict[str, Step], list[Step]]:
    """Plan the training of a recipe on all languages together; the steps of each language go to its planner.

    Returns:
        Language -> the step with its finished groups; the steps over all languages, training last.

    Raises:
        UsageError: the recipe's retriever is not a dense one.
    """
    if recipe.retriever["name"] != "dense":
        raise UsageError(
            f"'{recipe.name}' trains, but its retriever is '{recipe.retriever['name']}'", mend="train a dense retriever"
        )
    groups = {lang: _groups(recipe, planner) for lang, planner in planners.items()}
    dataset = next(iter(planners.values())).dataset
    by_role = {f"groups {lang}": one.ref for lang, one in groups.items()}
    domains = recipe.training.domains
    label = step(
        stage="label",
        scope="all",
        dataset=dataset,
        params={"split": SPLIT, "domains": _member("domains", domains), **_retriever(recipe)},
        run_only={"retriever": recipe.retriever, "domains_settings": domains},
        inputs=by_role,
    )
    train = step(
        stage="train",
        scope="all",
        dataset=dataset,
        params=_training_params(recipe),
        run_only={"retriever": recipe.retriever, "loop": _loop(recipe), "processes": recipe.training.processes},
        inputs={"label": label.ref, **by_role},
        resumable=True,
    )
    return groups, [label, train]


def _groups(recipe: Recipe, planner: Planner) -> Step:
    if recipe.negatives is not None:
        return groups_step(recipe, planner)
    return planner.add(
        stage="pair",
        params={"split": SPLIT},
        sources=planner.split_sources(SPLIT),
        inputs={"topics": planner.topics(SPLIT).ref},
    )


def _loop(recipe: Recipe) -> dict[str, Any]:
    return recipe.training.model_dump(mode="json", include=set(Settings.model_fields))


def _training_params(recipe: Recipe) -> dict[str, Any]:
    wanted = recipe.training
    return {
        "split": SPLIT,
        **_retriever(recipe),
        "sampler": _member("samplers", wanted.sampler),
        "weights": wanted.weights.model_dump(mode="json"),
        "batch_size": wanted.batch_size,
        "epochs": wanted.epochs,
        "steps": wanted.steps,
        "queries_per_language": wanted.queries_per_language,
        "loop": {key: value for key, value in _loop(recipe).items() if key not in RUN_ONLY},
    }


def _retriever(recipe: Recipe) -> dict[str, Any]:
    """The untrained retriever: its settings, and the conventions that name its weights."""
    conventions = registry.build("retrievers", recipe.retriever).conventions("all")
    return {"retriever": registry.keyed("retrievers", recipe.retriever), "conventions": conventions}


def _member(family: str, section: dict[str, Any]) -> dict[str, Any]:
    member = registry.load(family, section["name"])
    return {
        "settings": registry.keyed(family, section),
        "version": member.VERSION,
        "conventions": registry.build(family, section).conventions(),
    }
