"""The keys that a recipe changes in its parent: the recipe that it extends or is a variant of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from mdrbench.core import registry
from mdrbench.site.model.collection import Collection, Entry

NOT_COMPARED = ("name", "summary", "extends", "published")
"""Keys that change no score."""


class Change(NamedTuple):
    """One key; ``before`` or ``after`` is None if only one of the two recipes has it."""

    key: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> str:
        """``changed``, ``added`` or ``removed``."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


class RecipeDiff(NamedTuple):
    """A recipe against its parent.

    Attributes:
        entry, collection: a result of the parent, if there is one.
        from_file: whether the parent was read from a shipped recipe file, which does not list defaults.
    """

    parent: str
    changes: list[Change]
    entry: Entry | None = None
    collection: Collection | None = None
    from_file: bool = False


def diff_to_parent(collections: Sequence[Collection], collection: Collection, entry: Entry) -> RecipeDiff | None:
    """Compare an entry's recipe with its parent; None if it has no parent, or if the parent is unknown.

    The parent is taken from the results of the same collection, then of other collections, then from shipped recipes.
    """
    recipe, name = entry.result.system.recipe, _parent(entry)
    if not recipe or name is None:
        return None
    for other in (collection, *(c for c in collections if c is not collection)):
        for candidate in other.measured:
            system = candidate.result.system
            if candidate is not entry and system.name == name and not system.variant_of and system.recipe:
                return RecipeDiff(name, compare(system.recipe, recipe), candidate, other)
    parent = shipped(name)
    if parent is None:
        return None
    own = shipped(entry.result.system.name) or {}
    return RecipeDiff(name, compare(parent, recipe, {*_flat(parent), *_flat(own)}), from_file=True)


def _parent(entry: Entry) -> str | None:
    name = entry.result.system.variant_of or (entry.result.system.recipe or {}).get("extends")
    return name if isinstance(name, str) else None


def claims(recipe: dict[str, Any]) -> list[str]:
    """Return the published systems whose figures a recipe says that it reproduces."""
    published = recipe.get("published")
    systems = published.get("systems") if isinstance(published, dict) else None
    return [name for name in systems if isinstance(name, str)] if isinstance(systems, list | tuple) else []


def compare(before: dict[str, Any], after: dict[str, Any], written: set[str] | None = None) -> list[Change]:
    """Return the keys whose values differ, in the order of the later recipe.

    Args:
        written: the only keys to compare, if ``before`` does not list its defaults. A key that only one recipe has as a
            mapping is then left out.
    """
    old, new = _flat(before), _flat(after)
    keys = [key for key in [*new, *(key for key in old if key not in new)] if old.get(key) != new.get(key)]
    if written is not None:
        keys = [key for key in keys if key in written and key in new]
    return [Change(key, old.get(key), new.get(key)) for key in keys]


def _flat(recipe: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return dotted keys with their values as JSON, without None and without :data:`NOT_COMPARED`."""
    flat: dict[str, str] = {}
    for key, value in recipe.items():
        if value is None or (not prefix and key in NOT_COMPARED):
            continue
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{path}.")
        else:
            flat[path] = json.dumps(value, ensure_ascii=False)
    return flat


def shipped(name: str) -> dict[str, Any] | None:
    """Read a shipped recipe file; None if there is none or if it is damaged."""
    path = registry.recipe_files().get(name)
    if path is None:
        return None
    try:
        recipe = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return None
    return recipe if isinstance(recipe, dict) else None
