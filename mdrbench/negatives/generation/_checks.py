"""Checks of generated texts: another language, a statement in place of a question.

Each refuses at most 1% of wiki16's own training questions in each language (``benchmarks/generation_checks.py``).
"""

from __future__ import annotations

from functools import cache
from typing import Any

SURE = 0.5
"""The identifier is sure of another language from this probability on."""

IMPOSSIBLE = 0.01
"""The text may still be in the wanted language if this has at least this probability."""

STOPS = (".", "。", "．", "।", "۔")

QUESTION_STOPS = ("か。",)
"""Ends of Japanese questions that are written without a question mark."""


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def other_language(text: str, lang: str) -> str | None:
    """Name the language of a text if it is certainly not ``lang``; None if it may be.

    Short texts, names and languages that the identifier does not know are given the benefit of the doubt.
    """
    identifier = _identifier()
    if lang not in identifier.labels:
        return None
    chances = dict(identifier.rank(text))
    top = max(chances, key=lambda code: chances[code])
    is_sure = chances[top] >= SURE and chances[lang] < IMPOSSIBLE
    return str(top) if top != lang and is_sure else None


def is_statement(text: str) -> bool:
    """Whether a text ends as a statement, with a full stop. A question needs no question mark: Thai has none."""
    return text.endswith(STOPS) and not text.endswith(QUESTION_STOPS)
