"""Which texts may be of the same article, by the words that they share: cosine of weighted word counts."""

from __future__ import annotations

import math
import re
from collections import Counter

from mdrbench.data.wiki16.text import clean

THRESHOLD = 0.12
"""Cosine from which on a text may be of an article."""

_SHORTEST = 4  # letters of a word that counts

Vector = dict[str, float]


def near_to(articles: list[str], texts: list[str]) -> list[bool]:
    """Return for each text whether its words are near those of any article."""
    counts = [_word_counts(text) for text in (*articles, *texts)]
    holders = Counter(word for words in counts for word in words)
    rarity = {word: math.log(len(counts) / number) for word, number in holders.items()}
    vectors = [_vector(words, rarity) for words in counts]
    of_articles, of_texts = vectors[: len(articles)], vectors[len(articles) :]
    return [max(_cosine(vector, article) for article in of_articles) >= THRESHOLD for vector in of_texts]


def _word_counts(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", clean(text).casefold()))


def _vector(words: Counter[str], rarity: dict[str, float]) -> Vector:
    """Return a vector of length 1; its words are in alphabetical order, so sums are the same on every machine."""
    weights = {
        word: (1 + math.log(number)) * rarity[word] for word, number in sorted(words.items()) if len(word) >= _SHORTEST
    }
    length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {word: weight / length for word, weight in weights.items()}


def _cosine(first: Vector, second: Vector) -> float:
    return sum(weight * second.get(word, 0.0) for word, weight in first.items())
