"""Who may import whom (docs/architecture.md), and what must stay out of the light commands."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from conftest import PROJECT

PACKAGE = PROJECT / "mdrbench"

LEVELS = {
    1: ("errors", "types", "languages", "output"),
    2: (
        *("formats", "layout", "registry", "store", "java", "environment", "hub", "llm", "recorded"),
        *("measures", "fusion", "agreement", "vectors", "packing", "training", "weighting"),
    ),
    3: (*("datasets", "domains", "encoders", "generation", "indexes", "judges", "mining", "retrievers", "samplers"),),
    4: (
        *("recipe", "sections", "plan", "stages", "negatives", "pipeline", "executors", "record", "running"),
        *("running_negatives", "caching", "doctor", "ablation", "generator_tuning", "mteb", "trust"),
    ),
    5: ("results", "site"),
    6: ("cli", "progress", "__main__"),
}
MAY_SEE = {1: {1}, 2: {1, 2}, 3: {1, 2, 3}, 4: {1, 2, 4, 5}, 5: {1, 2, 5}, 6: {1, 2, 3, 4, 5, 6}}
EXCEPTIONS = {
    ("running", "progress"),  # it is what connects a run with its display
}
LEVEL = {name: level for level, names in LEVELS.items() for name in names}


def unit(path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own_imports(path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mdrbench":
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("mdrbench.")}
    return found - {"__version__"}


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_the_levels(path):
    me = unit(path)
    assert me in LEVEL, f"{me} has no level"
    for other in own_imports(path):
        allowed = LEVEL[other] in MAY_SEE[LEVEL[me]] or (me, other) in EXCEPTIONS
        assert allowed, f"{me} (level {LEVEL[me]}) imports {other} (level {LEVEL[other]})"
        same_family = LEVEL[me] == 3 and LEVEL[other] == 3 and me != other
        assert not same_family, f"family {me} imports family {other}"


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        ("--help", ("pydantic", "numpy", "rich", "yaml", "torch", "pyserini")),
        ("list", ("numpy", "torch", "transformers", "pyserini", "jnius")),
        ("show bm25", ("numpy", "torch", "transformers", "jnius")),
        (
            "report --results {project}/results --out {tmp}/site",
            ("torch", "transformers", "pyserini", "jnius"),
        ),
    ],
)
def test_light_commands_import_nothing_heavy(words, absent, tmp_path):
    words = words.format(project=PROJECT, tmp=tmp_path).split()
    script = (
        "import sys, atexit; sys.argv = ['mdrbench'] + sys.argv[1:]; "
        f"atexit.register(lambda: print([m for m in {absent!r} if m in sys.modules], file=sys.stderr)); "
        "from mdrbench.cli import main; main()"
    )
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"
