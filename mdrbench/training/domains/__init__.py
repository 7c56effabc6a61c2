"""Domains: what a training example is about, judged by its positive passage. One file each.

The twelve domains are those of Huang et al., "Boosting Data Utilization for Multilingual Dense Retrieval"
(EMNLP 2025), who call them topics. A member may bring domains of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from mdrbench.core.types import Passage

if TYPE_CHECKING:
    import numpy as np

DOMAINS = (
    "Books & Literature",
    "Science & Mathematics",
    "Life & Health",
    "Jobs & Education",
    "Computers & Internet",
    "Sports",
    "Business & Finance",
    "Politics & Government",
    "Traffic & Transportation",
    "Arts & Entertainment",
    "Geography",
    "Others",
)

Embed = Callable[[list[str]], "np.ndarray"]
"""Texts -> float32 embeddings of shape (len(texts), dim), as the recipe's own encoder embeds passages."""


class Labeller(Protocol):
    """Gives each training example a domain."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Check before anything runs that the labeller can work (a package, a file); errors say the mend."""

    def conventions(self) -> dict[str, Any]:
        """All that decides a label beyond the passages and their embeddings, as JSON: part of the artifacts' keys."""

    def label(self, passages: dict[str, list[Passage]], embed: Embed | None) -> dict[str, list[str]]:
        """Language -> the name of a domain for each of its passages, in order.

        Args:
            passages: language -> passages, one a training example; the same passage may occur again.
            embed: see :data:`Embed`; None where the recipe has no encoder. Members that do not need it ignore it.

        Raises:
            UsageError: the member needs embeddings and ``embed`` is None.
        """

    def facts(self) -> dict[str, Any]:
        """How the labels of the last call are distributed, for the manifest."""


def distribution(labels: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    """Language -> domain -> number of examples; zeros included, domains in the usual order, others sorted behind."""
    met = {name for names in labels.values() for name in names}
    names = [*(name for name in DOMAINS if name in met), *sorted(met - set(DOMAINS))]
    counts = {lang: Counter(found) for lang, found in labels.items()}
    return {lang: {name: count[name] for name in names} for lang, count in counts.items()}


def shares(labels: dict[str, list[str]]) -> dict[str, Any]:
    """Facts on labels: how many, how distributed, and the share of the domain that most were given."""
    total = Counter(name for names in labels.values() for name in names)
    labelled = total.total()
    largest = round(max(total.values()) / labelled, 4) if labelled else None
    return {"labelled": labelled, "distribution": distribution(labels), "largest_share": largest}


def agreement(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, float | None]:
    """Compare two labellings of the same passages: the share that is equal, and Cohen's kappa (1960).

    Kappa is None if chance alone would make them equal.
    """
    pairs = [pair for lang, names in one.items() for pair in zip(names, other[lang], strict=True)]
    if not pairs:
        return {"equal": None, "kappa": None}
    counts = [Counter(side) for side in zip(*pairs, strict=True)]
    equal = sum(a == b for a, b in pairs) / len(pairs)
    chance = sum(counts[0][name] * counts[1][name] for name in counts[0]) / len(pairs) ** 2
    return {"equal": round(equal, 4), "kappa": None if chance == 1 else round((equal - chance) / (1 - chance), 4)}
