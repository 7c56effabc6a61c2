"""JSON Lines files: one object a line, its keys and their types checked, errors with file and line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256
from mdrbench.formats.trec import lines

Types = type | tuple[type, ...]

NAMES = {str: "a string", int: "a whole number", list: "a list", type(None): "null"}


def records(path: Path, keys: dict[str, Types]) -> Iterator[tuple[str, dict]]:
    """``path:line`` and object of each line, plain or ``.gz``; blank lines are passed over, further keys let be.

    Args:
        keys: what every object must hold, name -> type or types (``type(None)`` for null).

    Raises:
        DataError: the file is missing or not UTF-8, or a line is no such object.
    """
    for number, line in lines(path):
        if line.strip():
            where = f"{path}:{number}"
            yield where, _checked(line, keys, where)


def _checked(line: str, keys: dict[str, Types], where: str) -> dict:
    mend = f"one JSON object a line with the keys {', '.join(keys)}"
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"not a JSON object: {error}", where=where, mend=mend) from None
    if not isinstance(record, dict):
        raise DataError("not a JSON object", where=where, mend=mend)
    for key, wanted in keys.items():
        if key not in record:
            raise DataError(f"'{key}' is missing", where=where, mend=mend)
        if isinstance(record[key], bool) or not isinstance(record[key], wanted):
            kinds = wanted if isinstance(wanted, tuple) else (wanted,)
            raise DataError(
                f"'{key}' must be {' or '.join(NAMES[kind] for kind in kinds)}, not {json.dumps(record[key])[:40]}",
                where=where,
                mend=mend,
            )
    return record


def files_sha256(paths: Iterable[Path]) -> str:
    """One SHA-256 over files' names and contents, in the order of their names; the folder's path is no part of it."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda p: p.name):
        digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()
