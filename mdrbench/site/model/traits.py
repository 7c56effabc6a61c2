"""What a table can be filtered by: a system's family, model size and licence, a language's script and resources."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.hub import models
from mdrbench.site.model.board import Entry

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


class Model(NamedTuple):
    """Parameters in millions and licence, as the model's card gives them."""

    parameters: int
    licence: str | None


MODELS = {
    "intfloat/multilingual-e5-small": Model(118, "MIT"),
    "intfloat/multilingual-e5-base": Model(278, "MIT"),
    "intfloat/multilingual-e5-large": Model(560, "MIT"),
    "BAAI/bge-m3": Model(568, "MIT"),
    "google-bert/bert-base-multilingual-cased": Model(178, "Apache-2.0"),
    "castorini/mdpr-tied-pft-msmarco": Model(178, None),
    "facebook/mcontriever-msmarco": Model(178, None),
}

PUBLISHED = {
    "mbert": "google-bert/bert-base-multilingual-cased",
    "mdpr": "castorini/mdpr-tied-pft-msmarco",
    "mcontriever": "facebook/mcontriever-msmarco",
    "me5": "intfloat/multilingual-e5-large",
    "me5-large": "intfloat/multilingual-e5-large",
    "bge": "BAAI/bge-m3",
}
"""Backbones as publications call them."""


class Traits(NamedTuple):
    """Of one system. ``parameters`` are in millions, 0 for a system without a model, None where not known."""

    family: str
    parameters: int | None
    licence: str

    @property
    def size(self) -> str:
        """A class of sizes, for filters."""
        if self.parameters is None:
            return "not stated"
        if not self.parameters:
            return "no model"
        return "up to 150M" if self.parameters <= 150 else "150M to 400M" if self.parameters <= 400 else "over 400M"

    @property
    def shown(self) -> str:
        """The size as it is printed."""
        if not self.parameters:
            return ""
        return f"{self.parameters / 1000:.3g}B" if self.parameters >= 1000 else f"{self.parameters}M"


def of(entry: Entry) -> Traits:
    """From a submission's own words, a recipe's retriever, or a publication's name for its backbone."""
    system = entry.result.system
    if system.submission:
        licence = system.submission.license or "not stated"
        return Traits("submitted", _parameters(system.submission.size or ""), licence)
    if entry.measured:
        retriever = (system.recipe or {}).get("retriever")
        return _of_recipe(system.recipe or {}, retriever) if isinstance(retriever, dict) else UNKNOWN
    return _of_name(system.name)


UNKNOWN = Traits("not stated", None, "not stated")


def _of_recipe(recipe: dict[str, Any], retriever: dict[str, Any]) -> Traits:
    family = str(retriever.get("name", "not stated"))
    if recipe.get("training"):
        family = f"{family}, trained"
    names = sorted(set(_models(retriever)))
    if not names:
        return Traits(family, 0, "no model") if family == "bm25" else Traits(family, None, "not stated")
    known = [MODELS.get(name) for name in names]
    parameters = sum(model.parameters for model in known if model) if all(known) else None
    licences = sorted({model.licence or "not stated" if model else "not stated" for model in known})
    return Traits(family, parameters, ", ".join(licences))


def _models(value: Any) -> list[str]:
    """All models that a retriever's settings name, as repositories."""
    if isinstance(value, dict):
        here = [value["model"]] if isinstance(value.get("model"), str) else []
        found = here + [name for part in value.values() for name in _models(part)]
        return [models.SHORT[name].repo if name in models.SHORT else name for name in found]
    return [name for part in value for name in _models(part)] if isinstance(value, list) else []


def _of_name(name: str) -> Traits:
    words = name.lower()
    if words.startswith("bm25"):
        return Traits("hybrid", None, "not stated") if "hybrid" in words else Traits("bm25", 0, "no model")
    backbone, _, method = words.partition(" + ")
    found = MODELS.get(PUBLISHED.get(re.sub(r"-tied-pft.*", "", backbone), ""))
    trained = ", trained" if method or "-ft-" in backbone else ""
    return Traits(f"dense{trained}", found.parameters, found.licence or "not stated") if found else UNKNOWN


def _parameters(words: str) -> int | None:
    """``118M parameters`` -> 118, ``1.5B`` -> 1500."""
    match = re.search(r"(\d{1,6}(?:\.\d{1,3})?)\s*([MB])\b", words, re.IGNORECASE)
    return round(float(match[1]) * (1000 if match[2].upper() == "B" else 1)) if match else None


def script(code: str) -> str:
    """The script's name, ``other`` for a language that is not known."""
    language = LANGUAGES.get(code) or SURPRISE.get(code)
    return SCRIPTS[language.script] if language else "other"


def resources(code: str) -> str:
    """``high``, ``medium`` or ``low``; ``not known`` outside MIRACL."""
    return next((size for size, codes in RESOURCES.items() if code in codes), "not known")
