"""Weights of training examples by language and domain (Huang et al., EMNLP 2025, stage 3).

A query's weight is a coefficient of its language, ``alpha``, plus one of its domain, ``beta``. ``fixed`` takes the two
as they are, for every query. ``share`` lets rare categories weigh more: a category with share p of the queries gets its
coefficient times (1 - p) / mean(1 - p), the mean over the categories, so that the categories' mean stays at the
coefficient. ``none`` weighs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from mdrbench.core.types import Example

Mode = Literal["share", "fixed", "none"]


def weights(examples: Sequence[Example], mode: Mode, alpha: float, beta: float) -> dict[tuple[str, str], float] | None:
    """(language, qid) -> weight; None where nothing is weighed."""
    if mode == "none":
        return None
    languages = coefficients((example.lang for example in examples), alpha, by_share=mode == "share")
    domains = coefficients((example.domain for example in examples), beta, by_share=mode == "share")
    return {(e.lang, e.qid): languages[e.lang] + domains[e.domain] for e in examples}


def coefficients(categories: Iterable[str], coefficient: float, *, by_share: bool) -> dict[str, float]:
    """Category -> coefficient. Where there is one category alone it keeps the coefficient."""
    counts = Counter(categories)
    if not by_share or len(counts) == 1:
        return dict.fromkeys(counts, coefficient)
    rest = {category: 1 - count / counts.total() for category, count in counts.items()}
    mean = sum(rest.values()) / len(rest)
    return {category: coefficient * share / mean for category, share in rest.items()}
