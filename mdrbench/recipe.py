"""Recipes: YAML data, checked by pydantic, every mistake reported at once.

A recipe names its parts by family member (``retriever: {name: bm25, k1: 0.9}``); the member's own ``Config`` checks
the rest of the mapping. ``extends`` merges one parent recipe (whose own ``extends`` is an error), ``--set a.b=value``
overrides single keys. Errors carry the path of the key, the line of the file and the nearest known name.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mdrbench import measures, registry
from mdrbench.errors import MdrbenchError, UsageError, did_you_mean
from mdrbench.store import key_of


def _measure(value: str) -> str:
    try:
        measures.parse_measure(value)
    except MdrbenchError as error:
        raise ValueError(f"{error.message}; {error.mend}") from None
    return value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Search(_Section):
    """How deep to search."""

    depth: int = Field(default=100, ge=1, le=10_000, description="hits kept for each topic")


class Evaluation(_Section):
    """What is measured and how sure we are of it."""

    measures: tuple[Annotated[str, AfterValidator(_measure)], ...] = Field(default=measures.DEFAULT, min_length=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="coverage of the bootstrap intervals")
    resamples: int = Field(default=2000, ge=100, le=100_000, description="bootstrap resamples")


class Published(_Section):
    """The published rows that this recipe reproduces: the ``system`` names used in ``results/published``."""

    systems: tuple[str, ...]


class Recipe(_Section):
    """A resolved recipe. ``retriever`` is the member's complete configuration, defaults included, with its name."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    summary: str = Field(min_length=1)
    retriever: dict[str, Any]
    search: Search = Search()
    evaluation: Evaluation = Evaluation()
    seed: int = Field(default=42, ge=0)
    published: Published | None = None
    extends: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of everything that can change a score: all but name, summary, parent and published rows."""
        return key_of(self.model_dump(mode="json", exclude={"name", "summary", "extends", "published"}))


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without silent loss: a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if key in seen:
                raise UsageError(
                    f"key '{key}' is given twice (lines {seen[key]} and {line})", mend="keep one of the two"
                )
            seen[key] = line
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """A YAML mapping and the line of each of its keys by dotted path."""
    text = path.read_text(encoding="utf-8")
    try:
        data = yaml.load(text, Loader=_Loader)
        root = yaml.compose(text, Loader=_Loader)
    except UsageError as error:
        raise UsageError(error.message, where=str(path), mend=error.mend) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UsageError(
            f"not valid YAML: {getattr(error, 'problem', error)}", where=where, mend="mend the line"
        ) from None
    if not isinstance(data, dict) or not isinstance(root, yaml.MappingNode):
        raise UsageError("a recipe is a mapping of keys", where=str(path), mend="see `mdrbench show bm25`")
    found: dict[str, int] = {}
    _note_lines(root, "", found)
    return data, found


def _note_lines(node: yaml.MappingNode, prefix: str, found: dict[str, int]) -> None:
    for key_node, value_node in node.value:
        path = f"{prefix}{key_node.value}"
        found[path] = key_node.start_mark.line + 1
        if isinstance(value_node, yaml.MappingNode):
            _note_lines(value_node, f"{path}.", found)


def merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """Child over parent; mappings are merged key by key, anything else is replaced.

    A mapping that names another family member than the parent's replaces the parent's as a whole.
    """
    result = dict(parent)
    for key, value in child.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("name", old.get("name")) == old.get("name"):
            result[key] = merge(old, value)
        else:
            result[key] = value
    return result


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """``["search.depth=50"]`` -> ``{"search": {"depth": 50}}``; values are read as YAML."""
    result: dict[str, Any] = {}
    for item in items:
        path, equals, text = item.partition("=")
        keys = path.split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set '{item}' is not KEY=VALUE", mend="write for instance --set retriever.k1=1.2")
        try:
            value = yaml.load(text, Loader=_Loader)
        except yaml.YAMLError:
            raise UsageError(f"--set '{item}': the value is not valid YAML", mend="quote the value") from None
        here = result
        for key in keys[:-1]:
            here = here.setdefault(key, {})
            if not isinstance(here, dict):
                raise UsageError(f"--set '{item}' contradicts another --set", mend="give one of the two")
        here[keys[-1]] = value
    return result


def load(name: str, overrides: list[str] | None = None) -> Recipe:
    """Load, merge and check a recipe given by name or YAML path.

    Raises:
        UsageError: with all that is wrong with it, a line for each mistake.
    """
    path = registry.recipe_file(name)
    data, at = read_yaml(path)
    parent_name = data.get("extends")
    if parent_name is not None:
        parent_path = registry.recipe_file(str(parent_name))
        parent, _ = read_yaml(parent_path)
        if "extends" in parent:
            raise UsageError(
                f"'{parent_name}' itself extends '{parent['extends']}'",
                where=f"{path}:{at['extends']}",
                mend="extend one level only",
            )
        data = merge({k: v for k, v in parent.items() if k not in ("name", "published")}, data)
    data.setdefault("name", path.stem)
    origin = {key: f"line {line}" for key, line in at.items()}
    if overrides:
        data = merge(data, parse_overrides(overrides))
        origin.update({item.partition("=")[0]: "--set" for item in overrides})
    mistakes = _check(data)
    if mistakes:
        listed = "\n".join(f"  - {_place(key, origin)}{text}" for key, text in mistakes)
        raise UsageError(
            f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in the recipe:\n{listed}",
            where=str(path),
            mend="`mdrbench show RECIPE` prints every key with its value",
        )
    shipped = registry.recipe_files().get(data["name"])
    if shipped is not None and shipped.resolve() != path.resolve():
        raise UsageError(
            f"'{data['name']}' is the name of a shipped recipe",
            where=str(path),
            mend="rename the file or give the recipe a `name` of its own, so that results cannot be mixed up",
        )
    return Recipe.model_validate({**data, "retriever": _config("retrievers", data["retriever"])})


def _place(path: str, origin: dict[str, str]) -> str:
    return f"{path} ({origin[path]}): " if path in origin else f"{path}: "


def _config(family: str, section: dict[str, Any]) -> dict[str, Any]:
    """A section with the defaults of its member, and of the members that its parts name, filled in."""
    module = registry.load(family, section["name"])
    rest = {key: value for key, value in section.items() if key != "name"}
    for part, part_family in getattr(module, "PARTS", {}).items():
        rest[part] = _config(part_family, rest[part])
    return {"name": section["name"], **module.Config.model_validate(rest).model_dump(mode="json")}


def _check(data: dict[str, Any]) -> list[tuple[str, str]]:
    """All mistakes as (dotted key, text)."""
    mistakes: list[tuple[str, str]] = []
    try:
        Recipe.model_validate(data)
    except ValidationError as error:
        mistakes += _explain(error, Recipe, "")
    if isinstance(data.get("retriever"), dict):
        mistakes += _check_section("retrievers", data["retriever"], "retriever.")
    return mistakes


def _check_section(family: str, section: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    """The mistakes of a section that names a member of a family, its parts included."""
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
        mistakes += _explain(error, module.Config, prefix)
    for part, part_family in getattr(module, "PARTS", {}).items():
        if isinstance(section.get(part), dict):
            mistakes += _check_section(part_family, section[part], f"{prefix}{part}.")
    return mistakes


def _explain(error: ValidationError, model: type[BaseModel], prefix: str) -> list[tuple[str, str]]:
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
