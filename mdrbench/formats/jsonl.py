"""Read JSON Lines files: one object a line, its keys and their types checked, errors with file and line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256
from mdrbench.formats.trec import lines

Types = type | tuple[type, ...]

Record = dict[str, Any]

NAMES: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def records(path: Path, keys: Mapping[str, Types]) -> Iterator[tuple[str, Record]]:
    """Yield ``path:line`` and object of each line, plain or ``.gz``; skip blank lines, as ``datasets`` does.

    Args:
        keys: what every object must hold, name -> type or types (``type(None)`` for null). Other keys are allowed.

    Raises:
        DataError: the file is missing or not UTF-8, or a line is not such an object.
    """
    for number, line in lines(path):
        if line.strip():
            where = f"{path}:{number}"
            record = parse(line, where, f"one JSON object a line with the keys {', '.join(keys)}")
            check(record, keys, where)
            yield where, record


def parse(line: str, where: str, mend: str = "one JSON object a line") -> Record:
    """Read one JSON object.

    Raises:
        DataError: not JSON, not an object, nested too deeply, or half of a surrogate pair in a string.
    """
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
        if _SURROGATE.search(line):  # the only way for a lone surrogate into a line of valid UTF-8
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise DataError(
            f"'\\u{ord(half):04x}' is half of a surrogate pair, not a character",
            where=where,
            mend="write the character itself, or both halves of the pair",
        ) from None
    except ValueError as error:
        raise DataError(f"not a JSON object: {error}", where=where, mend=mend) from None
    except RecursionError:
        raise DataError("not a JSON object that can be read: it is nested too deeply", where=where, mend=mend) from None
    if not isinstance(record, dict):
        raise DataError("not a JSON object", where=where, mend=mend)
    return record


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def check(record: Record, keys: Mapping[str, Types], where: str) -> None:
    """Raise a DataError if an object lacks a key or holds another type under it."""
    mend = f"one JSON object a line with the keys {', '.join(keys)}"
    for key, types in keys.items():
        if key not in record:
            raise DataError(f"'{key}' is missing", where=where, mend=mend)
        if isinstance(record[key], bool) or not isinstance(record[key], types):
            kinds = types if isinstance(types, tuple) else (types,)
            raise DataError(
                f"'{key}' must be {' or '.join(NAMES[kind] for kind in kinds)}, not {json.dumps(record[key])[:40]}",
                where=where,
                mend=mend,
            )


def files_sha256(paths: Iterable[Path]) -> str:
    """Hash the names and contents of files, in the order of their names; the folder's path is not part of it."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda p: p.name):
        digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()
