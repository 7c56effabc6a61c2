"""Dense retrieval: an encoder, float16 embeddings in shards on disk, exact inner-product search.

Encoding goes on after the last whole shard when it was interrupted. Title and text are joined by ``title_separator``; a
passage without a title is its text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mdrbench import registry, vectors
from mdrbench.types import Passage, Run, Topics

VERSION = 1

PARTS = {"encoder": "encoders"}
"""Keys of the configuration that name a member of another family."""

RESUMABLE = True

SEARCH_ONLY: tuple[str, ...] = ()

COMPRESSED_BYTES_PER_PASSAGE = 280
"""Measured on wiki16's English corpus; for estimates only."""


class Config(BaseModel):
    """``encoder``: a member of the encoders family by name, with its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    encoder: dict[str, Any]
    title_separator: str = Field(default=" ", description="what joins title and text")
    shard_size: int = Field(default=16_384, ge=1, description="passages of a shard: what an interruption can cost")


def build(config: Config) -> Dense:
    """A retriever with these settings; the model is loaded when it first encodes."""
    return Dense(config)


class Dense:
    """See :class:`mdrbench.retrievers.Retriever`."""

    def __init__(self, config: Config):
        self.config = config

    @cached_property
    def encoder(self):
        """The encoder, built from its part of the configuration."""
        return registry.build("encoders", self.config.encoder)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the encoder's model where it is not here yet."""
        self.encoder.prepare(say)

    def conventions(self, lang: str) -> dict:
        """The encoder's, and how title and text are joined; the same in every language."""
        return {
            **self.encoder.conventions(),
            "title_separator": self.config.title_separator,
            "stored_as": "float16",
            "similarity": "inner product",
            "index": "exact",
        }

    def estimate(self, corpus_bytes: int) -> int:
        """Two bytes a dimension for each passage."""
        return corpus_bytes // COMPRESSED_BYTES_PER_PASSAGE * self.encoder.dim * 2

    def index(self, lang: str, passages: Iterable[Passage], out: Path, progress: Callable[[int], None]) -> dict:
        """Encode the corpus into shards; those that an earlier attempt finished are kept."""
        out.mkdir(exist_ok=True)
        stream = iter(passages)
        done = [shard.docids for shard in vectors.shards(out, check=True)]
        resumed = sum(map(len, done))
        for docids in done:
            if [passage.docid for passage in islice(stream, len(docids))] != docids:
                raise ValueError("the shards found are of another corpus")  # the key makes this impossible
        docids: list[str] = []
        texts = (self._text(passage, docids) for passage in stream)
        size = self.config.shard_size
        total = resumed
        windows = self.encoder.encode_passages(texts, size, lambda n: progress(resumed + n))
        for number, matrix in enumerate(windows, len(done)):
            vectors.write_shard(out, number, docids[:size], matrix)
            total += len(matrix)
            del docids[:size]
        return {"indexed": total, "skipped": 0, "resumed_after": resumed, "device": self.encoder.device}

    def _text(self, passage: Passage, docids: list[str]) -> str:
        docids.append(passage.docid)
        return f"{passage.title}{self.config.title_separator}{passage.text}" if passage.title else passage.text

    def search(self, lang: str, index: Path, topics: Topics, depth: int) -> Run:
        """Exact search of all topics over all shards."""
        import torch

        queries = torch.from_numpy(self.encoder.encode_queries(list(topics.values())))
        return dict(zip(topics, vectors.exact_search(index, queries, depth), strict=True))
