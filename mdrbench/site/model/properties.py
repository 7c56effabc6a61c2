"""Properties that tables are filtered by.

A system has a family, a model size and a licence; a language has a script and resources.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.hub.model_names import SHORT
from mdrbench.site.model.collection import Entry

RESOURCES = {
    "high": ("en", "de", "fr", "es", "ru", "ja"),
    "medium": ("zh", "fa", "ar", "fi", "ko", "id"),
    "low": ("th", "te", "hi", "bn", "sw", "yo"),
}
"""Languages by the passages of their MIRACL corpus: 5 million and more, 1 to 5 million, less."""

RESOURCE_RULE = "high: at least 5 million passages in MIRACL's corpus; medium: 1 to 5 million; low: fewer"

SCRIPTS = {
    "Arab": "Arabic", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari", "Hans": "Han", "Jpan": "Japanese",
    "Kore": "Hangul", "Latn": "Latin", "Telu": "Telugu", "Thai": "Thai",
}  # fmt: skip

SIZES = ("no model", "up to 150M", "150M to 400M", "over 400M", "not stated")
"""Classes of model sizes."""


class ModelCard(NamedTuple):
    """Parameters in millions and licence, as the model's card states them."""

    parameters: int
    licence: str | None


MODEL_CARDS = {
    "intfloat/multilingual-e5-small": ModelCard(118, "MIT"),
    "intfloat/multilingual-e5-base": ModelCard(278, "MIT"),
    "intfloat/multilingual-e5-large": ModelCard(560, "MIT"),
    "BAAI/bge-m3": ModelCard(568, "MIT"),
    "BAAI/bge-reranker-v2-m3": ModelCard(568, "Apache-2.0"),
    "google-bert/bert-base-multilingual-cased": ModelCard(178, "Apache-2.0"),
    "castorini/mdpr-tied-pft-msmarco": ModelCard(178, None),
    "facebook/mcontriever-msmarco": ModelCard(178, None),
    "intfloat/multilingual-e5-large-instruct": ModelCard(560, "MIT"),
    "alibaba-nlp-community/gte-multilingual-base": ModelCard(305, "Apache-2.0"),
    "Snowflake/snowflake-arctic-embed-l-v2.0": ModelCard(568, "Apache-2.0"),
    "Qwen/Qwen3-Embedding-0.6B": ModelCard(596, "Apache-2.0"),
    "google/embeddinggemma-300m": ModelCard(308, "Gemma"),
    "jinaai/jina-embeddings-v3-hf": ModelCard(572, "CC-BY-NC-4.0"),
    "ibm-granite/granite-embedding-278m-multilingual": ModelCard(278, "Apache-2.0"),
    "sentence-transformers/LaBSE": ModelCard(471, "Apache-2.0"),
}

PUBLISHED_BACKBONES = {
    "mbert": "google-bert/bert-base-multilingual-cased",
    "mdpr": "castorini/mdpr-tied-pft-msmarco",
    "mcontriever": "facebook/mcontriever-msmarco",
    "me5": "intfloat/multilingual-e5-large",
    "me5-large": "intfloat/multilingual-e5-large",
    "bge": "BAAI/bge-m3",
}
"""Name of a backbone in publications -> repository."""


class SystemProperties(NamedTuple):
    """A system's family, parameters (in millions; 0 without a model, None if unknown) and licence."""

    family: str
    parameters: int | None
    licence: str

    @property
    def size(self) -> str:
        """One of :data:`SIZES`."""
        if self.parameters is None:
            return "not stated"
        if not self.parameters:
            return "no model"
        return "up to 150M" if self.parameters <= 150 else "150M to 400M" if self.parameters <= 400 else "over 400M"

    @property
    def printed_size(self) -> str:
        """The size as it is printed: ``118M``, ``1.5B``, or nothing."""
        if not self.parameters:
            return ""
        return f"{self.parameters / 1000:.3g}B" if self.parameters >= 1000 else f"{self.parameters}M"


UNKNOWN = SystemProperties("not stated", None, "not stated")


def of_system(entry: Entry) -> SystemProperties:
    """Read the properties from a submission's statements, a recipe's retriever or a published backbone's name."""
    system = entry.result.system
    if system.submission:
        licence = system.submission.license or "not stated"
        return SystemProperties("submitted", _parameters(system.submission.size or ""), licence)
    if entry.measured:
        retriever = (system.recipe or {}).get("retriever")
        return _of_recipe(system.recipe or {}, retriever) if isinstance(retriever, dict) else UNKNOWN
    return _of_published(system.name)


def _of_recipe(recipe: dict[str, Any], retriever: dict[str, Any]) -> SystemProperties:
    family = str(retriever.get("name", "not stated"))
    if recipe.get("training"):
        family = f"{family}, trained"
    names = sorted(set(_models(retriever)))
    if not names:
        no_model = family == "bm25"
        return SystemProperties(family, 0, "no model") if no_model else SystemProperties(family, None, "not stated")
    cards = [MODEL_CARDS.get(name) for name in names]
    parameters = sum(card.parameters for card in cards if card) if all(cards) else None
    licences = sorted({card.licence or "not stated" if card else "not stated" for card in cards})
    return SystemProperties(family, parameters, ", ".join(licences))


def _models(value: Any) -> list[str]:
    """Return the repositories of all models that a retriever's settings name."""
    if isinstance(value, dict):
        named = [value["model"]] if isinstance(value.get("model"), str) else []
        named += [name for part in value.values() for name in _models(part)]
        return [SHORT[name].repo if name in SHORT else name for name in named]
    return [name for part in value for name in _models(part)] if isinstance(value, list) else []


def _of_published(name: str) -> SystemProperties:
    words = name.lower()
    if words.startswith("bm25"):
        hybrid = "hybrid" in words
        return SystemProperties("hybrid", None, "not stated") if hybrid else SystemProperties("bm25", 0, "no model")
    backbone, _, method = words.partition(" + ")
    card = MODEL_CARDS.get(PUBLISHED_BACKBONES.get(re.sub(r"-tied-pft.*", "", backbone), ""))
    trained = ", trained" if method or "-ft-" in backbone else ""
    return SystemProperties(f"dense{trained}", card.parameters, card.licence or "not stated") if card else UNKNOWN


def _parameters(words: str) -> int | None:
    """``118M parameters`` -> 118, ``1.5B`` -> 1500."""
    match = re.search(r"(\d{1,6}(?:\.\d{1,3})?)\s*([MB])\b", words, re.IGNORECASE)
    return round(float(match[1]) * (1000 if match[2].upper() == "B" else 1)) if match else None


def script(code: str) -> str:
    """Return the name of a language's script, ``other`` if the language is unknown."""
    language = LANGUAGES.get(code) or SURPRISE.get(code)
    return SCRIPTS[language.script] if language else "other"


def resources(code: str) -> str:
    """Return ``high``, ``medium`` or ``low``; ``not known`` outside MIRACL."""
    return next((size for size, codes in RESOURCES.items() if code in codes), "not known")
