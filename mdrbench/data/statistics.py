"""Statistics of a data set: lengths, duplicates, overlap of splits, topics without answers, mixed languages."""

from __future__ import annotations

import unicodedata
from array import array
from collections import Counter
from hashlib import blake2b
from typing import Any, NamedTuple

from mdrbench.core.languages import language
from mdrbench.core.types import Passage
from mdrbench.data.checks import check_topics
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.data.paths import split_file
from mdrbench.formats.trec import read_topics

SCRIPTS = {
    **{"Arab": ("ARABIC",), "Armn": ("ARMENIAN",), "Beng": ("BENGALI",), "Cyrl": ("CYRILLIC",)},
    **{"Deva": ("DEVANAGARI",), "Grek": ("GREEK",), "Hans": ("CJK",), "Hebr": ("HEBREW",)},
    **{"Jpan": ("CJK", "HIRAGANA", "KATAKANA"), "Kore": ("HANGUL", "CJK"), "Latn": ("LATIN",)},
    **{"Taml": ("TAMIL",), "Telu": ("TELUGU",), "Thai": ("THAI",)},
}
"""ISO 15924 script -> beginnings of the Unicode names of its letters."""

LETTERS = 200
"""Letters of a text that are looked at to tell its script."""


class Lengths(NamedTuple):
    """Characters of texts: mean, median and longest."""

    mean: float
    median: int
    longest: int


def statistics(dataset: MiraclFolder, lang: str, split: str) -> dict[str, Any]:
    """Return the statistics of a language; the corpus is read once, and memory is 12 bytes a passage.

    Returns:
        Counts of passages, of passages without title, of passages that repeat a text, and of passages mostly in another
        script; counts of topics and judgments; bytes on disk; lengths; topics of the split that are also in another
        split; the flaws that :func:`mdrbench.data.checks.check_topics` tolerates.

    Raises:
        DataError: a file is missing or malformed.
    """
    counts = check_topics(dataset, lang, split, lambda docid: True)
    topics = read_topics(dataset.topics_file(lang, split))
    files = (*dataset.corpus_files(lang), dataset.topics_file(lang, split), dataset.qrels_file(lang, split))
    return {
        **_corpus(dataset, lang),
        "bytes": sum(path.stat().st_size for path in files),
        **{name: counts[name] for name in counts if name != "warnings"},
        "topic_characters": lengths(array("L", map(len, topics.values())))._asdict(),
        "topics_in_other_splits": overlap(dataset, lang, split, topics),
        "topics_in_another_script": sum(not in_script(query, lang) for query in topics.values()),
        "warnings": counts["warnings"],
    }


def _corpus(dataset: MiraclFolder, lang: str) -> dict[str, Any]:
    sizes, texts = array("L"), array("Q")
    counts: Counter[str] = Counter()
    for _, _, passage in dataset.numbered_passages(lang):
        sizes.append(len(passage.text))
        texts.append(_hash(passage))
        counts["passages_without_title"] += not passage.title
        counts["passages_in_another_script"] += not in_script(passage.text, lang)
    return {
        "passages": len(sizes),
        "passages_without_title": counts["passages_without_title"],
        "passages_that_repeat_a_text": repeated(texts),
        "passages_in_another_script": counts["passages_in_another_script"],
        "passage_characters": lengths(sizes)._asdict(),
    }


def _hash(passage: Passage) -> int:
    text = " ".join(passage.text.split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def repeated(hashes: array[int]) -> int:
    """Return how many values are there again; two texts have the same hash with probability 2^-64."""
    import numpy as np

    values = np.frombuffer(hashes, dtype=np.uint64) if hashes else np.empty(0, np.uint64)
    return len(values) - len(np.unique(values))


def lengths(sizes: array[int]) -> Lengths:
    """Return mean, median and maximum; zeros if there are none."""
    if not sizes:
        return Lengths(0.0, 0, 0)
    ordered = sorted(sizes)
    return Lengths(round(sum(ordered) / len(ordered), 1), ordered[len(ordered) // 2], ordered[-1])


def overlap(dataset: MiraclFolder, lang: str, split: str, topics: dict[str, str]) -> dict[str, int]:
    """Return for each other split how many of the topics have the text of one of its topics, but for case and marks."""
    keys = {_key(query) for query in topics.values()}
    others = [other for other in dataset.splits_of(lang) if other != split]
    paths = {other: dataset.root / split_file("topics", lang, other) for other in others}
    return {
        other: len(keys & {_key(query) for query in read_topics(path).values()})
        for other, path in paths.items()
        if path.is_file()
    }


def _key(query: str) -> str:
    folded = unicodedata.normalize("NFKC", query).casefold()
    return "".join(char for char in folded if unicodedata.category(char)[0] in "LMN")


def in_script(text: str, lang: str) -> bool:
    """Tell whether at least half of a text's first letters are in the language's script.

    True for a text without letters, and for a language whose script is not known.
    """
    beginnings = SCRIPTS.get(language(lang).script)
    letters = [char for char in text[: LETTERS * 2] if char.isalpha()][:LETTERS]
    if beginnings is None or not letters:
        return True
    inside = sum(unicodedata.name(char, "").startswith(beginnings) for char in letters)
    return inside * 2 >= len(letters)
