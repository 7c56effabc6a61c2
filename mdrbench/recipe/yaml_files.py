"""Read recipes' YAML strictly: every key keeps its line, and hostile or ambiguous input is an error.

A key given twice, an alias of itself, thousands of nested lists, a number with thousands of digits, or bytes that are
not UTF-8 are all reported as a :class:`UsageError` with the file and the line.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from mdrbench.core.errors import UsageError

DEPTH = 40
"""The deepest nesting of mappings and lists; the deepest shipped recipe has 6."""

NODES = 100_000
"""The most values in a file, with aliases written out."""

DIGITS = 300
"""The longest number."""

BYTES = 1_000_000
"""The largest recipe file."""

FLOAT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)")
"""YAML 1.1 reads ``1e-5`` as text; people mean a number."""


class _Loader(yaml.SafeLoader):
    """Reads YAML 1.1 with ``1e-5`` as a number; keys are text and given once."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEPTH:
            raise _Mistake("nested too deeply", self.line + 1, f"nest at most {DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode) and len(node.value) > DIGITS and node.tag.endswith((":int", ":float")):
            raise _Mistake(f"a number of {len(node.value)} characters", line, f"write at most {DIGITS} digits")
        try:
            return super().construct_object(node, deep=deep)
        except (_Mistake, yaml.YAMLError):
            raise
        except Exception as error:  # PyYAML lets `!!int x` and the date 2024-13-45 fail in many ways
            kind = node.tag.rpartition(":")[2]
            value = str(node.value)[:40]
            raise _Mistake(f"'{value}' cannot be read as {kind} ({error})", line, "put text in quotes") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:str":
                shown = str(key_node.value)[:40] if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
                raise _Mistake(f"a key must be text, not {shown}", line, "put the key in quotes")
            if key_node.value in seen:
                raise _Mistake(
                    f"key '{key_node.value}' is given twice (lines {seen[key_node.value]} and {line})",
                    line,
                    "keep one of the two",
                )
            seen[key_node.value] = line
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {first: list(rules) for first, rules in _Loader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


class _Mistake(Exception):
    """Something wrong in a line of a YAML text."""

    def __init__(self, message: str, line: int | None, mend: str):
        super().__init__(message)
        self.line = line
        self.mend = mend


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a YAML mapping, and the line of each of its keys and list items by dotted path.

    Raises:
        UsageError: the file cannot be read or is not a valid YAML mapping; with file and line.
    """
    try:
        content = path.read_bytes()
        if len(content) > BYTES:
            raise _Mistake(f"{len(content)} bytes are too many for a recipe", None, f"write at most {BYTES} bytes")
        data, root = _parse(_decoded(content))
        if not isinstance(data, dict) or root is None:
            raise _Mistake("a recipe is a mapping of keys", None, "see `mdrbench show bm25`")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), mend="check the path") from None
    except _Mistake as mistake:
        where = f"{path}:{mistake.line}" if mistake.line else str(path)
        raise UsageError(str(mistake), where=where, mend=mistake.mend) from None
    return data, dict(_lines(root, ""))


def parse_value(text: str) -> Any:
    """Read a single YAML value, such as the value of ``--set``.

    Raises:
        UsageError: the text is not valid YAML.
    """
    try:
        return _parse(text)[0]
    except _Mistake as mistake:
        raise UsageError(str(mistake), mend=mistake.mend) from None


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _Mistake(f"byte 0x{content[error.start]:02x} is not UTF-8", line, "save the file as UTF-8") from None


def _parse(text: str) -> tuple[Any, yaml.Node | None]:
    """The value of a YAML text and its root node."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, None
        _check_size(root)
        return loader.construct_document(root), root
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Mistake(f"not valid YAML: {error.reason}", line, "remove the character") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Mistake(
            f"not valid YAML: {error.problem or error.context}", mark.line + 1 if mark else None, "correct the line"
        ) from None


def _check_size(root: yaml.Node) -> None:
    """Refuse aliases that contain themselves, and aliases that multiply or nest beyond the limits."""
    count = 0

    def visit(node: yaml.Node, above: tuple[int, ...]) -> None:
        nonlocal count
        count += 1
        line = node.start_mark.line + 1
        if id(node) in above:
            raise _Mistake("an alias contains itself", line, "write the value out instead of using an alias")
        if len(above) > DEPTH:
            raise _Mistake("nested too deeply", line, f"nest at most {DEPTH} levels")
        if count > NODES:
            raise _Mistake(f"more than {NODES} values", line, "use fewer aliases")
        for child in _children(node):
            visit(child, (*above, id(node)))

    visit(root, ())


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value


def _lines(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            yield f"{prefix}{key_node.value}", key_node.start_mark.line + 1
            yield from _lines(value_node, f"{prefix}{key_node.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield f"{prefix}{number}", item.start_mark.line + 1
            yield from _lines(item, f"{prefix}{number}.")
