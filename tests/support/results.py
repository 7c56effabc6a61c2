"""Made-up results."""

from __future__ import annotations

from mdrbench.core.store import seal_of


def sealed(data: dict) -> dict:
    """Return the content of a stored file in the current schema, with its seal."""
    data = {name: value for name, value in data.items() if name != "seal"} | {"schema_version": 2}
    return {**data, "seal": seal_of(data)}


def measured(**changes) -> dict:
    data = {
        "schema_version": 1,
        "kind": "measured",
        "dataset": "tiny",
        "split": "dev",
        "system": {"name": "mine", "summary": "a system"},
        "evaluated": {
            "measures": ["nDCG@10"], "depth": 100, "tie_rule": "t", "denominator": "d", "corpus_variant": "full",
        },
        "languages": {"sw": {"scores": {"nDCG@10": {"value": 0.5, "low": 0.4, "high": 0.6}}}},
    }  # fmt: skip
    return {**data, **changes}
