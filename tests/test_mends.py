"""Every mend names recipe keys, options and commands that exist: what an error tells the user to do can be done."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from support.commands import all_options, options
from support.project import PROJECT
from support.recipe_keys import recipe_keys

PACKAGE = PROJECT / "mdrbench"
OTHER_OPTIONS = {"--force-reinstall", "--fetch-depth"}
"""Options of other programs that mends name."""
NAMES = {"model_meta", "model_type", "trust_remote_code", "auto_map", "to_disk", "json_schema"}
"""Words with underscores that are neither keys nor options: values, and names of other programs."""
FILE_ENDINGS = r"bin|jsonl?|[ct]sv|gz|md|py|ya?ml|co|cc|org|zip|safetensors|xml|trec|html|txt|cfg|toml|com"


class Mend(NamedTuple):
    """The text of a mend. A value that is filled in at run time reads ``X``."""

    place: str
    text: str


def _text(node: ast.AST) -> str:
    """Return the constant text of an expression, with ``X`` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "X" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (_text(node.left) or "X") + (_text(node.right) or "X")
    return ""


def _texts(node: ast.AST) -> Iterator[str]:
    """Yield the texts that an expression can give: both ends of ``a if b else c``."""
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif text := _text(node):
        yield text


@pytest.fixture(scope="module")
def mends() -> list[Mend]:
    """All mends of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            argument = isinstance(node, ast.keyword) and node.arg in ("mend", "again", "by_hand")
            variable = isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "mend" for t in node.targets)
            if argument or variable:
                place = f"{path.relative_to(PROJECT)}:{node.value.lineno}"
                found += [Mend(place, text) for text in _texts(node.value)]
    assert len(found) > 250
    return found


@pytest.fixture(scope="module")
def keys() -> set[str]:
    """All keys of recipes."""
    found = recipe_keys()
    assert {"retriever.k1", "negatives.judge.ungraded", "training.sampler.domains", "search.depth"} <= found
    assert {"retriever.encoder.precision", "retriever.index.m", "negatives.judge.encoder.model"} <= found
    assert "judge.missing" not in found
    return found


def test_recipe_keys_in_mends_exist(mends, keys):
    leaves = {key.rsplit(".", 1)[-1] for key in keys}
    options = {option.removeprefix("--").replace("-", "_") for option in all_options()}
    unknown = []
    for place, mend in mends:
        text = re.sub(rf"https?://\S+|[\w./-]*\.(?:{FILE_ENDINGS})\b|\S*/\S*|[A-Z]+_[A-Z_]+", " ", mend)
        dotted = re.findall(r"(?<![\w.])[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+", text)
        named = [key for key in dotted if key != "e.g" and not key.startswith(("mteb.", "mdrbench."))]
        named += re.findall(r"--set ([a-z_0-9.]+)=", mend)
        words = re.findall(r"(?<![\w.`-])[a-z0-9]+(?:_[a-z0-9]+)+(?![\w.(])", text)
        unknown += [(place, key) for key in named if key not in keys]
        unknown += [(place, word) for word in words if word not in leaves | options | NAMES]
    assert unknown == []


def test_options_in_mends_exist(mends):
    known = all_options() | OTHER_OPTIONS
    named = [(place, option) for place, mend in mends for option in re.findall(r"(?<!\w)--[a-z][a-z-]*", mend)]
    assert [(place, option) for place, option in named if option not in known] == []


def test_commands_in_mends_exist(mends):
    wrong = []
    for place, mend in mends:
        for command in re.findall(r"`mdrbench ([^`]+)`", mend):
            words = [word.rstrip("X") or "X" for word in command.split()]
            known = options([word for word in words if not word.startswith("-")]) | {"--help"}
            given = [word.partition("=")[0] for word in words if word.startswith("--")]
            wrong += [(place, command) for option in given if option not in known]
    assert wrong == []
