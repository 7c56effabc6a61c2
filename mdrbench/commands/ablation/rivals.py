"""Another recipe as a variant: what it changes in the complete one, as plain ``--set`` overrides.

How topics are searched and measured stays that of the complete recipe, so that the two can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mdrbench import recipe
from mdrbench.recipe import Recipe

SECTIONS = ("retriever", "negatives", "training")
"""What may differ; searching, evaluation and the seed are the complete recipe's."""


def differences(one: Recipe, other: Recipe) -> list[str]:
    """The overrides that make ``other`` of ``one``: keys that differ, a member of a family always whole."""
    mine, theirs = (each.model_dump(mode="json", include=set(SECTIONS)) for each in (one, other))
    return [
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for section in SECTIONS
        for key, value in _changed(mine[section], theirs[section], section)
    ]


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
    """Those of the complete recipe's overrides that a rival can take: none of a section that it does not have."""
    plain = recipe.load(name)
    lacks = tuple(section for section in SECTIONS if getattr(plain, section) is None)
    return [item for item in overrides if not item.startswith(tuple(f"{section}." for section in lacks))]
