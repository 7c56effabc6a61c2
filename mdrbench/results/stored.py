"""Stored files: reading with checks, and seals.

A file of the current schema ends with its **seal**, the SHA-256 of its canonical content. A seal shows accidents and
careless edits. It does not show who wrote a file: whoever can edit a file can compute its seal again, so
``mdrbench verify`` derives every number that can be derived, and ``mdrbench sign`` adds a signature.

A file of schema 1 has no seal. It is read as *unsealed*: it can be shown and compared, but it is not ranked, it does
not pass ``mdrbench check``, and no new number is derived from it. ``mdrbench seal`` upgrades it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mdrbench.core.errors import DataError
from mdrbench.core.store import SEAL, seal_of

SCHEMA_VERSION: Literal[2] = 2
UNSEALED_VERSION = 1

SealState = Literal["sealed", "unsealed", "missing", "broken"]
"""``unsealed``: of an older schema. ``missing``, ``broken``: of the current schema, with no seal or a wrong one."""

ANY_SEAL: tuple[SealState, ...] = ("sealed", "unsealed", "missing", "broken")
"""For verifying, which reads on after a wrong seal to name what was changed."""


def _relative(value: str) -> str:
    if os.path.isabs(value) or (".." in value and ".." in Path(value).parts):
        raise ValueError("a path inside the result's folder")
    return value


RelativePath = Annotated[str, AfterValidator(_relative)]
"""A path below the folder that holds it: neither absolute nor with ``..``."""


class StrictModel(BaseModel):
    """A part of a stored file: an unknown key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SealedModel(StrictModel):
    """A stored file."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    seal: str | None = Field(default=None, description="SHA-256 of the file's canonical content without this key")

    @property
    def sealed(self) -> bool:
        """Whether the file was read with a seal; reading compares it with the content."""
        return self.schema_version == SCHEMA_VERSION and self.seal is not None


Stored = TypeVar("Stored", bound=SealedModel)


def read_stored(
    path: Path, model: type[Stored], *, again: str, by_hand: str, states: Iterable[SealState] = ("sealed", "unsealed")
) -> Stored:
    """Read a stored file as its model.

    Args:
        again: how to get a valid file.
        by_hand: the mend if the file does not match the schema.
        states: the seals that are accepted.

    Raises:
        DataError: it is not JSON, has another version or no valid seal, or does not match the schema. The error names
            the file and the key.
    """
    data = read_json(path, again=again)
    state = seal_state(data)
    if state not in states:
        raise _bad_seal(path, state, again)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or model.__name__.lower()
        raise DataError(
            f"{place}: {first['msg']} ({error.error_count()} mistakes in all)", where=str(path), mend=by_hand
        ) from None


def require_seal(path: Path, *, again: str) -> None:
    """Raise a DataError if a stored file has no valid seal."""
    if (state := seal_state(read_json(path, again=again))) != "sealed":
        raise _bad_seal(path, state, again)


def read_json(path: Path, *, again: str) -> dict[str, Any]:
    """Read the JSON object of a stored file.

    Raises:
        DataError: it is not a JSON object, repeats a key, or is of a schema version that this mdrbench does not read.
    """
    try:
        data = json.loads(
            path.read_text(encoding="utf-8"), parse_constant=_no_constant, object_pairs_hook=_without_repetition
        )
    except RecursionError:
        raise DataError("is nested too deeply to be read", where=str(path), mend=again) from None
    except (ValueError, OSError) as error:
        raise DataError(f"not a JSON file: {error}", where=str(path), mend=again) from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if type(version) is not int or version not in (UNSEALED_VERSION, SCHEMA_VERSION):
        raise DataError(
            f"schema version {version!r}, this mdrbench reads {SCHEMA_VERSION} and {UNSEALED_VERSION}",
            where=str(path),
            mend=f"use the mdrbench that wrote it, or {again}",
        )
    assert isinstance(data, dict)
    return data


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' is there twice")
    return data


def seal_state(data: dict[str, Any]) -> SealState:
    """Compare the seal of a stored file with its content."""
    if data["schema_version"] == UNSEALED_VERSION:
        return "broken" if SEAL in data else "unsealed"
    if data.get(SEAL) is None:
        return "missing"
    return "sealed" if data[SEAL] == seal_of(data) else "broken"


def _bad_seal(path: Path, state: SealState, again: str) -> DataError:
    if state == "unsealed":
        mend = f"derive it again and seal it: `mdrbench seal {path} --data DATA`"
        return DataError("is not sealed: an older mdrbench wrote it", where=str(path), mend=mend)
    told = "has no seal" if state == "missing" else "its seal does not match: the file was changed after it was written"
    mend = f"restore the file, or {again}; `mdrbench verify {path}` names what it can find"
    return DataError(told, where=str(path), mend=mend)


def sealed_text(model: SealedModel) -> str:
    """Return a stored file's text: indented JSON in the current schema, the seal last."""
    data = model.model_dump(mode="json", exclude_none=True, exclude={SEAL})
    return seal_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False))


def seal_text(text: str) -> str:
    """Seal the text of a stored file. The layout that mdrbench writes stays; another one becomes that layout."""
    if not text.startswith('{\n "schema_version": ') or not text.rstrip().endswith("\n}"):
        data = json.loads(text)
        data = {"schema_version": data.pop("schema_version"), **data}
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    text = re.sub(r',\n "seal": "\w*"(?=\n}\s*$)', "", text.rstrip())
    text = re.sub(r'(?<=^{\n "schema_version": )\d+', str(SCHEMA_VERSION), text)
    seal = seal_of(json.loads(text))
    sealed = text.removesuffix("\n}") + f',\n "{SEAL}": "{seal}"\n}}\n'
    assert seal_state(json.loads(sealed)) == "sealed"
    return sealed
