"""The parts that can be removed from a recipe: why a recipe lacks a part, and the settings without it.

``docs/ablation.md`` says how to add a part.
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
from mdrbench.recipe.yaml_files import parse_value

DEPTH = 100
"""Depth of the plain top-k strategy: its default, which leaves room for positives."""

WhyAbsent = Callable[[Recipe], str | None]
"""Recipe -> why it lacks a part; None if it has the part."""


@dataclass(frozen=True)
class Part:
    """A part that can be removed.

    Attributes:
        why_absent: why a recipe lacks the part; None if it has the part.
        overrides: the settings without the part, as ``--set`` items. A mapping that is replaced is given as a whole.
        within: the parts that include this part.
        beyond: beyond the boosted method, or another reading of a part: a recipe without it is not said to lack it.
    """

    label: str
    why_absent: WhyAbsent
    overrides: Callable[[Recipe], list[str]]
    within: tuple[str, ...] = ()
    beyond: bool = False


def _of_training(why: Callable[[Training], str | None]) -> WhyAbsent:
    """Turn a check of the section ``training`` into a check of a recipe."""
    return lambda recipe: "it trains nothing" if recipe.training is None else why(recipe.training)


def _of_negatives(why: Callable[[Negatives], str | None]) -> WhyAbsent:
    """Turn a check of the section ``negatives`` into a check of a recipe that trains on them."""

    def check(negatives: Negatives | None) -> str | None:
        return "it trains without hard negatives" if negatives is None else why(negatives)

    return lambda recipe: "it trains nothing" if recipe.training is None else check(recipe.negatives)


def _negatives(recipe: Recipe) -> Negatives:
    """Return the section ``negatives`` of a recipe that has it."""
    assert recipe.negatives is not None, "why_absent is asked first"
    return recipe.negatives


@_of_training
def _no_training(training: Training) -> str | None:
    return None


@_of_negatives
def _no_negatives(negatives: Negatives) -> str | None:
    return None


@_of_negatives
def _no_ensemble(negatives: Negatives) -> str | None:
    if negatives.unjudged is not None and negatives.unjudged.mining is not None:
        return "its candidates are from a single retriever"
    several = len(negatives.mining.settings.get("of", {})) > 1 or combined_ranking(negatives)
    return None if several else "the ranking that it mines is from a single retriever"


def combined_ranking(negatives: Negatives) -> bool:
    """Tell whether the recipe names a ranking to mine that combines several retrievers."""
    return negatives.retriever is not None and negatives.retriever.spec.combines is not None


def _without_ensemble(complete: Recipe) -> list[str]:
    mining = _negatives(complete).mining
    if mining.name != "ensemble":
        return _single_ranking(complete)
    depth = mining.config.depth
    return [*_single_ranking(complete), f"negatives.mining={_top_k(depth, depth)}"]


def _single_ranking(complete: Recipe) -> list[str]:
    """Return the overrides that replace a combined ranking by that of a single retriever.

    It is the recipe's own retriever if it is part of the combination, else the first dense retriever of it.
    """
    negatives = _negatives(complete)
    if negatives.retriever is None or not combined_ranking(negatives):
        return []
    parts: dict[str, Member] = negatives.retriever.config.of
    if complete.retriever in parts.values():
        return ["negatives.retriever=null"]
    label = next((label for label, part in parts.items() if part.name == "dense"), next(iter(parts)))
    known = label in registry.recipe_files() and recipe.load(label).retriever == parts[label]
    return [f"negatives.retriever={label if known else json.dumps(parts[label].written, ensure_ascii=False)}"]


def _judge_missing(negatives: Negatives) -> str | None:
    if negatives.unjudged is not None:
        return "its candidates are not the judge's"
    return None if negatives.judges else "it has no judge"


_no_judge = _of_negatives(_judge_missing)


@_of_negatives
def _no_reference(negatives: Negatives) -> str | None:
    if why := _judge_missing(negatives):
        return why
    if not negatives.reference:
        return "its judge sees no reference"
    name, use = negatives.judge.name, negatives.judge.build().reference
    return {"ignored": f"the judge '{name}' does not look at it", "needed": f"the judge '{name}' needs it"}.get(use)


def _generation_missing(negatives: Negatives) -> str | None:
    return None if negatives.generates else "it generates nothing"


@_of_negatives
def _no_round_trip(negatives: Negatives) -> str | None:
    return _generation_missing(negatives) or (
        None if negatives.round_trip else "it keeps generated queries that do not find their positive"
    )


_no_generation = _of_negatives(_generation_missing)


@_of_negatives
def _no_tuning(negatives: Negatives) -> str | None:
    if why := _generation_missing(negatives):
        return why
    if negatives.generation.settings.get("untuned"):
        return None
    return "negatives.generation.untuned does not name the model that its generator was tuned from"


@_of_training
def _no_same_language(training: Training) -> str | None:
    return None if training.sampler.settings.get("same_language") else "its batches mix languages"


@_of_training
def _no_domain_balance(training: Training) -> str | None:
    if training.sampler.settings.get("domains") != "uniform":
        return "its batches do not balance domains"
    return "it has a single domain" if training.domains.name == "none" else None


@_of_training
def _no_weights(training: Training) -> str | None:
    return "all its queries have the same weight" if training.weights.mode == "none" else None


@_of_training
def _no_distillation(training: Training) -> str | None:
    return None if training.distillation else "it learns from no teacher"


@_of_training
def _no_masking(training: Training) -> str | None:
    return None if training.mask_margin is not None else "no teacher masks its in-batch negatives"


@_of_training
def _no_curriculum(training: Training) -> str | None:
    return None if training.curriculum is not None else "its negatives are drawn without a curriculum"


@_of_negatives
def _no_relabelling(negatives: Negatives) -> str | None:
    return None if negatives.relabel else "its judged false negatives are dropped only"


@_of_negatives
def _no_stage_1(negatives: Negatives) -> str | None:
    if negatives.unjudged is not None and negatives.unjudged.mining is not None:
        return "its candidates are the top of a single retriever, unjudged"
    plain = negatives.mining.name == "topk" and not combined_ranking(negatives) and not negatives.judges
    return "it mines the top k of a single retriever, without a judge" if plain else None


def _without_stage_1(complete: Recipe) -> list[str]:
    """The overrides that take as many top candidates of a single retriever as the judge lets stay; stage 2 stays."""
    negatives = _negatives(complete)
    most = negatives.mining.build().depth
    settings = {"mining": {"name": "topk", "k": most, "depth": max(DEPTH, most)}}
    single = _single_ranking(complete)
    if single and (found := single[0].partition("=")[2]) != "null":
        settings["retriever"] = parse_value(found)
    elif negatives.retriever is not None and not single:
        settings["retriever"] = negatives.retriever.written
    return [f"negatives.unjudged={json.dumps(settings, ensure_ascii=False)}"]


def _without_stage_1_as_the_paper(complete: Recipe) -> list[str]:
    """The overrides of the paper's Table 3: the top ``size`` of a single retriever; stage 2 has no gap to fill."""
    size = _negatives(complete).size
    return [*_single_ranking(complete), f"negatives.mining={_top_k(size, max(DEPTH, size))}", *NO_JUDGE]


@_of_training
def _no_stage_3(training: Training) -> str | None:
    plain = training.sampler.name == "uniform" and training.weights.mode == "none"
    return "its batches are random and unweighted" if plain else None


def _top_k(k: int, depth: int) -> str:
    return f"{{name: topk, k: {k}, depth: {depth}}}"


NO_JUDGE = ["negatives.judge={name: none}"]
AS_MANY_UNJUDGED = ["negatives.unjudged={judge_generated: false}"]
NO_GENERATION = ["negatives.generation={name: none}"]
NO_WEIGHTS = ["training.weights.mode=none"]

PARTS: dict[str, Part] = {
    "training": Part("without training", _no_training, lambda complete: ["training=null", "negatives=null"]),
    "hard-neg": Part("without hard negatives", _no_negatives, lambda complete: ["negatives=null"]),
    "ensemble": Part("without the ensemble", _no_ensemble, _without_ensemble, within=("paper-stage-1",)),
    "judge": Part(
        "without the judge",
        _no_judge,
        lambda complete: AS_MANY_UNJUDGED,
        within=("paper-judge", "paper-stage-1"),
    ),
    "reference": Part(
        "without the judge's reference",
        _no_reference,
        lambda complete: ["negatives.reference=false"],
        within=("judge", "paper-stage-1", "paper-judge"),
    ),
    "generation": Part("without generation", _no_generation, lambda complete: NO_GENERATION),
    "round-trip": Part(
        "without the round trip",
        _no_round_trip,
        lambda complete: ["negatives.round_trip=false"],
        within=("generation", "stage-2"),
        beyond=True,
    ),
    "mift": Part(
        "without tuning of the generator",
        _no_tuning,
        lambda complete: [f"negatives.generation.model={_negatives(complete).generation.config.untuned}"],
    ),
    "same-language": Part(
        "without batches of one language", _no_same_language, lambda complete: ["training.sampler.same_language=false"]
    ),
    "domain-balance": Part(
        "without balanced domains", _no_domain_balance, lambda complete: ["training.sampler.domains=proportional"]
    ),
    "weights": Part("without weights", _no_weights, lambda complete: NO_WEIGHTS),
    "distillation": Part(
        "without distillation", _no_distillation, lambda complete: ["training.distillation=null"], beyond=True
    ),
    "masking": Part("without masking", _no_masking, lambda complete: ["training.mask_margin=null"], beyond=True),
    "curriculum": Part(
        "without the curriculum", _no_curriculum, lambda complete: ["training.curriculum=null"], beyond=True
    ),
    "relabelling": Part(
        "without relabelling", _no_relabelling, lambda complete: ["negatives.relabel=null"], beyond=True
    ),
    "stage-1": Part("without stage 1", _no_stage_1, _without_stage_1, within=("paper-stage-1",)),
    "stage-2": Part("without stage 2", _no_generation, lambda complete: NO_GENERATION),
    "paper-stage-1": Part("without stage 1, as the paper", _no_stage_1, _without_stage_1_as_the_paper),
    "paper-judge": Part(
        "without the judge, as the paper", _no_judge, lambda complete: NO_JUDGE, within=("paper-stage-1",), beyond=True
    ),
    "stage-3": Part("without stage 3", _no_stage_3, lambda complete: ["training.sampler={name: uniform}", *NO_WEIGHTS]),
}
STAGES = ("stage-1", "stage-2", "stage-3")


PAPER = {"paper-stage-1": "--paper-stage-1", "paper-judge": "--paper-no-judge"}
"""The paper's own reading of two parts: what is removed takes more with it."""


def flag(slug: str) -> str:
    """Return the option of the command line that removes a part."""
    return PAPER.get(slug) or (f"--stage-off {slug[-1]}" if slug in STAGES else f"--no-{slug}")
