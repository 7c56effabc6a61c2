"""Express another recipe (a rival) as a variant: its differences from the complete recipe as ``--set`` overrides.

Search and evaluation stay those of the complete recipe, so that the two can be compared. A rival that trains another
encoder lends its strategy only: its negatives, batches and weights. Encoder and optimiser stay the complete recipe's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mdrbench import recipe
from mdrbench.recipe import Recipe
from mdrbench.recipe.loading import written

SECTIONS = ("retriever", "negatives", "training")
"""Sections that may differ. Search, evaluation and seed are those of the complete recipe."""


STRATEGY = ("domains", "sampler", "weights", "weights_on")
"""The keys of ``training`` that belong to a strategy; the others belong to the encoder."""


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Return the overrides that turn ``one`` into ``other``. A mapping with a ``name`` is given as a whole."""
    mine, theirs = ({section: written(getattr(each, section)) for section in SECTIONS} for each in (one, other))
    if one.training is not None and other.training is not None and _model(one) != _model(other):
        theirs["retriever"] = mine["retriever"]
        theirs["training"] = mine["training"] | {key: theirs["training"][key] for key in STRATEGY}
    return [
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for section in SECTIONS
        for key, value in _changed(mine[section], theirs[section], section)
    ]


def _model(recipe: Recipe) -> Any:
    """Return the model that a recipe's encoder is made of; None if its retriever has no single encoder."""
    return recipe.retriever.settings.get("encoder", {}).get("model")


def _changed(mine: Any, theirs: Any, key: str) -> Iterator[tuple[str, Any]]:
    if mine == theirs:
        return
    plain = isinstance(mine, dict) and isinstance(theirs, dict) and "name" not in mine and "name" not in theirs
    if not plain:
        yield key, theirs
        return
    for name in theirs:
        yield from _changed(mine.get(name), theirs[name], f"{key}.{name}")


def applicable(overrides: list[str], name: str) -> list[str]:
    """Return the overrides of the complete recipe in sections that the rival has."""
    plain = recipe.load(name)
    lacks = tuple(section for section in SECTIONS if getattr(plain, section) is None)
    return [item for item in overrides if not item.startswith(tuple(f"{section}." for section in lacks))]
