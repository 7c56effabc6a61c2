"""``dataset.json`` in a data set's folder: where it comes from, and which part of the corpora it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError

NAME = "dataset.json"

JUDGED = "judged"
"""The corpus variant of data sets whose corpora hold judged passages alone: retrieval cannot be evaluated on them."""


class DatasetRecord(BaseModel):
    """What mdrbench noted when it made a data set."""

    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    corpus_variant: str = Field(
        default="full", description="'full', 'judged' (judged passages alone), or the name of the pool"
    )
    origin: dict[str, Any] = Field(description="kind, name, revision and licence of the source")
    languages: dict[str, dict[str, int]] = Field(default_factory=dict, description="language -> counts")


def read_record(root: Path) -> DatasetRecord | None:
    """Return the record of a folder, None if it has none.

    Raises:
        DataError: the record is malformed.
    """
    path = root / NAME
    try:
        return DatasetRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or NAME
        mend = "make the data set again, or delete this file if its corpora are whole"
        raise DataError(f"{place}: {first['msg']}", where=str(path), mend=mend) from None


def write_record(root: Path, record: DatasetRecord) -> None:
    """Write the record of a folder."""
    write_atomically(root / NAME, record.model_dump_json(indent=1) + "\n")
