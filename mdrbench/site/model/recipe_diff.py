"""What a recipe changes in the recipe that it comes from, key by key."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import yaml

from mdrbench.core import registry
from mdrbench.site.model.board import Board, Collection, Entry

NOT_COMPARED = ("name", "summary", "extends", "published")


class Change(NamedTuple):
    """One key; ``before`` or ``after`` is None where only one of the two recipes has it."""

    key: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> str:
        """changed, added or removed."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


class Difference(NamedTuple):
    """A recipe against its parent. ``entry`` is the parent's result where there is one; ``file`` says that the parent
    was read from a recipe's file, whose defaults are not written out; ``collection`` is the entry's."""

    parent: str
    changes: list[Change]
    entry: Entry | None = None
    collection: Collection | None = None
    file: bool = False


def difference(board: Board, collection: Collection, entry: Entry) -> Difference | None:
    """What an entry's recipe changes in the one it extends or is a variant of; None where it has no parent, or where
    nothing is known of it.

    The parent is looked for among the results, of the same collection first, then among the recipes that are shipped.
    """
    recipe, name = entry.result.system.recipe, parent(entry)
    if not recipe or name is None:
        return None
    for where in (collection, *(other for other in board.collections if other is not collection)):
        for found in where.measured:
            system = found.result.system
            if found is not entry and system.name == name and not system.variant_of and system.recipe:
                return Difference(name, compare(system.recipe, recipe), found, where)
    theirs = shipped(name)
    if theirs is None:
        return None
    own = shipped(entry.result.system.name) or {}
    return Difference(name, compare(theirs, recipe, {*_flat(theirs), *_flat(own)}), file=True)


def parent(entry: Entry) -> str | None:
    """The name of the recipe that an entry's extends or is a variant of."""
    name = entry.result.system.variant_of or (entry.result.system.recipe or {}).get("extends")
    return name if isinstance(name, str) else None


def claims(recipe: dict[str, Any]) -> list[str]:
    """The published systems whose figures a recipe says that it reproduces."""
    published = recipe.get("published")
    systems = published.get("systems") if isinstance(published, dict) else None
    return [name for name in systems if isinstance(name, str)] if isinstance(systems, list | tuple) else []


def compare(before: dict[str, Any], after: dict[str, Any], written: set[str] | None = None) -> list[Change]:
    """Keys whose values differ, in the order of the later recipe.

    Args:
        written: where ``before`` has not all defaults written out: the only keys to compare; what both have not, or
            what is a mapping in one alone, is then left out.
    """
    old, new = _flat(before), _flat(after)
    keys = [key for key in [*new, *(key for key in old if key not in new)] if old.get(key) != new.get(key)]
    if written is not None:
        keys = [key for key in keys if key in written and key in new]
    return [Change(key, old.get(key), new.get(key)) for key in keys]


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted key -> value as JSON; None and keys that change no score are left out."""
    found: dict[str, str] = {}
    for key, one in value.items():
        if one is None or (not prefix and key in NOT_COMPARED):
            continue
        path = f"{prefix}{key}"
        found |= (
            _flat(one, f"{path}.") if isinstance(one, dict) and one else {path: json.dumps(one, ensure_ascii=False)}
        )
    return found


def shipped(name: str) -> dict[str, Any] | None:
    """A shipped recipe as its file has it, None where there is none or it cannot be read."""
    path = registry.recipe_files().get(name)
    if path is None:
        return None
    try:
        found = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return None
    return found if isinstance(found, dict) else None
