"""Dense retrieval: an encoder, float16 embeddings in shards on disk, exact inner-product search.

An interrupted encoding continues after the last whole shard. Title and text are joined by ``title_separator``; a
passage without a title is its text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mdrbench.core.members import EncoderMember, IndexMember, MemberConfig, Spec
from mdrbench.core.types import Passage, Run, Scores, Topics
from mdrbench.evaluation import measures
from mdrbench.retrieval import vectors

if TYPE_CHECKING:
    import numpy as np

    from mdrbench.retrieval.encoders import Encoder
    from mdrbench.retrieval.indexes import VectorIndex

RECALL_DEPTHS = (10, 100)

COMPRESSED_BYTES_PER_PASSAGE = 280
"""Measured on wiki16's English corpus; for estimates only."""


class Config(MemberConfig):
    """``encoder`` and ``index``: members of their families by name, with their settings."""

    encoder: EncoderMember
    index: IndexMember = Field(
        default={"name": "exact"}, validate_default=True, description="how the embeddings are searched"
    )
    title_separator: str = Field(default=" ", description="text between title and text")
    shard_size: int = Field(
        default=16_384, ge=1, description="passages per shard; an interruption costs at most one shard"
    )


class Dense:
    """See :class:`mdrbench.retrieval.retrievers.Retriever`."""

    spec = Spec(
        Config,
        version=1,
        run_only=("shard_size",),
        search_only=("index", "index_version", "index_settings"),
        resumable=True,
    )

    def __init__(self, config: Config):
        self.config = config

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, built from its part of the configuration."""
        encoder: Encoder = self.config.encoder.build()
        return encoder

    @cached_property
    def vector_index(self) -> VectorIndex:
        """The search over the embeddings, built from its part of the configuration."""
        index: VectorIndex = self.config.index.build()
        return index

    def prepare(self, say: Callable[[str], None]) -> None:
        """Download the encoder's model if it is not on this disk."""
        self.encoder.prepare(say)

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return the encoder's conventions, the title separator and the search; the same in every language."""
        index = self.vector_index.conventions()
        return {
            **self.encoder.conventions(),
            "title_separator": self.config.title_separator,
            "stored_as": "float16",
            "similarity": "inner product",
            "index": index.pop("index"),
            "index_version": self.config.index.spec.version,
            "index_settings": index,
        }

    def estimate(self, corpus_bytes: int) -> int:
        """Estimate two bytes per dimension for each passage."""
        return corpus_bytes // COMPRESSED_BYTES_PER_PASSAGE * self.encoder.dim * 2

    def index(
        self, lang: str, passages: Iterable[Passage], out: Path, progress: Callable[[int], None]
    ) -> dict[str, Any]:
        """Encode the corpus into shards; keep those that an earlier attempt finished."""
        stream = iter(passages)
        number = resumed = 0
        for docids in self.finished(out):
            if [passage.docid for passage in islice(stream, len(docids))] != docids:
                raise ValueError("the shards belong to another corpus")  # the key makes this impossible
            number += 1
            resumed += len(docids)
        total = resumed
        while window := list(islice(stream, self.config.shard_size)):
            self.index_window(window, number, out, _counted_from(total, progress))
            number += 1
            total += len(window)
        return {"indexed": total, "skipped": 0, "resumed_after": resumed, **self.window_facts()}

    def finished(self, out: Path) -> Iterator[list[str]]:
        """See :class:`mdrbench.retrieval.retrievers.ByWindows`."""
        return (shard.docids for shard in vectors.finished_shards(out))

    def index_window(self, passages: list[Passage], number: int, out: Path, progress: Callable[[int], None]) -> None:
        """Encode a window of passages into the shard with this number."""
        out.mkdir(exist_ok=True)
        texts = [passage.joined(self.config.title_separator) for passage in passages]
        matrix = self.encoder.encode_passages(texts, progress)
        vectors.write_shard(out, number, [passage.docid for passage in passages], matrix, self.encoder.precision)

    def window_facts(self) -> dict[str, Any]:
        """Return the encoder's facts."""
        return self.encoder.facts()

    def index_facts(self, out: Path) -> dict[str, Any]:
        """Return what is known of the whole index only: nothing."""
        return {}

    def search_rows(
        self, index: Path, queries: np.ndarray, depth: int, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search a range of rows exactly; :func:`mdrbench.retrieval.vectors.merge` puts ranges together."""
        return vectors.top(index, queries, depth, start=start, stop=stop)

    def search(self, lang: str, index: Path, topics: Topics, depth: int) -> Run:
        """Search all topics exactly over all shards."""
        return vectors.hits(index, topics, *vectors.top(index, self.encode(topics), depth))

    def search_structure(self, index: Path, structure: Path, topics: Topics, depth: int) -> tuple[Run, dict[str, Any]]:
        """Search through a structure that was built over the index.

        Returns:
            The run; facts: ``recall``, the share of exact search's hits that were found, by depth, if the structure is
            an approximation.
        """
        queries = self.encode(topics)
        scores, rows = self.vector_index.search(index, structure, queries, depth)
        facts = {}
        if not self.vector_index.exact:
            _, exact = vectors.top(index, queries, depth)
            facts["recall"] = {str(k): measures.overlap(rows, exact, k) for k in RECALL_DEPTHS if k <= depth}
        return vectors.hits(index, topics, scores, rows), facts

    def encode(self, topics: Topics) -> np.ndarray:
        """Return embeddings of the topics in their order: float32, shape (topics, dim)."""
        queries = self.encoder.encode_queries(list(topics.values()))
        vectors.check_finite(list(topics), queries, self.encoder.precision)
        return queries

    def score(self, lang: str, index: Path, topics: Topics, wanted: dict[str, list[str]]) -> Scores:
        """Return the inner product of each topic in ``wanted`` with the passages listed for it."""
        queries = self.encode({qid: topics[qid] for qid in wanted})
        found = vectors.score(index, queries, list(wanted.values()))
        return {qid: dict(zip(wanted[qid], scores, strict=True)) for qid, scores in zip(wanted, found, strict=True)}


def _counted_from(done: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    """Return a progress function for a window of passages that follows ``done`` others."""
    return lambda n: progress(done + n)
