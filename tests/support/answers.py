"""Answers of a language model."""

from __future__ import annotations

from mdrbench.llm.answers import Answer


def answer(key: str = "0", **changes) -> Answer:
    columns = {
        **{"key": key.rjust(64, "0"), "model": "m", "kind": "judge", "version": "1", "sampling": "{}"},
        **{"vote": 0, "attempt": 0, "lang": "fi", "qid": "q1", "docid": "1#0", "reference": None},
        **{"query_sha256": "ab", "text": "järvi\u2028\n", "finish": "stop", "parsed": None},
        **{"input_tokens": 10, "output_tokens": 4, "counted": 1, "served": "m", "created": "2025-01-01T00:00:00+00:00"},
    }
    return Answer(**{**columns, **changes})
