"""Every dotted key that a recipe can have, from the schema and the configurations of all members."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel

from mdrbench.core import registry
from mdrbench.recipe.schema import FAMILY_OF, Recipe


def recipe_keys() -> set[str]:
    """Return keys such as ``retriever.encoder.model``; a label of an ensemble's part reads ``LABEL``."""
    keys = set(_fields(Recipe, ""))
    for place, family in FAMILY_OF.items():
        keys |= set(_members(family, f"{place}."))
    return keys


def _fields(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if (below := _model(field.annotation)) is not None:
            yield from _fields(below, f"{prefix}{name}.")


def _model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(filter(None, map(_model, typing.get_args(annotation))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _members(family: str, prefix: str) -> Iterator[str]:
    yield f"{prefix}name"
    for name in registry.members(family):
        module = registry.load(family, name)
        yield from _fields(module.Config, prefix)
        for key, below in getattr(module, "PARTS", {}).items():
            yield from _members(below, f"{prefix}{key}.")
        if not prefix.endswith("LABEL."):
            for key, below in getattr(module, "MANY", {}).items():
                yield from _members(below, f"{prefix}{key}.LABEL.")
