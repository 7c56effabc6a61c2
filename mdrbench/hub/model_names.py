"""Names of models: short names and their pinned revisions, repositories of the hub, folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.errors import DataError, UsageError, did_you_mean
from mdrbench.hub import e5_small

SOURCES = ("auto", "hub", "pypi", "local")


class Pin(NamedTuple):
    """A repository of the hub and its default revision."""

    repo: str
    revision: str


SHORT = {
    "me5-small": Pin("intfloat/multilingual-e5-small", "fd1525a9fd15316a2d503bf26ab031a61d056e98"),
    "me5-base": Pin("intfloat/multilingual-e5-base", "d13f1b27baf31030b7fd040960d60d909913633f"),
    "me5-large": Pin("intfloat/multilingual-e5-large", "ab10c1a7f42e74530fe7ae5be82e6d4f11a719eb"),
    "bge-m3": Pin("BAAI/bge-m3", "5617a9f61b028005a4858fdac845db406aefb181"),
    "bge-reranker-v2-m3": Pin("BAAI/bge-reranker-v2-m3", "953dc6f6f85a1b2dbfca4c34a2796e7dde08d41e"),
    "mdpr": Pin("castorini/mdpr-tied-pft-msmarco", "7d0770f05d26ac1bf577a9454a96afcc05d654d6"),
    "mcontriever": Pin("facebook/mcontriever-msmarco", "9ff6abed2c2fdf32bbbd8b4e98fb10160e317375"),
    "me5-large-instruct": Pin("intfloat/multilingual-e5-large-instruct", "baa7be480a7de1539afce709c8f13f833a510e0a"),
    "arctic-embed-l-v2": Pin("Snowflake/snowflake-arctic-embed-l-v2.0", "edc2df7b6c25794b340229ca082e7c78782e6374"),
    "qwen3-embedding": Pin("Qwen/Qwen3-Embedding-0.6B", "b22da495047858cce924d27d76261e96be6febc0"),
    "embeddinggemma": Pin("google/embeddinggemma-300m", "64614b0b8b64f0c6c1e52b07e4e9a4e8fe4d2da2"),
    "jina-embeddings-v3": Pin("jinaai/jina-embeddings-v3-hf", "d18862d9a48706220815554fac3ebb4dfa46fc28"),
    "granite-embedding": Pin(
        "ibm-granite/granite-embedding-278m-multilingual", "84e3546b88b0cb69f8078608a1df558020bcbf1f"
    ),
    "labse": Pin("sentence-transformers/LaBSE", "e34fab64a3011d2176c99545a93d5cbddc9a91b7"),
    "mbert": Pin("google-bert/bert-base-multilingual-cased", "3f076fdb1ab68d5b2880cb87a0886f315b8146f8"),
}
WITHOUT_OWNER = {
    **{
        f"bert-base-{kind}": f"google-bert/bert-base-{kind}"
        for kind in ("cased", "uncased", "multilingual-cased", "multilingual-uncased", "chinese", "german-cased")
    },
    **{
        f"distilbert-base-{kind}": f"distilbert/distilbert-base-{kind}"
        for kind in ("cased", "uncased", "multilingual-cased")
    },
    "xlm-roberta-base": "FacebookAI/xlm-roberta-base",
    "xlm-roberta-large": "FacebookAI/xlm-roberta-large",
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
}
"""Names from before repositories had owners -> where the hub redirects them to."""
LABORATORY = "me5-small-6l"
"""The first six layers of multilingual-e5-small: a start for training experiments. No hub has them."""
PYPI = {SHORT["me5-small"].repo: 12, LABORATORY: 6}
"""Models on PyPI -> number of layers."""


class Asked(NamedTuple):
    """A parsed request: a repository or a folder, and a revision, which is empty only for a folder."""

    name: str
    revision: str
    source: str

    def folder(self, root: Path) -> Path:
        return root / self.name.replace("/", "--")


def understand(name: str, revision: str | None, source: str) -> Asked:
    """Parse a request: short names become repositories, missing revisions become pins.

    ``auto`` becomes the source if there is only one.

    Raises:
        UsageError: no such source, no such name, or the source does not have the model.
    """
    if source not in SOURCES:
        raise UsageError(f"no source '{source}'", mend=did_you_mean(source, list(SOURCES)))
    short = name in SHORT or name == LABORATORY
    folder = Path(name).expanduser()
    if source == "local" or (source == "auto" and not short and folder.is_dir()):
        if not folder.is_dir():
            raise DataError("there is no such folder", where=name, mend="give the folder of a model, or another source")
        return Asked(str(folder), revision or "", "local")
    if not short and not re.fullmatch(r"[\w.-]+/[\w.-]+", name) and name not in WITHOUT_OWNER:
        known = did_you_mean(name, [*SHORT, LABORATORY])
        raise UsageError(f"unknown model '{name}'", mend=f"{known}, OWNER/NAME of a hub, or a folder")
    repo = SHORT[name].repo if name in SHORT else WITHOUT_OWNER.get(name, name)
    if repo == LABORATORY and source == "auto":
        source = "pypi"
    if (source == "pypi" and repo not in PYPI) or (source == "hub" and repo == LABORATORY):
        others = "hub" if source == "pypi" else "pypi"
        raise UsageError(f"{name} does not come from {source}", mend=f"use --source {others} or auto")
    if source == "pypi":
        return Asked(repo, checked_pypi(repo, revision), source)
    pins = {pin.repo: pin.revision for pin in SHORT.values()}
    return Asked(repo, revision or pins.get(repo, "main"), source)


def pypi_revision(name: str) -> str:
    """Return the revision of a model of :data:`PYPI`: ``sha256:`` of its tensors, and the kept layers if not all."""
    layers = PYPI[name]
    return f"sha256:{e5_small.TENSORS_SHA256}" + (f":layers={layers}" if layers != e5_small.LAYERS else "")


def checked_pypi(repo: str, revision: str | None) -> str:
    """Return PyPI's only revision; the hub's pin means it too, and anything else is a UsageError."""
    only = pypi_revision(repo)
    if revision in (None, "main", only, *(pin.revision for pin in SHORT.values() if pin.repo == repo)):
        return only
    raise UsageError(f"PyPI has {repo} at one revision, not at '{revision}'", mend=f"leave it out, or give {only}")
