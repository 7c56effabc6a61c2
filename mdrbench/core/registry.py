"""Find the members of each family: built in, from installed packages, or in a Python file.

A family is a folder of the package (``retrievers/``, ``judges/`` ...). A member is a class with an attribute ``spec``
(:class:`mdrbench.core.members.Spec`). Its module's docstring describes it: ``mdrbench list FAMILY`` prints the first
line. Members come from three places:

- a file in the family's folder: ``my_rule.py`` is the member ``my-rule``;
- an installed package with an entry point, such as ``my-rule = "my_package.rules:MyRule"`` in the group
  ``mdrbench.miners``;
- a Python file that a recipe names by its path: ``mining: {name: ./my_rule.py}``.

Summaries are read without importing the member, so a list needs no heavy import. Recipes and baselines are YAML files
in folders of their own.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import traceback
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
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
"""Family -> the package below ``mdrbench`` whose modules are its built-in members."""

GROUPS = {
    "domains": "mdrbench.domains",
    "encoders": "mdrbench.encoders",
    "executors": "mdrbench.executors",
    "generation": "mdrbench.generators",
    "indexes": "mdrbench.indexes",
    "judges": "mdrbench.judges",
    "mining": "mdrbench.miners",
    "retrievers": "mdrbench.retrievers",
    "samplers": "mdrbench.samplers",
}
"""Family -> the entry point group in which installed packages offer members."""


def resource(name: str) -> Path:
    """A top-level folder of the project (``baselines``, ``recipes``, ``site``, ``results``), packaged or not."""
    packaged = PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else PACKAGE.parent / name


@dataclass(frozen=True)
class Source:
    """The code of one member: where it is, and what identifies it.

    Attributes:
        name: the member's name in recipes; ``./my_rule.py`` for a file.
        file: the Python file with the member; None if it cannot be found.
        entry: the entry point of a member from a package.
    """

    family: str
    name: str
    file: Path | None
    entry: EntryPoint | None = None

    @property
    def outside(self) -> bool:
        """Whether the member is not part of mdrbench."""
        return self.entry is not None or self.name.endswith(".py")

    @property
    def origin(self) -> str:
        """``built in``, ``package NAME VERSION`` or ``file PATH``."""
        if self.entry is not None:
            return " ".join(("package", *_distribution(self.entry)))
        return f"file {self.file}" if self.outside else "built in"

    @property
    def summary(self) -> str:
        """The first line of the module's docstring."""
        return _summary(self.file, self.file.stat().st_mtime_ns) if self.file else ""

    @cached_property
    def record(self) -> dict[str, str]:
        """What identifies code from outside, for keys and results: its SHA-256, and package and version if any."""
        if self.entry is None:
            return {"sha256": _sha256(self.file)} if self.file and self.outside else {}
        package, version = _distribution(self.entry)
        return {"package": package, "version": version, **({"sha256": _package_sha256(self.file)} if self.file else {})}

    def load(self) -> type[Any]:
        """The member's class.

        Raises:
            UsageError: code from outside cannot be imported, or has no class with a ``spec``.
        """
        if self.entry is not None:
            return _checked(self._imported(self.entry.load), self)
        if self.outside:
            return _member_class(self._imported(self._from_file), self)
        module = f"mdrbench.{FAMILIES[self.family]}.{self.name.replace('-', '_')}"
        return _member_class(importlib.import_module(module), self)

    def _from_file(self) -> ModuleType:
        assert self.file is not None
        return _load_file(self.file, self.record["sha256"])

    def _imported(self, load: Any) -> Any:
        try:
            return load()
        except Exception as error:
            line = next(
                (frame.lineno for frame in reversed(traceback.extract_tb(error.__traceback__))
                 if frame.filename == str(self.file)), None
            )  # fmt: skip
            raise UsageError(
                f"the member '{self.name}' of {self.family} cannot be imported: {type(error).__name__}: {error}",
                where=f"{self.file}:{line}" if line else self.origin,
                mend="correct the code, then run the command again",
            ) from error


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of a group by name, read once: it means opening the metadata of every installed package."""
    return tuple(sorted(entry_points(group=group), key=lambda entry: entry.name))


@cache
def _built_in(family: str) -> dict[str, Path]:
    """The files of a family's built-in members by name, looked up once."""
    files = PACKAGE.joinpath(*FAMILIES[family].split(".")).glob("*.py")
    return {file.stem.replace("_", "-"): file for file in sorted(files) if not file.stem.startswith("_")}


def members(family: str) -> dict[str, Source]:
    """The built-in and packaged members of a family by name.

    Raises:
        UsageError: there is no such family.
    """
    if family not in FAMILIES:
        raise UsageError(f"unknown family '{family}'", mend=did_you_mean(family, list(FAMILIES)))
    found = {name: Source(family, name, file) for name, file in _built_in(family).items()}
    for entry in _entry_points(GROUPS[family], tuple(sys.path)) if family in GROUPS else ():
        if entry.name in found:
            raise UsageError(
                f"two members of {family} are called '{entry.name}': {found[entry.name].origin} and "
                f"{' '.join(('package', *_distribution(entry)))}",
                mend=f"uninstall the package {_distribution(entry)[0]}, or rename its entry point",
            )
        found[entry.name] = Source(family, entry.name, _module_file(entry.module), entry)
    return found


def source(family: str, name: str) -> Source:
    """The member of a family with this name, or in the Python file with this path.

    Raises:
        UsageError: there is no such member; the message lists near names.
    """
    if name.endswith(".py"):
        file = Path(name).expanduser().resolve()
        if not file.is_file():
            raise UsageError(f"no file {file}", mend=f"correct the path, or see `mdrbench list {family}`")
        return Source(family, f"./{file.name}", file)
    known = members(family)
    if name not in known:
        raise UsageError(f"no '{name}' among {family}", mend=did_you_mean(name, list(known)))
    return known[name]


def _member_class(found: ModuleType, of: Source) -> type[Any]:
    """The one class of a module that has a ``spec`` of its own."""
    classes = [
        each
        for each in vars(found).values()
        if isinstance(each, type) and each.__module__ == found.__name__ and "spec" in vars(each)
    ]
    if len(classes) != 1:
        raise UsageError(
            f"a member of {of.family} is one class with `spec = Spec(...)`; the file has {len(classes)}",
            where=str(of.file),
            mend="see docs/add-a-miner.md for a complete file",
        )
    return _checked(classes[0], of)


def _checked(found: Any, of: Source) -> type[Any]:
    from mdrbench.core.members import Spec

    if isinstance(found, type) and isinstance(getattr(found, "spec", None), Spec):
        return found
    raise UsageError(
        f"the member '{of.name}' of {of.family} has no `spec = Spec(...)`",
        where=str(of.file or of.origin),
        mend="see docs/add-a-miner.md for a complete file",
    )


def _load_file(file: Path, sha256: str) -> ModuleType:
    """Run a file as a module, once for each content; the code that runs is the code that was hashed."""
    name = f"mdrbench_member_{sha256[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UsageError("the file changed while it was read", where=str(file), mend="run the command again")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded  # pydantic looks up annotations there
    try:
        exec(compile(content, str(file), "exec"), vars(loaded))
    except BaseException:
        del sys.modules[name]
        raise
    return loaded


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the package that offers an entry point."""
    return (entry.dist.name, entry.dist.version) if entry.dist else (entry.module.partition(".")[0], "unknown")


def _module_file(name: str) -> Path | None:
    """The source file of a module; its parent packages are imported, the module itself is not."""
    try:
        spec = importlib.util.find_spec(name)
    except Exception:  # a parent package that cannot be imported; loading the member says why
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _package_sha256(file: Path) -> str:
    """SHA-256 of all Python files of the top-level package that a file belongs to, names included."""
    top = file.parent
    if not (top / "__init__.py").exists():
        return _sha256(file)
    while (top.parent / "__init__.py").exists():
        top = top.parent
    lines = (f"{each.relative_to(top)} {_sha256(each)}\n" for each in sorted(top.rglob("*.py")))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def _summary(path: Path, changed: int) -> str:
    """The first line of a module's docstring, read once for each version of the file."""
    try:
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (SyntaxError, UnicodeDecodeError):
        return "(this file is not valid Python)"
    return doc.split("\n", 1)[0]


def recipe_files() -> dict[str, Path]:
    """Shipped baselines and recipes, name -> YAML file."""
    files = [*resource("baselines").glob("*.yaml"), *resource("recipes").glob("*.yaml")]
    return {path.stem: path for path in sorted(files, key=lambda p: p.stem)}


def recipe_file(name: str) -> Path:
    """The file of a recipe, given by the name of a shipped recipe or by the path of a YAML file.

    Raises:
        UsageError: there is no such recipe.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UsageError("no such recipe file", where=name, mend="check the path, or see `mdrbench list`")
        return path
    known = recipe_files()
    if name not in known:
        raise UsageError(f"unknown recipe '{name}'", mend=did_you_mean(name, list(known)))
    return known[name]
