"""Plan the steps that train a recipe's encoder: groups of every language, domains, training."""

from __future__ import annotations

from typing import Any

from mdrbench.core.errors import UsageError
from mdrbench.core.types import Example
from mdrbench.formats import trec
from mdrbench.negatives.groups import positives
from mdrbench.pipeline.plan.negatives import SPLIT, groups_step
from mdrbench.pipeline.plan.planner import Planner, described
from mdrbench.pipeline.plan.steps import Ref, Step, step
from mdrbench.recipe.schema import Recipe, Training
from mdrbench.training import held_out
from mdrbench.training.settings import Settings, keyed

TEACHER_DEPTH = 1000
"""Of the rankings that are learned. Passages further down have no score."""


def plan_training(
    recipe: Recipe, training: Training, planners: dict[str, Planner]
) -> tuple[dict[str, Step], list[Step]]:
    """Plan the training of a recipe on all languages together; the steps of each language go to its planner.

    Returns:
        Language -> the step with its finished groups; the steps over all languages, training last.

    Raises:
        UsageError: the recipe's retriever is not a dense one.
    """
    if recipe.retriever.name != "dense":
        raise UsageError(
            f"'{recipe.name}' trains, but its retriever is '{recipe.retriever.name}'", mend="train a dense retriever"
        )
    groups = {lang: _groups(recipe, planner) for lang, planner in planners.items()}
    dataset = next(iter(planners.values())).dataset
    by_role = {f"groups {lang}": step.ref for lang, step in groups.items()}
    corpora = {f"corpus {lang}": planner.corpus().ref for lang, planner in planners.items()}
    label = step(
        "label",
        "all",
        dataset,
        {"split": SPLIT, "domains": described(training.domains), **_untrained(recipe)},
        members={"retriever": recipe.retriever, "domains": training.domains},
        inputs=by_role,
        beside=corpora,
    )
    train = step(
        "train",
        "all",
        dataset,
        _training_params(recipe, training),
        members={"retriever": recipe.retriever, "sampler": training.sampler},
        run_only={"loop": _loop(training), "processes": training.processes, "nodes": training.nodes},
        inputs={"label": label.ref, **by_role, **_taught(training, planners)},
        beside=corpora,
        resumable=True,
    )
    return groups, [label, train]


def check_batches(training: Training, planners: dict[str, Planner]) -> None:
    """Check before anything is mined or judged that batches can be filled.

    Topics and positives decide that: queries with a positive in common cannot share a batch. Domains play no part.

    Raises:
        DataError: they cannot; the mend names a batch size that works.
    """
    examples = []
    for lang, planner in planners.items():
        topics = trec.read_topics(planner.dataset.topics_file(lang, SPLIT))
        qrels = trec.read_qrels(planner.dataset.qrels_file(lang, SPLIT))
        found = [Example(lang, qid, "", wanted) for qid in topics if (wanted := positives(qrels.get(qid, {})))]
        examples += found[: training.queries_per_language]
    apart = held_out(((e.lang, e.qid) for e in examples), training.validation, training.seed)
    seen = [example for example in examples if (example.lang, example.qid) not in apart]
    training.sampler.build().count(seen, training.batch_size)


def _groups(recipe: Recipe, planner: Planner) -> Step:
    if recipe.negatives is not None:
        return groups_step(recipe, planner)
    return planner.add(
        "pair",
        {"split": SPLIT},
        sources=planner.split_sources(SPLIT),
        inputs={"topics": planner.topics(SPLIT).ref},
    )


def _loop(training: Training) -> dict[str, Any]:
    return training.model_dump(mode="json", include=set(Settings.model_fields))


def _training_params(recipe: Recipe, training: Training) -> dict[str, Any]:
    return {
        "split": SPLIT,
        **_untrained(recipe),
        "sampler": described(training.sampler),
        "weights": training.weights.model_dump(mode="json"),
        "batch_size": training.batch_size,
        "epochs": training.epochs,
        "steps": training.steps,
        "queries_per_language": training.queries_per_language,
        "loop": keyed(training),
        **({} if training.average is None else {"average": training.average}),
    }


def _untrained(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of the untrained retriever, and the conventions that name its weights."""
    return {"retriever": recipe.retriever.keyed, "conventions": recipe.retriever.build().conventions("all")}


def _taught(training: Training, planners: dict[str, Planner]) -> dict[str, Ref]:
    """Plan a dense teacher's embeddings, or another teacher's rankings, in every language; nothing without a teacher.

    Returns:
        Role -> step.
    """
    teacher = training.teacher
    if teacher is None:
        return {}
    if teacher.name != "dense":
        return {f"ranked {lang}": one.ranking(teacher, SPLIT, TEACHER_DEPTH).ref for lang, one in planners.items()}
    found: dict[str, Ref] = {}
    for lang, planner in planners.items():
        index = planner.index(teacher)
        teach = planner.add(
            "teach",
            {**planner.conventions(teacher), "split": SPLIT},
            members={"retriever": teacher},
            sources=planner.split_sources(SPLIT),
            inputs={"topics": planner.topics(SPLIT).ref},
        )
        found |= {f"teacher {lang}": index.ref, f"taught {lang}": teach.ref}
    return found
