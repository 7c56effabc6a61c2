"""Cut long paragraphs into passages of about equal length."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

DENSE_SCRIPTS = frozenset({"ja", "ko", "th", "zh"})
"""Languages whose script says more in a character."""


class Span(NamedTuple):
    """A stretch of a text: characters ``start`` to ``end``, ``end`` excluded."""

    start: int
    end: int


_PARAGRAPH_END, _SENTENCE_END, _SPACE = 0, 1, 2
"""The price of a cut there, in fifths of a passage's length."""

_BREAKS = (
    (_SPACE, re.compile(r"\s+")),
    (_SENTENCE_END, re.compile(r"[.!?؟۔।॥…][\"'”’»)\]]*\s+|[。！？][」』”’）)]*")),
    (_PARAGRAPH_END, re.compile(r"\s*\n\s*")),
)

_REACH = 0.45
"""How far a cut may lie from its ideal place, as a share of a passage's length."""


def passage_limit(lang: str) -> int:
    """Return the length, in characters, above which a paragraph of a language is cut."""
    return 500 if lang in DENSE_SCRIPTS else 1200


def cut(text: str, limit: int, answers: Iterable[Span]) -> list[Span]:
    """Cut a text into the fewest parts that can each be within ``limit``, about equally long.

    Args:
        text: the paragraph.
        limit: characters.
        answers: stretches that must not be cut.

    Returns:
        The parts in order; together they are the whole text. There may be fewer than asked for, and longer ones, if
        the text offers no place to cut.
    """
    parts = -(-len(text) // limit)
    if parts <= 1:
        return [Span(0, len(text))]
    length = len(text) / parts
    places = _outside(_break_prices(text), list(answers))
    cuts = [0]
    for number in range(1, parts):
        place = _best_place(places, number * length, length, cuts[-1])
        if place is not None:
            cuts.append(place)
    cuts.append(len(text))
    return [Span(start, end) for start, end in pairwise(cuts)]


def _break_prices(text: str) -> dict[int, int]:
    """Return every place where a passage may begin, with its price."""
    prices = {match.end(): price for price, pattern in _BREAKS for match in pattern.finditer(text)}
    prices.pop(len(text), None)
    return prices


def _outside(prices: dict[int, int], answers: list[Span]) -> dict[int, int]:
    """Return the places that do not lie inside an answer."""
    return {place: price for place, price in prices.items() if not any(start < place < end for start, end in answers)}


def _best_place(places: dict[int, int], ideal: float, length: float, after: int) -> int | None:
    """Return the cheapest place near ``ideal`` and behind ``after``; of two equally cheap, the first."""
    costs = [
        (abs(place - ideal) + price * length * 0.2, place)
        for place, price in places.items()
        if place > after and abs(place - ideal) <= length * _REACH
    ]
    return min(costs)[1] if costs else None
