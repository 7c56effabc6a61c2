"""Lay one recipe over another: ``extends``, and ``--set`` of single keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mdrbench.core.errors import UsageError
from mdrbench.core.members import labelled
from mdrbench.recipe.yaml_files import parse_value

RetrieverOf = Callable[[str], Any]
"""A recipe's name -> the mapping of its retriever; a UsageError if recipes name each other in a circle."""


def merge(
    parent: dict[str, Any], child: dict[str, Any], retriever_of: RetrieverOf, *, parts: bool = False
) -> dict[str, Any]:
    """Lay ``child`` over ``parent``; mappings are merged key by key, anything else is replaced.

    A mapping that names another family member than the parent's replaces the parent's as a whole. So does an ``of``
    whose parts are all named: an ensemble is what it lists, and the parent's ``weights`` of its parts go with them. A
    mapping without a name over the name of a recipe changes single settings of that recipe's retriever.

    Args:
        parts: whether the mappings hold retrievers by label, as under ``of``.
    """
    result = dict(parent)
    if _names_all_parts(child.get("of")):
        result = {key: value for key, value in parent.items() if key not in ("of", "weights")}
    for key, value in child.items():
        old = result.get(key)
        if isinstance(value, dict) and "name" not in value:
            old = _written_out(old, retriever_of) if parts or key in ("of", "retriever") else old
        if isinstance(old, dict) and isinstance(value, dict) and value.get("name", old.get("name")) == old.get("name"):
            result[key] = merge(old, value, retriever_of, parts=key == "of")
        else:
            result[key] = value
    return result


def _written_out(old: Any, retriever_of: RetrieverOf) -> Any:
    """A list of retrievers as a mapping, and a recipe's name as that recipe's retriever, so that keys can be set."""
    try:
        old = labelled(old)
    except ValueError:
        return old  # reported when the recipe is checked
    return retriever_of(old) if isinstance(old, str) else old


def _names_all_parts(value: Any) -> bool:
    if not isinstance(value, dict):
        return isinstance(value, list)
    named = (isinstance(part, str) or (isinstance(part, dict) and "name" in part) for part in value.values())
    return bool(value) and all(named)


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """``["search.depth=50"]`` -> ``{"search": {"depth": 50}}``; values are read as YAML.

    Raises:
        UsageError: an item is not KEY=VALUE, its value is not YAML, or two items contradict each other.
    """
    result: dict[str, Any] = {}
    for item in items:
        path, equals, text = item.partition("=")
        keys = path.split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set '{item}' is not KEY=VALUE", mend="write for instance --set retriever.k1=1.2")
        try:
            value = parse_value(text)
        except UsageError as error:
            raise UsageError(f"--set '{item[:80]}': {error.message}", mend=error.mend) from None
        here = result
        for key in keys[:-1]:
            here = here.setdefault(key, {})
            if not isinstance(here, dict):
                raise UsageError(f"--set '{item}' contradicts another --set", mend="give one of the two")
        here[keys[-1]] = value
    return result
