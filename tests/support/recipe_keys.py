"""Every dotted key that a recipe can have, from the schema and the configurations of all members."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel

from mdrbench.core import registry
from mdrbench.core.members import part_of
from mdrbench.recipe.schema import Recipe


def recipe_keys() -> set[str]:
    """Return keys such as ``retriever.encoder.model``; a label of an ensemble's part reads ``LABEL``."""
    return set(_fields(Recipe, ""))


def _fields(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if found := part_of(field):
            part, several = found
            endless = {"retrievers": ".of." in prefix, "judges": prefix.endswith(("cheap.", "strong."))}
            if not endless.get(part.family):  # a retriever of a retriever, or a judge of a judge, has no end
                yield from _members(part.family, f"{prefix}{name}.{'LABEL.' if several else ''}")
        elif (below := _model(field.annotation)) is not None:
            yield from _fields(below, f"{prefix}{name}.")


def _model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(filter(None, map(_model, typing.get_args(annotation))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _members(family: str, prefix: str) -> Iterator[str]:
    yield f"{prefix}name"
    for source in registry.members(family).values():
        yield from _fields(source.load().spec.config, prefix)
