"""Put pools in the Parquet layout of mteb's retrieval tasks on a hub of the tests."""

from __future__ import annotations

import io
from typing import Any

from support.hub_server import FakeHub

PARTS = ("corpus", "queries", "qrels")


def parquet(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as the bytes of a Parquet file."""
    import pyarrow
    from pyarrow import parquet as writer

    buffer = io.BytesIO()
    writer.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def front_matter(langs: list[str], split: str = "dev") -> bytes:
    """Return a README as ``push_to_hub`` writes it, with a configuration for each language and part."""
    lines = ["---", "configs:"]
    for lang in langs:
        for part in PARTS:
            lines += [
                f"- config_name: {lang}-{part}",
                "  data_files:",
                f"  - split: {split}",
                f"    path: {lang}-{part}/{split}-*",
            ]
    return "\n".join([*lines, "---", "# Pools", ""]).encode()


def put_language(
    hub: FakeHub, repo: str, lang: str, parts: dict[str, list[dict[str, Any]]], shards: int = 2, split: str = "dev"
) -> None:
    """Put corpus, queries and qrels of a language on a hub, the corpus in several shards."""
    for part in PARTS:
        number = shards if part == "corpus" else 1
        for shard in range(number):
            path = f"{lang}-{part}/{split}-{shard:05}-of-{number:05}.parquet"
            hub.put(repo, path, parquet(parts[part][shard::number]))
