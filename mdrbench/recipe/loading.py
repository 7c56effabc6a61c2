"""Load a recipe: read its YAML and that of the recipes it extends, apply ``--set``, check everything at once."""

from __future__ import annotations

import json
import reprlib
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mdrbench.core import registry
from mdrbench.core.errors import UsageError, did_you_mean
from mdrbench.core.members import Context, Member, part_of
from mdrbench.recipe.merging import merge, parse_overrides
from mdrbench.recipe.schema import Recipe
from mdrbench.recipe.yaml_files import read_yaml

_SHORT = reprlib.Repr()
"""Shortens a wrong input in an error."""
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


@dataclass(frozen=True)
class _Written:
    """A recipe as written, the recipes it extends merged in; ``places`` maps dotted keys to file and line."""

    data: dict[str, Any]
    places: dict[str, str]


def load(name: str, overrides: list[str] | None = None) -> Recipe:
    """Load and check a recipe.

    Args:
        name: a shipped recipe's name, or the path of a YAML file.
        overrides: ``KEY=VALUE`` items as given to ``--set``; relative paths in them start at the current folder. A
            value ``@RECIPE`` is what another recipe has under the same key.

    Raises:
        UsageError: with all mistakes of the recipe, a line for each.
    """
    path = registry.recipe_file(name)
    written = _read(path, ())
    data, places = {"name": path.stem, **written.data}, written.places
    if overrides:
        changes = parse_overrides([_taken(item) for item in overrides])
        data = merge(data, _with_full_paths(changes, Path.cwd()), _retriever_of)
        places = {**places, **{item.partition("=")[0]: "--set" for item in overrides}}
    try:
        recipe = Recipe.model_validate(data, context=Context(_retriever_of))
    except ValidationError as error:
        found = sorted(_mistakes(error, data), key=lambda mistake: _line(mistake[0], places))
        mistakes = [f"  - {_place(key, places, path)}: {text}" for key, text in found]
        raise UsageError(
            f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in the recipe:\n" + "\n".join(mistakes),
            where=str(path),
            mend="`mdrbench show RECIPE` prints every key with its value",
        ) from None
    shipped = registry.recipe_files().get(recipe.name)
    if shipped is not None and shipped.resolve() != path.resolve():
        raise UsageError(
            f"'{recipe.name}' is the name of a shipped recipe",
            where=str(path),
            mend="rename the file or give the recipe a `name` of its own, so that results cannot be mixed up",
        )
    return recipe


def _taken(item: str) -> str:
    """Return ``KEY=@RECIPE`` as ``KEY=`` and what the other recipe has there; other items as they are.

    Raises:
        UsageError: the other recipe does not exist, or has no such key.
    """
    key, _, name = item.partition("=@")
    if not name or "=" in key:
        return item
    value: Any = load(name)
    for part in key.split("."):
        value = getattr(value.config if isinstance(value, Member) else value, part, None)
    if value is None and key not in Recipe.model_fields:
        raise UsageError(f"--set {item}: '{name}' has no {key}", mend=f"`mdrbench show {name}` prints its keys")
    return f"{key}={json.dumps(written(value), ensure_ascii=False)}"


def written(value: Any) -> Any:
    """Return a value of a recipe as JSON that can be read again from any folder."""
    if isinstance(value, Member):
        return value.written
    if isinstance(value, BaseModel):
        return {key: written(getattr(value, key)) for key in type(value).model_fields}
    return list(value) if isinstance(value, tuple) else value


def _read(path: Path, below: tuple[Path, ...]) -> _Written:
    """A recipe's YAML over that of the recipe it extends, over any number of levels.

    Args:
        below: the recipes that extend this one, to notice a circle.
    """
    data, lines = read_yaml(path)
    data = _with_full_paths(data, path.parent)
    parent_name = data.get("extends")
    places = {key: f"{path}:{line}" for key, line in lines.items()}
    if not isinstance(parent_name, str):
        return _Written(data, places)  # what is not text is reported when the recipe is checked
    try:
        parent_path = registry.recipe_file(parent_name)
    except UsageError as error:
        raise UsageError(f"extends: {error.message}", where=places["extends"], mend=error.mend) from None
    chain = (*below, path.resolve())
    if parent_path.resolve() in chain:
        circle = " -> ".join(each.stem for each in (*chain, parent_path))
        raise UsageError(
            f"recipes extend each other in a circle: {circle}",
            where=places["extends"],
            mend="remove `extends` from one of them",
        )
    parent = _read(parent_path, chain)
    inherited = {key: value for key, value in parent.data.items() if key not in ("name", "published")}
    data["extends"] = Path(parent_name).stem if parent_name.endswith((".yaml", ".yml")) else parent_name
    return _Written(merge(inherited, data, _retriever_of), {**parent.places, **places})


def _retriever_of(name: str, seen: tuple[str, ...] = ()) -> Any:
    """The mapping of a recipe's retriever, as written."""
    if name in seen:
        raise UsageError(
            f"recipes name each other in a circle: {' -> '.join([*seen, name])}", mend="write one retriever out"
        )
    retriever = _read(registry.recipe_file(name), ()).data.get("retriever")
    return _retriever_of(retriever, (*seen, name)) if isinstance(retriever, str) else retriever


def _with_full_paths(value: Any, folder: Path, key: str = "") -> Any:
    """A copy in which relative paths of recipes and member files start at ``folder``, where they are written."""
    if isinstance(value, dict):
        of_retriever = key == "of"
        return {k: _with_full_paths(v, folder, "retriever" if of_retriever else str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_full_paths(item, folder, "retriever" if key == "of" else "") for item in value]
    endings = {"name": (".py",), "extends": (".yaml", ".yml"), "retriever": (".yaml", ".yml")}.get(key)
    if isinstance(value, str) and endings and value.endswith(endings):
        return str(folder / Path(value).expanduser())
    return value


def _nearest(key: str, places: dict[str, str]) -> str | None:
    """The place of a dotted key, or of the nearest key above it."""
    while key and key not in places:
        key = key.rpartition(".")[0]
    return places.get(key)


def _line(key: str, places: dict[str, str]) -> int:
    line = (_nearest(key, places) or "").rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def _place(key: str, places: dict[str, str], path: Path) -> str:
    """A dotted key, with its line in brackets; also with its file if that is not ``path``."""
    place = _nearest(key, places)
    if place is None:
        return key
    file, _, line = place.rpartition(":")
    return f"{key} ({f'line {line}' if file == str(path) else place})"


def _mistakes(error: ValidationError, data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Pydantic's errors as (dotted key, text), with near names for unknown keys."""
    for item in error.errors():
        location = item["loc"]
        key = ".".join(map(str, location)) or "recipe"
        if item["type"] == "extra_forbidden":
            known = _known_keys(Recipe, data, location[:-1])
            yield key, f"unknown key; {did_you_mean(str(location[-1]), known)}"
        elif item["type"] == "missing":
            yield key, "missing"
        elif item["type"] in ("value_error", "member"):
            yield key, item["msg"].removeprefix("Value error, ")
        else:
            given = item["input"]
            shown = str(given).lower() if isinstance(given, bool) else _SHORT.repr(given)
            yield key, f"{item['msg']}, not {shown}"


def _known_keys(model: type[BaseModel], data: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed at a location of a model; none if that cannot be told."""
    at: type[BaseModel] | None = model
    steps = iter(map(str, location))
    for step in steps:
        if at is None:
            return []
        info = at.model_fields.get(step)
        data = data.get(step) if isinstance(data, dict) else None
        if found := part_of(info):
            part, several = found
            if several and (label := next(steps, None)) is not None:
                data = data.get(label) if isinstance(data, dict) else None
            at = _config_of(part.family, data.get("name", part.default) if isinstance(data, dict) else None)
        else:
            at = (
                next((each for each in _classes(info.annotation) if issubclass(each, BaseModel)), None)
                if info
                else None
            )
    return [] if at is None else [*at.model_fields]


def _config_of(family: str, name: Any) -> type[BaseModel] | None:
    try:
        config: type[BaseModel] = registry.source(family, name).load().spec.config
    except (UsageError, AttributeError, TypeError):
        return None
    return config


def _classes(annotation: Any) -> Iterator[type[Any]]:
    if isinstance(annotation, type):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _classes(inner)
