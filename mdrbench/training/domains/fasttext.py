"""Two fastText classifiers of English text, DBpedia-14 and Yahoo-Answers-10, with a mapping of classes to domains.

As in Huang et al., "Boosting Data Utilization for Multilingual Dense Retrieval" (EMNLP 2025): the Yahoo label counts
if it has a domain, else the DBpedia label, else the domain is Others. The models (Joulin et al., "Bag of Tricks for
Efficient Text Classification", EACL 2017) are dbpedia.bin or .ftz and yahoo_answers.bin or .ftz of
https://fasttext.cc/docs/en/supervised-models.html. They know English only. If a classifier knows no word of a
passage, the passage has no label here (the authors' released code takes the label that fastText gives to an empty
text).
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from mdrbench.core.errors import DataError, SetupError, did_you_mean
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.store import file_sha256
from mdrbench.core.types import Passage
from mdrbench.training.domains import DOMAINS, Embed, shares

DBPEDIA = (
    *("Company", "EducationalInstitution", "Artist", "Athlete", "OfficeHolder", "MeanOfTransportation", "Building"),
    *("NaturalPlace", "Village", "Animal", "Plant", "Album", "Film", "WrittenWork"),
)
"""The classes in the order of the data set's labels 1 to 14."""

YAHOO = (
    *("Society & Culture", "Science & Mathematics", "Health", "Education & Reference", "Computers & Internet"),
    *("Sports", "Business & Finance", "Entertainment & Music", "Family & Relationships", "Politics & Government"),
)
"""The classes in the order of the data set's labels 1 to 10."""

MAPPING = {
    "Science & Mathematics": "Science & Mathematics",
    "Health": "Life & Health",
    "Education & Reference": "Jobs & Education",
    "Computers & Internet": "Computers & Internet",
    "Sports": "Sports",
    "Business & Finance": "Business & Finance",
    "Entertainment & Music": "Arts & Entertainment",
    "Politics & Government": "Politics & Government",
    "Company": "Computers & Internet",
    "EducationalInstitution": "Science & Mathematics",
    "Artist": "Arts & Entertainment",
    "Athlete": "Sports",
    "OfficeHolder": "Business & Finance",
    "MeanOfTransportation": "Traffic & Transportation",
    "Building": "Geography",
    "NaturalPlace": "Geography",
    "Village": "Geography",
    "Animal": "Life & Health",
    "Plant": "Life & Health",
    "Album": "Arts & Entertainment",
    "Film": "Arts & Entertainment",
    "WrittenWork": "Books & Literature",
}
"""Class of either classifier -> domain, as the authors' released code has it; two of Yahoo's classes have none."""

PACKAGE = "run `pip install 'mdrbench[fasttext]'` (its wheels end at Python 3.11)"
"""With numpy 2 it predicts lists of texts only; fasttext-numpy2-wheel reads memory that it did not initialise."""


class Config(MemberConfig):
    """The model files, and changes to the mapping.

    ``mapping`` changes :data:`MAPPING`: class -> domain, None for no domain. The released mapping sends Company to
    Computers & Internet and OfficeHolder to Business & Finance, for example.
    """

    dbpedia: Path = Field(description="path of dbpedia.bin or dbpedia.ftz")
    yahoo: Path = Field(description="path of yahoo_answers.bin or yahoo_answers.ftz")
    mapping: dict[str, str | None] = Field(default={}, description="changes of the mapping: class -> domain")
    title_separator: str = Field(default=" ", description="text between title and text")

    @field_validator("mapping")
    @classmethod
    def _known_names(cls, mapping: dict[str, str | None]) -> dict[str, str | None]:
        for name, domain in mapping.items():
            if name not in (*DBPEDIA, *YAHOO):
                raise ValueError(f"no class '{name}'; {did_you_mean(name, [*DBPEDIA, *YAHOO])}")
            if domain is not None and domain not in DOMAINS:
                raise ValueError(f"no domain '{domain}'; {did_you_mean(domain, list(DOMAINS))}")
        return mapping


class FastText:
    """See :class:`mdrbench.training.domains.Labeller`."""

    spec = Spec(Config, version=1, run_only=("dbpedia", "yahoo"))  # the conventions have the files' hashes

    def __init__(self, config: Config):
        self.config = config
        self.mapping = {**MAPPING, **config.mapping}
        self._labels: dict[str, list[str]] = {}
        self._decided: Counter[str] = Counter()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Load the models; check package, files and classes."""
        _ = self._models

    @cached_property
    def _models(self) -> tuple[Any, Any]:
        return _load(self.config.yahoo, YAHOO), _load(self.config.dbpedia, DBPEDIA)

    @cached_property
    def _digests(self) -> dict[str, str]:
        paths = {"dbpedia_sha256": self.config.dbpedia, "yahoo_sha256": self.config.yahoo}
        return {name: file_sha256(_present(path)) for name, path in paths.items()}

    def conventions(self) -> dict[str, Any]:
        """Return the SHA-256 of the model files, the mapping, and how title and text are joined."""
        separator = self.config.title_separator
        return {"domains": "fasttext", **self._digests, "mapping": self.mapping, "title_separator": separator}

    def label(self, passages: dict[str, list[Passage]], embed: Embed | None) -> dict[str, list[str]]:
        """Return the domains of the classifiers' best labels; ``embed`` is not needed."""
        self._decided = Counter({"yahoo": 0, "dbpedia": 0, "neither": 0})
        self._labels = {lang: self._label(found) for lang, found in passages.items()}
        return self._labels

    def _label(self, passages: list[Passage]) -> list[str]:
        texts = [as_trained(passage.joined(self.config.title_separator)) for passage in passages]
        yahoo, dbpedia = self._models
        pairs = zip(_classes(yahoo, texts, YAHOO), _classes(dbpedia, texts, DBPEDIA), strict=True)
        return [self.domain(*pair) for pair in pairs]

    def domain(self, yahoo: str | None, dbpedia: str | None) -> str:
        """Return the domain of a pair of classes; None means that a classifier knows no word of the text."""
        for classifier, name in (("yahoo", yahoo), ("dbpedia", dbpedia)):
            if found := self.mapping.get(name or ""):
                self._decided[classifier] += 1
                return found
        self._decided["neither"] += 1
        return "Others"

    def facts(self) -> dict[str, Any]:
        """Return the number of passages by language and domain, and by the classifier that decided."""
        return {**shares(self._labels), "decided_by": dict(self._decided)}


def as_trained(text: str) -> str:
    """Prepare a text as the models' training data was: lower case, marks apart, no double quotes, on one line."""
    text = re.sub(r"<br />|[;:\s]", " ", text.lower().replace('"', ""))
    return " ".join(re.sub(r"(['.,()!?])", r" \1 ", text).split())


def _classes(model: Any, texts: list[str], names: tuple[str, ...]) -> list[str | None]:
    """Return the best class of each text; None if the model knows no word of it."""
    if not texts:
        return []
    found, _ = model.predict(texts)
    known = [any(model.get_word_id(word) >= 0 for word in text.split()) for text in texts]
    return [_name(labels[0], names) if knows and labels else None for knows, labels in zip(known, found, strict=True)]


def _name(label: str, names: tuple[str, ...]) -> str | None:
    """Return the class of a label: ``__label__3`` is the third, and a label may also hold the class's name."""
    text = label.removeprefix("__label__")
    if text.isdecimal():
        return names[int(text) - 1] if 1 <= int(text) <= len(names) else None
    folded = {re.sub(r"\W|_", "", name).lower(): name for name in names}
    return folded.get(re.sub(r"\W|_", "", text).lower())


def _present(path: Path) -> Path:
    if not path.is_file():
        raise DataError(
            "no such fastText model",
            where=str(path),
            mend="fetch it from https://fasttext.cc/docs/en/supervised-models.html, or use the domains nearest",
        )
    return path


def _load(path: Path, names: tuple[str, ...]) -> Any:
    """Load a model and check its classes: two swapped models would label without an error."""
    _present(path)
    try:
        import fasttext
    except ImportError:
        raise SetupError("the domains fasttext need a package that is not installed", mend=PACKAGE) from None
    try:
        with redirect_stderr(io.StringIO()):  # the package greets with a remark on its own API
            model = fasttext.load_model(str(path))
    except ValueError as error:
        raise DataError(f"not a fastText model: {error}", where=str(path), mend="fetch it again") from None
    if not hasattr(model, "get_labels"):
        raise SetupError("the installed package 'fasttext' cannot list a model's classes", mend=PACKAGE)
    labels = model.get_labels()
    if {_name(label, names) for label in labels} != set(names) or len(labels) != len(names):
        raise DataError(
            f"the model has {len(labels)} classes, not the {len(names)} from '{names[0]}' to '{names[-1]}'",
            where=str(path),
            mend="name the DBpedia-14 model under dbpedia and the Yahoo-Answers-10 model under yahoo",
        )
    return model
