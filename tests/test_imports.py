"""Which room may import which (docs/architecture.md), and what the light commands must not import."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from support.project import PROJECT

PACKAGE = PROJECT / "mdrbench"

FOUNDATION = {"core", "formats", "hub"}
MAY_IMPORT = {
    "core": set(),
    "formats": {"core"},
    "hub": {"core"},
    "data": FOUNDATION,
    "llm": FOUNDATION,
    "evaluation": {"core", "formats"},
    "retrieval": FOUNDATION | {"evaluation"},
    "negatives": FOUNDATION | {"llm"},
    "training": FOUNDATION | {"retrieval"},
    "recipe": {"core", "evaluation", "training"},
    "results": {"core", "formats", "evaluation", "recipe"},
    "pipeline": FOUNDATION | {"data", "evaluation", "llm", "negatives", "recipe", "results", "retrieval", "training"},
    "site": FOUNDATION | {"data", "evaluation", "results"},
    "commands": FOUNDATION | {"data", "evaluation", "negatives", "pipeline", "recipe", "results", "retrieval"},
}
"""Room -> the rooms it may import. ``cli``, ``api`` and ``__main__`` are at the top and may import all of them."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports(path: Path) -> list[ast.Import | ast.ImportFrom]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in imports(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mdrbench":
            below = node.module.split(".")[1:]
            rooms |= {below[0]} if below else {alias.name for alias in node.names}
        else:
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mdrbench.")}
    return rooms - {"__version__"}


def test_rooms_import_only_the_rooms_below_them():
    modules = [path for path in PACKAGE.rglob("*.py") if room_of(path) in MAY_IMPORT]
    assert {room_of(path) for path in PACKAGE.rglob("*.py")} == {*MAY_IMPORT, "api", "cli", "__main__", "__init__"}
    upward = {
        f"{path.relative_to(PACKAGE)} imports {room}"
        for path in modules
        for room in imported_rooms(path) - MAY_IMPORT[room_of(path)] - {room_of(path)}
    }
    assert upward == set()


def test_no_module_of_pyserini_is_imported():
    """Its version 2 fetches lists of indexes from the network at import. Only its jar is used."""
    for path in PACKAGE.rglob("*.py"):
        for node in imports(path):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert "pyserini" not in [name.partition(".")[0] for name in names], path


def test_the_table_of_rooms_in_the_documentation_is_the_rule():
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|.*\| ([a-z, -]+) \|$", page, flags=re.MULTILINE)
    assert {room: set(below.replace("-", "").split(", ")) - {""} for room, below in rows} == MAY_IMPORT


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        ("--version", ("pydantic", "numpy", "rich", "yaml", "torch", "pyserini")),
        ("--help", ("pydantic", "numpy", "rich", "yaml", "torch", "pyserini")),
        ("list", ("numpy", "torch", "transformers", "pyserini", "jnius")),
        ("show bm25", ("numpy", "torch", "transformers", "jnius")),
        pytest.param(
            "report --results {tmp}/results --out {tmp}/site",
            ("torch", "transformers", "pyserini", "jnius"),
            marks=pytest.mark.medium,
        ),
    ],
)
def test_light_commands_import_nothing_heavy(words, absent, tmp_path):
    sample = PROJECT / "results" / "sample"
    shutil.copytree(sample, tmp_path / "results" / "sample", ignore=shutil.ignore_patterns("variants", "ablations"))
    words = words.format(tmp=tmp_path).split()
    script = (
        "import sys, atexit; sys.argv = ['mdrbench'] + sys.argv[1:]; "
        f"atexit.register(lambda: print([m for m in {absent!r} if m in sys.modules], file=sys.stderr)); "
        "from mdrbench.cli import main; main()"
    )
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"
