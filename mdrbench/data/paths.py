"""Where the files of a language lie in MIRACL's layout, below the data set's root."""

from __future__ import annotations


def corpus_folder(lang: str) -> str:
    """Return the folder of a language's corpus."""
    return f"miracl-corpus/miracl-corpus-v1.0-{lang}"


def topics_folder(lang: str) -> str:
    """Return the folder of a language's topics and qrels."""
    return f"miracl/miracl-v1.0-{lang}"


def split_file(kind: str, lang: str, split: str) -> str:
    """Return the path of a ``topics`` or ``qrels`` file."""
    return f"{topics_folder(lang)}/{kind}/{kind}.miracl-v1.0-{lang}-{split}.tsv"
