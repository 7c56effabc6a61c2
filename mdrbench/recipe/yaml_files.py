"""YAML without silent loss: duplicate keys are errors, keys know their lines, mappings merge, ``--set`` overrides."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from mdrbench.core.errors import UsageError


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

    A mapping that names another family member than the parent's replaces the parent's as a whole, and so does an ``of``
    whose parts are all named: an ensemble is what it lists. The parent's ``weights`` of its parts go with them.
    """
    result = dict(parent)
    if _named_parts(child.get("of")):
        result = {key: value for key, value in parent.items() if key not in ("of", "weights")}
    for key, value in child.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("name", old.get("name")) == old.get("name"):
            result[key] = merge(old, value)
        else:
            result[key] = value
    return result


def _named_parts(value: Any) -> bool:
    if not isinstance(value, dict):
        return isinstance(value, list)
    named = (isinstance(part, str) or (isinstance(part, dict) and "name" in part) for part in value.values())
    return bool(value) and all(named)


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
