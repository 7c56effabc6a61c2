"""Derive what a result says of negatives and trainings from the rest of what it says: sums, shares, settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mdrbench.negatives.agreement import Agreement
from mdrbench.results import Result, Training


class Contradiction(NamedTuple):
    """Two parts of a file that cannot both be true."""

    what: str
    stored: Any = None
    derived: Any = None
    lang: str | None = None
    mend: str = ""


COUNTS = {
    "mine": {"queries", "negatives", "judged_zeros"},
    "judge": {"queries", "negatives", "candidates", "eliminated", "eliminated_share", "grades", "unreadable", "judge"},
    "generate": {"queries", "unreadable", "generator"},
    "top_up": {"queries", "negatives", "short", "missing", "generated", "vetoed"},
}
"""Stage -> the counts that it always writes."""


MALFORMED = (TypeError, AttributeError, KeyError, ValueError)
"""Errors of counting with what are not the counts of mdrbench."""


def negatives(lang: str, stages: Mapping[str, Mapping[str, Any]]) -> Iterator[Contradiction]:
    """Yield what the counts of a language's negatives say that cannot be true together."""
    try:
        yield from _negatives(lang, stages)
    except MALFORMED:
        yield Contradiction("negatives are not counts that mdrbench writes", lang=lang, mend="run the recipe again")


def training(name: str, stored: Training, result: Result) -> Iterator[Contradiction]:
    """Yield what the facts of a training say that contradicts the recipe, the environments or themselves."""
    try:
        yield from _training(name, stored, result)
    except MALFORMED:
        yield Contradiction(f"the facts of training {name} are not those that mdrbench writes")


def _negatives(lang: str, stages: Mapping[str, Mapping[str, Any]]) -> Iterator[Contradiction]:
    for stage, counts in stages.items():
        place = f"negatives.{stage}"
        if lacking := sorted(COUNTS.get(stage, set()) - counts.keys()):
            yield Contradiction(f"{place} lacks {', '.join(lacking)}", lang=lang, mend="run the recipe again")
            continue
        for key, stored, derived in _derived(stage, counts, stages):
            same = math.isclose(stored, derived, abs_tol=1e-9) if _numbers(stored, derived) else stored == derived
            if not same:
                yield Contradiction(f"{place}.{key} is not what the other counts give", stored, derived, lang)
        if wrong := [name for name, value in _leaves(place, counts) if value < 0]:
            yield Contradiction(f"{wrong[0]} is negative", lang=lang)


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _leaves(place: str, value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{place}.{name}", inner)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield place, value


def _derived(
    stage: str, counts: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield key, stored and derived value of each count that others give."""
    judge = counts.get("judge")
    if isinstance(judge, Mapping) and isinstance(judge.get("grades"), Mapping) and "judged" in judge:
        readable = sum(judge["grades"].values())
        yield "judge.judged", judge.get("judged"), readable + judge.get("unreadable", 0)
    if stage == "judge":
        if "mine" in stages:
            yield "candidates", counts["candidates"], stages["mine"].get("negatives")
        if "top_up" in stages:  # otherwise groups were cut to their size afterwards
            yield "negatives", counts["negatives"], counts["candidates"] - counts["eliminated"]
        share = counts["eliminated"] / counts["candidates"] if counts["candidates"] else 0.0
        yield "eliminated_share", counts["eliminated_share"], share
        yield "grades", sum(counts["grades"].values()) + counts["unreadable"], counts["candidates"]
        if agreement := counts.get("agreement"):
            yield from _agreement(agreement, counts["candidates"])


def _agreement(found: Mapping[str, Any], candidates: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield each number of the agreement with the qrels as its counts give it, and the pairs that they add up to."""
    counts = {name: found.get(name, 0) for name in Agreement._fields}
    yield from ((f"agreement.{name}", found.get(name), value) for name, value in Agreement(**counts).as_dict().items())
    yield "agreement", sum(counts.values()), candidates


def _training(name: str, stored: Training, result: Result) -> Iterator[Contradiction]:
    recipe = (result.system.recipe or {}).get("training", {})
    facts, place = stored.facts, f"training {name}"
    for key, value in facts.get("settings", {}).items():
        if key in recipe and recipe[key] != value:
            yield Contradiction(f"{place}: settings.{key} is not the recipe's", value, recipe[key])
    if lacking := sorted({"settings", "queries", "versions", "encoder", "steps", "planned_steps"} - facts.keys()):
        yield Contradiction(f"{place} lacks {', '.join(lacking)}", mend="run the recipe again")
        return
    environment = result.environments.get(stored.steps["train"].environment, {}) if "train" in stored.steps else {}
    for package, version in facts["versions"].items():
        recorded = environment.get("packages", {}).get(package, version)
        if recorded != version:
            yield Contradiction(f"{place}: versions.{package} is not its environment's", version, recorded)
    encoder = (result.system.recipe or {}).get("retriever", {}).get("encoder", {})
    for key, value in facts["encoder"].items():
        if encoder.get(key) is not None and encoder[key] != value:
            yield Contradiction(f"{place}: encoder.{key} is not the recipe's", value, encoder[key])
    if not (facts.get("kept_step") or 0) <= facts["steps"] <= facts["planned_steps"]:
        yield Contradiction(f"{place}: steps are more than were planned")
    yield from _domains(place, stored, facts["queries"])


def _domains(place: str, stored: Training, queries: Mapping[str, int]) -> Iterator[Contradiction]:
    domains = stored.domains or {}
    distribution = domains.get("distribution")
    if not isinstance(distribution, Mapping):
        return
    total = sum(sum(counts.values()) for counts in distribution.values())
    if domains.get("labelled") is not None and domains["labelled"] != total:
        yield Contradiction(f"{place}: domains.labelled is not the sum of its domains", domains["labelled"], total)
    if {*distribution} != {*queries}:
        yield Contradiction(f"{place}: domains are of other languages", sorted(distribution), sorted(queries))
