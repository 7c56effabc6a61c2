"""Where an imported data set comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mdrbench.core.errors import UsageError, did_you_mean
from mdrbench.data.writing import LanguageData

SPLIT_NAMES = {"validation": "dev", "valid": "dev", "val": "dev"}
"""Names of splits elsewhere -> ours."""


class Origin(NamedTuple):
    """What is recorded of the source.

    Attributes:
        kind: ``beir``, ``files``, ``ir_datasets``, ``hub``, ``mteb`` or ``nomiracl``.
        name: how the source is called there; for files of the user, their names without folders.
        revision: the commit, version or hash that fixes the content.
        licence: as the source states it; empty if it states none.
    """

    kind: str
    name: str
    revision: str
    licence: str = ""


class Import(NamedTuple):
    """A collection that is about to be written.

    Attributes:
        languages: yields each language once.
        corpus_variant: ``full``, or ``judged`` if the corpora hold judged passages alone.
    """

    origin: Origin
    languages: Iterator[tuple[str, LanguageData]]
    corpus_variant: str = "full"


def split_name(name: str) -> str:
    """Return our name of a split."""
    return SPLIT_NAMES.get(name, name)


def only_language(langs: list[str], source: str) -> str:
    """Return the one language of a source that does not say its language.

    Raises:
        UsageError: none or several were given.
    """
    if len(langs) != 1:
        mend = "give its language, such as --langs de"
        raise UsageError(f"{source} holds one language and does not say which.", where="--langs", mend=mend)
    return langs[0]


def chosen(langs: list[str], there: list[str], source: str) -> list[str]:
    """Return the languages to import: those asked for, all of the source by default.

    Raises:
        UsageError: the source lacks one of them.
    """
    for lang in langs:
        if lang not in there:
            raise UsageError(f"{source} has no language '{lang}'.", where="--langs", mend=did_you_mean(lang, there))
    return langs or there
