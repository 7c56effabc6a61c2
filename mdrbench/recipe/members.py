"""Sections of a recipe that name a member of a family: recipes written out, checked, and their defaults filled in.

A section is a mapping with ``name`` (the member) and the member's settings. A member says in ``PARTS`` which of its
settings are sections themselves (setting -> family), in ``MANY`` which are mappings of label -> section, and in
``RUN_ONLY`` which settings cannot change what comes out (a batch size, an endpoint's address).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError

from mdrbench.core import registry
from mdrbench.core.errors import UsageError, did_you_mean

Section = dict[str, Any]


def expand(family: str, section: Any, retriever_of: Callable[[str], Section]) -> Any:
    """Where a retriever is wanted a recipe's name stands for that recipe's retriever; lists of them get labels.

    What is malformed is left for :func:`check` to report.
    """
    if isinstance(section, str) and family == "retrievers":
        return retriever_of(section)
    if not isinstance(section, dict) or section.get("name") not in registry.members(family):
        return section
    module = registry.load(family, section["name"])
    result = dict(section)
    for key, part_family in getattr(module, "PARTS", {}).items():
        if key in result:
            result[key] = expand(part_family, result[key], retriever_of)
    for key, part_family in getattr(module, "MANY", {}).items():
        if isinstance(result.get(key), list):
            result[key] = _labelled(result[key])
        if isinstance(result.get(key), dict):
            result[key] = {label: expand(part_family, part, retriever_of) for label, part in result[key].items()}
    return result


def _labelled(parts: list[Any]) -> Section:
    """Recipe names are their own labels; a section's label is its member's name."""
    labels = [part.get("name", "?") if isinstance(part, dict) else str(part) for part in parts]
    if len(set(labels)) < len(labels):
        raise UsageError(f"two parts are called the same: {', '.join(labels)}", mend="write a mapping LABEL: part")
    return dict(zip(labels, parts, strict=True))


def resolve(family: str, section: Section) -> Section:
    """A section that :func:`check` passed, with the defaults of its member and of its parts filled in."""
    module = registry.load(family, section["name"])
    rest = {key: value for key, value in section.items() if key != "name"}
    for key, part_family in getattr(module, "PARTS", {}).items():
        if (part := rest.get(key, module.Config.model_fields[key].default)) is not None:
            rest[key] = resolve(part_family, part)
    for key, part_family in getattr(module, "MANY", {}).items():
        rest[key] = {label: resolve(part_family, part) for label, part in rest[key].items()}
    return {"name": section["name"], **module.Config.model_validate(rest).model_dump(mode="json")}


def check(family: str, section: Section, prefix: str) -> list[tuple[str, str]]:
    """The mistakes of a section, its parts included, as (dotted key, text)."""
    if "name" not in section:
        return [(f"{prefix}name", f"missing; choose among {', '.join(registry.members(family))}")]
    try:
        module = registry.load(family, section["name"])
    except UsageError as error:
        return [(f"{prefix}name", f"{error.message}; {error.mend}")]
    mistakes: list[tuple[str, str]] = []
    try:
        module.Config.model_validate({key: value for key, value in section.items() if key != "name"})
    except ValidationError as error:
        mistakes += explain(error, module.Config, prefix)
    for key, part_family in getattr(module, "PARTS", {}).items():
        if isinstance(section.get(key), dict):
            mistakes += check(part_family, section[key], f"{prefix}{key}.")
    for key, part_family in getattr(module, "MANY", {}).items():
        parts = section.get(key)
        for label, part in parts.items() if isinstance(parts, dict) else ():
            if isinstance(part, dict):
                mistakes += check(part_family, part, f"{prefix}{key}.{label}.")
    return mistakes


def explain(error: ValidationError, model: type[BaseModel], prefix: str) -> list[tuple[str, str]]:
    """Pydantic's errors in our words: dotted key and text, with near names for unknown keys."""
    result = []
    for item in error.errors():
        path = prefix + ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            result.append((path, f"unknown key; {did_you_mean(str(item['loc'][-1]), _keys(model, item['loc'][:-1]))}"))
        elif item["type"] == "missing":
            result.append((path, "missing"))
        else:
            message = item["msg"].removeprefix("Value error, ")
            result.append((path, f"{message}, not {item['input']!r}"))
    return result


def _keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The field names that are allowed at a location of a model."""
    for part in location:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
            annotation = next((a for a in typing.get_args(annotation) if a is not type(None)), None)
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
