"""The folder is the registry.

A family is a folder of the package (``retrievers/``, ``datasets/`` ...); a member is one file in it that exposes a
docstring (its first line is the summary that ``mdrbench list FAMILY`` prints), ``VERSION``, a frozen pydantic
``Config`` with unknown keys forbidden, and ``build(config)``. Summaries are read without importing the member, so a
list costs no heavy import. Recipes and baselines are YAML files in folders of their own.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mdrbench.core.errors import UsageError, did_you_mean

PACKAGE = Path(__file__).parents[1]

FAMILIES = {
    "datasets": "data.datasets",
    "domains": "training.domains",
    "encoders": "retrieval.encoders",
    "executors": "pipeline.executors",
    "generation": "negatives.generation",
    "indexes": "retrieval.indexes",
    "judges": "negatives.judges",
    "mining": "negatives.mining",
    "retrievers": "retrieval.retrievers",
    "samplers": "training.samplers",
}
"""Family -> the package below ``mdrbench`` whose modules are its members."""


def resource(name: str) -> Path:
    """A top-level folder of the project (``baselines``, ``recipes``, ``site``, ``results``), packaged or not."""
    packaged = PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else PACKAGE.parent / name


def members(family: str) -> dict[str, str]:
    """Names of a family's members with their one-line summaries."""
    if family not in FAMILIES:
        raise UsageError(f"unknown family '{family}'", mend=did_you_mean(family, list(FAMILIES)))
    found = {}
    for path in sorted(PACKAGE.joinpath(*FAMILIES[family].split(".")).glob("*.py")):
        if not path.stem.startswith("_"):
            found[path.stem.replace("_", "-")] = _summary(path, path.stat().st_mtime_ns)
    return found


@cache
def _summary(path: Path, changed: int) -> str:
    """The first line of a module's docstring, read once for each version of the file."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.split("\n", 1)[0]


def load(family: str, name: str) -> ModuleType:
    """Import one member, e.g. ``load("retrievers", "bm25")``; unknown names answer with near ones."""
    known = members(family)
    if name not in known:
        raise UsageError(f"no {name!r} among {family}", mend=did_you_mean(name, list(known)))
    return importlib.import_module(f"mdrbench.{FAMILIES[family]}.{name.replace('-', '_')}")


def build(family: str, settings: dict[str, Any]) -> Any:
    """The object that a member makes of its settings; ``settings["name"]`` names the member."""
    rest = dict(settings)
    member = load(family, rest.pop("name"))
    return member.build(member.Config.model_validate(rest))


def keyed(family: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that cannot change what comes out: the member's ``RUN_ONLY``, and its parts' likewise."""
    member = load(family, settings["name"])
    left_out = getattr(member, "RUN_ONLY", ())
    result = {key: value for key, value in settings.items() if key not in left_out}
    for key, part_family in getattr(member, "PARTS", {}).items():
        if result.get(key) is not None:
            result[key] = keyed(part_family, result[key])
    for key, part_family in getattr(member, "MANY", {}).items():
        result[key] = {label: keyed(part_family, part) for label, part in result[key].items()}
    return result


def recipe_files() -> dict[str, Path]:
    """Shipped baselines and recipes, name -> YAML file."""
    files = [*resource("baselines").glob("*.yaml"), *resource("recipes").glob("*.yaml")]
    return {path.stem: path for path in sorted(files, key=lambda p: p.stem)}


def recipe_file(name: str) -> Path:
    """The file of a recipe given by name or by the path of a YAML file of one's own."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UsageError("no such recipe file", where=name, mend="check the path, or see `mdrbench list`")
        return path
    known = recipe_files()
    if name not in known:
        raise UsageError(f"unknown recipe '{name}'", mend=did_you_mean(name, list(known)))
    return known[name]
