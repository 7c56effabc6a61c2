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


def _mends() -> list[Mend]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            argument = isinstance(node, ast.keyword) and node.arg in ("mend", "again", "by_hand")
            variable = isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "mend" for t in node.targets)
            if argument or variable:
                place = f"{path.relative_to(PROJECT)}:{node.value.lineno}"
                found += [Mend(place, text) for text in _texts(node.value)]
    return found


MENDS = _mends()
KEYS = recipe_keys()
LEAVES = {key.rsplit(".", 1)[-1] for key in KEYS}
OPTIONS = all_options()


def test_many_mends_and_keys_were_found():
    assert len(MENDS) > 250
    assert {"retriever.k1", "negatives.judge.ungraded", "training.sampler.domains", "search.depth"} <= KEYS
    assert {"retriever.encoder.precision", "retriever.index.m", "negatives.judge.encoder.model"} <= KEYS
    assert "judge.missing" not in KEYS


@pytest.mark.parametrize("mend", [mend for mend in MENDS if re.search(r"[a-z]\.[a-z]|_", mend.text)], ids=str)
def test_recipe_keys_in_mends_exist(mend):
    text = re.sub(rf"https?://\S+|[\w./-]*\.(?:{FILE_ENDINGS})\b|\S*/\S*|[A-Z]+_[A-Z_]+", " ", mend.text)
    for key in re.findall(r"(?<![\w.])[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+", text):
        if key != "e.g" and not key.startswith(("mteb.", "mdrbench.")):
            assert key in KEYS, f"{mend.place}: {key} is no key of a recipe"
    for word in re.findall(r"(?<![\w.`-])[a-z0-9]+(?:_[a-z0-9]+)+(?![\w.(])", text):
        known = word in LEAVES or f"--{word.replace('_', '-')}" in OPTIONS or word in NAMES
        assert known, f"{mend.place}: {word} is neither a key of a recipe nor an option"


@pytest.mark.parametrize("mend", [mend for mend in MENDS if "--" in mend.text], ids=str)
def test_options_in_mends_exist(mend):
    for option in re.findall(r"(?<!\w)--[a-z][a-z-]*", mend.text):
        assert option in OPTIONS | OTHER_OPTIONS, f"{mend.place}: no command has {option}"
    for key in re.findall(r"--set ([a-z_0-9.]+)=", mend.text):
        assert key in KEYS, f"{mend.place}: {key} is no key of a recipe"


@pytest.mark.parametrize("mend", [mend for mend in MENDS if "`mdrbench " in mend.text], ids=str)
def test_commands_in_mends_exist(mend):
    for command in re.findall(r"`mdrbench ([^`]+)`", mend.text):
        words = [word.rstrip("X") or "X" for word in command.split()]
        known = options([word for word in words if not word.startswith("-")])
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known | {"--help"}, f"{mend.place}: {command}"
