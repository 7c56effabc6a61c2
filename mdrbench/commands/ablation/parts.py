"""The parts that can be taken away from a recipe: why one may not have it, and what stands in its place.

``docs/ablation.md`` says how to add one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from mdrbench import recipe
from mdrbench.core import registry
from mdrbench.core.members import Member
from mdrbench.recipe import Recipe
from mdrbench.recipe.schema import Negatives, Training

DEPTH = 100
"""Hits that the plain top-k strategy looks at, as by its default: positives among them leave room."""


@dataclass(frozen=True)
class Part:
    """Something that can be taken away.

    Attributes:
        why_absent: why a recipe does not have it, None where it does.
        overrides: what is set in its place; a mapping that is replaced is given whole.
        within: parts with which it goes as well.
    """

    label: str
    why_absent: Callable[[Recipe], str | None]
    overrides: Callable[[Recipe], list[str]]
    within: tuple[str, ...] = ()


def _negatives(one: Recipe) -> Negatives:
    """Return the section ``negatives`` of a recipe that has one."""
    assert one.negatives is not None
    return one.negatives


def _training(one: Recipe) -> Training:
    """Return the section ``training`` of a recipe that has one."""
    assert one.training is not None
    return one.training


def _no_training(one: Recipe) -> str | None:
    return "it trains nothing" if one.training is None else None


def _no_negatives(one: Recipe) -> str | None:
    if why := _no_training(one):
        return why
    return None if one.negatives is not None else "it trains without hard negatives"


def _no_ensemble(one: Recipe) -> str | None:
    if why := _no_negatives(one):
        return why
    parts = _negatives(one).mining.settings.get("of", {})
    return None if len(parts) > 1 or combined_ranking(one) else "the ranking that it mines is a single retriever's"


def combined_ranking(one: Recipe) -> bool:
    """Whether the ranking that is mined is named in the recipe and made of several retrievers'."""
    ranking = _negatives(one).retriever
    return ranking is not None and ranking.spec.combines is not None


def _without_ensemble(one: Recipe) -> list[str]:
    if _negatives(one).mining.name != "ensemble":
        return _single_ranking(one)
    depth = _negatives(one).mining.config.depth
    return [*_single_ranking(one), f"negatives.mining={_top_k(depth, depth)}"]


def _single_ranking(one: Recipe) -> list[str]:
    """A single retriever's ranking in place of a combined one: the recipe's own, or the first dense one among parts
    that do not include it."""
    if not combined_ranking(one):
        return []
    ranking = _negatives(one).retriever
    assert ranking is not None  # combined_ranking
    parts: dict[str, Member] = ranking.config.of
    if one.retriever in parts.values():
        return ["negatives.retriever=null"]
    label = next((label for label, part in parts.items() if part.name == "dense"), next(iter(parts)))
    known = label in registry.recipe_files() and recipe.load(label).retriever == parts[label]
    return [f"negatives.retriever={label if known else json.dumps(parts[label].written, ensure_ascii=False)}"]


def _no_judge(one: Recipe) -> str | None:
    if why := _no_negatives(one):
        return why
    return "it has no judge" if not _negatives(one).judges else None


def _no_reference(one: Recipe) -> str | None:
    if why := _no_judge(one):
        return why
    if not _negatives(one).reference:
        return "its judge sees no reference"
    name = _negatives(one).judge.name
    use = _negatives(one).judge.build().reference
    return {"ignored": f"the judge '{name}' does not look at it", "needed": f"the judge '{name}' needs it"}.get(use)


def _no_generation(one: Recipe) -> str | None:
    if why := _no_negatives(one):
        return why
    return "it generates nothing" if not _negatives(one).generates else None


def _no_tuning(one: Recipe) -> str | None:
    if why := _no_generation(one):
        return why
    if _negatives(one).generation.settings.get("untuned"):
        return None
    return "negatives.generation.untuned does not name the model that its generator was tuned from"


def _no_same_language(one: Recipe) -> str | None:
    if why := _no_training(one):
        return why
    return None if _training(one).sampler.settings.get("same_language") else "its batches mix languages"


def _no_domain_balance(one: Recipe) -> str | None:
    if why := _no_training(one):
        return why
    if _training(one).sampler.settings.get("domains") != "uniform":
        return "its batches do not balance domains"
    return "it has one domain alone" if _training(one).domains.name == "none" else None


def _no_weights(one: Recipe) -> str | None:
    if why := _no_training(one):
        return why
    return "its queries weigh alike" if _training(one).weights.mode == "none" else None


def _no_stage_1(one: Recipe) -> str | None:
    if why := _no_negatives(one):
        return why
    plain = _negatives(one).mining.name == "topk" and not combined_ranking(one) and _no_judge(one)
    return "it mines the top k of a single retriever, unjudged" if plain else None


def _without_stage_1(one: Recipe) -> list[str]:
    size = _negatives(one).size
    return [*_single_ranking(one), f"negatives.mining={_top_k(size, max(DEPTH, size))}", *NO_JUDGE]


def _no_stage_3(one: Recipe) -> str | None:
    if why := _no_training(one):
        return why
    plain = _training(one).sampler.name == "uniform" and _training(one).weights.mode == "none"
    return "its batches are random and unweighted" if plain else None


def _top_k(k: int, depth: int) -> str:
    return f"{{name: topk, k: {k}, depth: {depth}}}"


NO_JUDGE = ["negatives.judge={name: none}"]
NO_GENERATION = ["negatives.generation={name: none}"]
NO_WEIGHTS = ["training.weights.mode=none"]

PARTS: dict[str, Part] = {
    "training": Part("without training", _no_training, lambda one: ["training=null", "negatives=null"]),
    "hard-neg": Part("without hard negatives", _no_negatives, lambda one: ["negatives=null"]),
    "ensemble": Part("without the ensemble", _no_ensemble, _without_ensemble, within=("stage-1",)),
    "judge": Part("without the judge", _no_judge, lambda one: NO_JUDGE, within=("stage-1",)),
    "reference": Part(
        "without the judge's reference",
        _no_reference,
        lambda one: ["negatives.reference=false"],
        within=("judge", "stage-1"),
    ),
    "generation": Part("without generation", _no_generation, lambda one: NO_GENERATION),
    "mift": Part(
        "without tuning of the generator",
        _no_tuning,
        lambda one: [f"negatives.generation.model={_negatives(one).generation.config.untuned}"],
    ),
    "same-language": Part(
        "without batches of one language", _no_same_language, lambda one: ["training.sampler.same_language=false"]
    ),
    "domain-balance": Part(
        "without balanced domains", _no_domain_balance, lambda one: ["training.sampler.domains=proportional"]
    ),
    "weights": Part("without weights", _no_weights, lambda one: NO_WEIGHTS),
    "stage-1": Part("without stage 1", _no_stage_1, _without_stage_1),
    "stage-2": Part("without stage 2", _no_generation, lambda one: NO_GENERATION),
    "stage-3": Part("without stage 3", _no_stage_3, lambda one: ["training.sampler={name: uniform}", *NO_WEIGHTS]),
}
STAGES = ("stage-1", "stage-2", "stage-3")


def flag(slug: str) -> str:
    """How a part is taken away on the command line."""
    return f"--stage-off {slug[-1]}" if slug in STAGES else f"--no-{slug}"
