"""Properties that tables are filtered by.

A system has a family, a model size and a licence; a language has a script and resources.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench.core import registry
from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.hub.model_names import SHORT
from mdrbench.results import mteb_tables
from mdrbench.results.mteb_tables import ModelFacts
from mdrbench.site.model import recipe_diff
from mdrbench.site.model.collection import Entry, packaged_results

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

SIZES = {"150": "up to 150M", "300": "up to 300M", "600": "up to 600M", "1000": "up to 1B", "8000": "up to 8B"}
"""Millions of parameters -> the filter that lets models of up to this size through."""

FREE = re.compile(r"(apache|mit|bsd|isc|mpl|cc-by-[0-9]|cc0)", re.IGNORECASE)
"""Licences that allow any use, also commercial."""

LICENCES = {"free": "free, also commercially", "restricted": "restricted", "closed": "weights not public",
            "none": "not stated"}  # fmt: skip

KINDS = ("single vector", "sparse", "multi-vector", "sum", "reranked")

KINDS_OF_RETRIEVERS = {
    "bm25": "sparse",
    "sparse": "sparse",
    "dense": "single vector",
    "late-interaction": "multi-vector",
    "hybrid": "sum",
    "ensemble": "sum",
    "rerank": "reranked",
}
"""Retriever of a recipe -> the kind of system."""

TRAINING = {"trained": "trained on MIRACL", "declared not": "declared not", "unknown": "unknown"}
"""State of the training data -> its label."""


class ModelCard(NamedTuple):
    """Parameters in millions and licence, as the model's card states them."""

    parameters: int
    licence: str | None


MODEL_CARDS = {
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
"""Models whose facts are not among mteb's."""

PUBLISHED_BACKBONES = {
    "mbert": "google-bert/bert-base-multilingual-cased",
    "mdpr": "castorini/mdpr-tied-pft-msmarco",
    "mcontriever": "facebook/mcontriever-msmarco",
    "me5": "intfloat/multilingual-e5-large",
    "me5-large": "intfloat/multilingual-e5-large",
    "bge": "BAAI/bge-m3",
    "bge-m3": "BAAI/bge-m3",
}
"""Name of a backbone in publications -> repository."""


class SystemProperties(NamedTuple):
    """What tables show about a system and filter by.

    Attributes:
        parameters: in millions; 0 without a model, None if unknown.
        kind: one of :data:`KINDS`, or ``not stated``.
        training: whether it was trained on MIRACL, a key of :data:`TRAINING`.
        mr_tydi: the same for Mr. TyDi.
    """

    family: str
    parameters: float | None
    licence: str
    kind: str = "not stated"
    training: str = "unknown"
    mr_tydi: str = "unknown"
    dimension: int | None = None
    max_tokens: int | None = None
    released: str = ""
    open_weights: bool | None = None
    instructions: bool | None = None

    @property
    def printed_size(self) -> str:
        """The size as it is printed: ``118M``, ``1.5B``, or nothing."""
        if not self.parameters:
            return ""
        return f"{self.parameters / 1000:.3g}B" if self.parameters >= 1000 else f"{self.parameters:.3g}M"

    @property
    def licence_class(self) -> str:
        """A key of :data:`LICENCES`."""
        if self.open_weights is False:
            return "closed"
        if self.licence in ("not stated", ""):
            return "none"
        return "free" if self.licence == "no model" or FREE.match(self.licence) else "restricted"


UNKNOWN = SystemProperties("not stated", None, "not stated")


@lru_cache(maxsize=4)
def model_facts(root: Path) -> dict[str, ModelFacts]:
    """Return what mteb says about each model, by its repository; of several revisions, the last one counts."""
    return {name: facts for (name, _), facts in mteb_tables.read_models(root).items()}


def of_system(entry: Entry) -> SystemProperties:
    """Read the properties from a submission, a recipe's retriever, mteb's facts or a published backbone's name."""
    system = entry.result.system
    if system.submission:
        licence = system.submission.license or "not stated"
        return SystemProperties("submitted", _parameters(system.submission.size or ""), licence)
    if entry.measured:
        retriever = (system.recipe or {}).get("retriever")
        return _of_recipe(system.recipe or {}, retriever) if isinstance(retriever, dict) else UNKNOWN
    properties = _of_facts(entry.facts) if entry.facts else _of_published(system.name)
    if system.name in _trained_by_recipes():
        properties = properties._replace(training="trained")
    return properties._replace(kind=system.kind or properties.kind)


def _of_facts(facts: ModelFacts) -> SystemProperties:
    return SystemProperties(
        family="dense" if facts.kind == "single vector" else facts.kind or "not stated",
        parameters=None if facts.parameters is None else facts.parameters / 1e6,
        licence=_licence(facts.licence),
        kind=facts.kind or "not stated",
        training=facts.miracl,
        mr_tydi=facts.mr_tydi,
        dimension=facts.dimension,
        max_tokens=facts.max_tokens,
        released=facts.released or "",
        open_weights=facts.open_weights,
        instructions=facts.instructions,
    )


def _licence(text: str | None) -> str:
    """Shorten a link to a licence to its host: mteb has both names and links."""
    if not text:
        return "not stated"
    return text.split("/")[2].removeprefix("www.") if text.startswith("http") else text


def _of_recipe(recipe: dict[str, Any], retriever: dict[str, Any]) -> SystemProperties:
    family = str(retriever.get("name", "not stated"))
    kind = KINDS_OF_RETRIEVERS.get(family, "not stated")
    names = sorted(set(_models(retriever)))
    if not names:
        if family == "bm25":
            return SystemProperties(family, 0, "no model", kind, "declared not", "declared not")
        return SystemProperties(family, None, "not stated", kind)
    facts = [_of_model(name) for name in names]
    sizes = [each.parameters for each in facts if each.parameters is not None]
    states = {each.training for each in facts}
    trained = bool(recipe.get("training"))
    only = facts[0] if len(facts) == 1 else UNKNOWN
    return only._replace(
        family=f"{family}, trained" if trained else family,
        parameters=sum(sizes) if len(sizes) == len(facts) else None,
        licence=", ".join(sorted({each.licence for each in facts})),
        kind=kind,
        training="trained" if trained or "trained" in states else states.pop() if len(states) == 1 else "unknown",
    )


def _of_model(name: str) -> SystemProperties:
    facts = model_facts(packaged_results()).get(name)
    if facts:
        return _of_facts(facts)
    card = MODEL_CARDS.get(name)
    return UNKNOWN._replace(parameters=card.parameters, licence=card.licence or "not stated") if card else UNKNOWN


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
        if "hybrid" in words:
            return SystemProperties("hybrid", None, "not stated")
        return SystemProperties("bm25", 0, "no model", "sparse", "declared not", "declared not")
    backbone, _, method = words.partition(" + ")
    repository = PUBLISHED_BACKBONES.get(re.sub(r"-tied-pft.*", "", backbone), "")
    if not repository:
        return UNKNOWN
    known, trained = _of_model(repository), ", trained" if method or "-ft-" in backbone else ""
    training = "unknown" if trained and known.training != "trained" else known.training
    if "rerank" in method:  # the reranker's size and training data are not stated
        return UNKNOWN._replace(family="reranked", licence=known.licence)
    return known._replace(family=f"dense{trained}", training=training)


@lru_cache(maxsize=1)
def _trained_by_recipes() -> set[str]:
    """Return the published systems that shipped recipes train again, on MIRACL's training topics."""
    recipes = {name: recipe_diff.shipped(name) or {} for name in registry.recipe_files()}

    def trains(recipe: dict[str, Any]) -> bool:
        return bool(recipe.get("training")) or (recipe.get("extends") in recipes and trains(recipes[recipe["extends"]]))

    return {system for recipe in recipes.values() if trains(recipe) for system in recipe_diff.claims(recipe)}


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
