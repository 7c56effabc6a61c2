"""Runs of one recipe with other seeds: the repeats of a system, by their seeds.

Two results are repeats of each other if their recipes differ in ``seed`` and ``training.seed`` alone and they are of
the same data set and split. Two systems are compared over the seeds that both have.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mdrbench import results
from mdrbench.core.errors import DataError, UsageError
from mdrbench.recipe.schema import digest_of
from mdrbench.results import Result

NOT_SCORED = ("name", "summary", "extends", "published")
"""Keys of a recipe that change no score."""

T = TypeVar("T")


class Seeds(NamedTuple):
    """The seed of the recipe and that of its training."""

    recipe: int
    training: int


def of(result: Result) -> Seeds | None:
    """Return the seeds of a trained system; None if it trains nothing, so that no seed changes its scores.

    Systems that were handed in as run files are what they are: they have no seeds.
    """
    recipe = result.system.recipe or {}
    if not recipe.get("training"):
        return None
    return Seeds(int(recipe.get("seed", 0)), int(recipe["training"].get("seed", 0)))


def identity(result: Result) -> str:
    """Return what the repeats of a system share: everything of its recipe but the seeds, data set and split.

    Recipes are compared by their digest, so settings that an older mdrbench does not record tell no two systems apart
    unless they change a score. The recipe counts as it stands if it names a member that this mdrbench does not have.
    """
    recipe = {key: value for key, value in _set(result.system.recipe or {}).items() if key != "seed"}
    if recipe.get("training"):
        recipe["training"] = {key: value for key, value in recipe["training"].items() if key != "seed"}
    shared = _digest(json.dumps(recipe, sort_keys=True)) if recipe else result.system.name
    return json.dumps([result.dataset, result.split, shared])


@lru_cache(maxsize=4096)
def _digest(recipe: str) -> str:
    data = json.loads(recipe)
    try:
        return digest_of(data)
    except (UsageError, ValueError):
        return json.dumps({key: value for key, value in data.items() if key not in NOT_SCORED}, sort_keys=True)


def _set(value: Any) -> Any:
    """Return JSON without nulls: a newer mdrbench may record settings that this one lacks and that are not set."""
    if isinstance(value, dict):
        return {key: _set(item) for key, item in value.items() if item is not None}
    return [_set(item) for item in value] if isinstance(value, list) else value


def repeats(path: Path, result: Result) -> dict[Seeds | None, tuple[Path, Result]]:
    """Return the runs of a result's recipe with all seeds that are stored beside it, itself first, by their seeds.

    A run that lacks a language of the result is left out. So are files that cannot be read: ``report`` and ``verify``
    name them.
    """
    own = of(result)
    if own is None:
        return {None: (path, result)}
    folder = path.parent.parent if path.parent.name == "variants" else path.parent
    wanted = identity(result)
    found: dict[Seeds | None, tuple[Path, Result]] = {own: (path, result)}
    for other in sorted([*folder.glob("*.json"), *(folder / "variants").glob("*.json")]):
        if other == path:
            continue
        try:
            read = results.read(other)
        except DataError:
            continue
        seeds = of(read)
        if seeds is not None and identity(read) == wanted and {*result.languages} <= {*read.languages}:
            found.setdefault(seeds, (other, read))
    return found


def shared(a: dict[Seeds | None, T], b: dict[Seeds | None, T]) -> list[tuple[T, T]]:
    """Pair the repeats of two systems by their seeds; what is not trained is paired with every repeat of the other."""
    if None in a or None in b:
        return [(a.get(None, one), b.get(None, one)) for one in (a if None in b else b).values()]
    return [(a[seeds], b[seeds]) for seeds in sorted(s for s in a.keys() & b.keys() if s is not None)]
