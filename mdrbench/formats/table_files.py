"""Read rows of table files as they are found on hubs: Parquet, JSON lines and TSV with a head, packed or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdrbench.core import extras
from mdrbench.core.errors import DataError, SetupError
from mdrbench.formats.trec import lines

Row = dict[str, Any]

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz")
"""Names of table files end in one of these."""

BATCH = 4096  # rows of a Parquet file that are in memory at once


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table file, column -> value; memory does not grow with the file.

    Raises:
        DataError: the file is damaged, or of an unknown kind.
        SetupError: the file is in Parquet and pyarrow is not installed.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet_rows(path)
    elif name.endswith(".jsonl"):
        yield from _json_rows(path)
    elif name.endswith(".tsv"):
        yield from _tsv_rows(path)
    else:
        raise DataError("Unknown kind of table.", where=str(path), mend=f"convert it to one of {', '.join(SUFFIXES)}")


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise SetupError("Parquet files need pyarrow.", mend=f"run `{extras.command('data')}`") from None
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise DataError(f"The Parquet file cannot be read: {error}.", where=str(path)) from None


def _json_rows(path: Path) -> Iterator[Row]:
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"The line is not JSON: {error}.", where=f"{path}:{number}") from None
        if not isinstance(row, dict):
            raise DataError("The line is not a JSON object.", where=f"{path}:{number}")
        yield row


def _tsv_rows(path: Path) -> Iterator[Row]:
    rows = ((number, line.split("\t")) for number, line in lines(path) if line.strip())
    try:
        _, heads = next(rows)
    except StopIteration:
        return
    for number, cells in rows:
        if len(cells) != len(heads):
            message = f"The line has {len(cells)} columns, the first line has {len(heads)}."
            raise DataError(message, where=f"{path}:{number}")
        yield dict(zip(heads, cells, strict=True))
