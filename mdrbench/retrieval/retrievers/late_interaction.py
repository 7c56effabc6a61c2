"""Late interaction: a vector for each token; exact search by the sum of each query token's greatest inner product.

``head: sentence-transformers`` is any ``MultiVectorEncoder`` (ColBERT's and PyLate's folders too), ``head: bge-m3`` the
multi-vector head of BGE-M3. Vectors are float16 in shards on disk. The score is divided by the number of the query's
vectors, as BGE-M3 does: that changes no ranking, and makes scores of different queries comparable for fusion
(Khattab and Zaharia, SIGIR 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mdrbench.core.errors import DataError
from mdrbench.core.members import Spec
from mdrbench.core.types import Passage, Run, Topics
from mdrbench.hub import loading
from mdrbench.hub.model_folder import optional_json
from mdrbench.retrieval import shard_files
from mdrbench.retrieval.retrievers._models import ModelConfig, WithModel

if TYPE_CHECKING:
    import numpy as np
    import torch

TEXTS_AT_ONCE = 1024
"""Texts of one call of the model."""

PRODUCTS = 64_000_000
"""Inner products of token vectors that are held in memory at once (256 MB)."""

TOKENS = 65_536
"""Token vectors of passages that are compared at once, unless one passage has more."""


class Config(ModelConfig):
    """See :class:`mdrbench.retrieval.retrievers._models.ModelConfig`."""


class LateInteraction(WithModel):
    """See :class:`mdrbench.retrieval.retrievers.Retriever`."""

    spec = Spec(Config, version=1, run_only=("shard_size",), resumable=True)

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return the model's conventions; the same in every language."""
        return {**self.model_conventions(), "stored_as": "float16 vectors by token", "similarity": "mean of MaxSim"}

    def estimate(self, corpus_bytes: int) -> int:
        """Estimate 100 vectors of 128 dimensions for a passage."""
        return corpus_bytes * 90

    def index_facts(self, out: Path) -> dict[str, Any]:
        """Count the vectors."""
        return {"vectors": sum(len(arrays["vectors"]) for _, arrays in shard_files.read(out))}

    def _arrays(self, window: list[Passage], tell: Callable[[int], None]) -> dict[str, np.ndarray]:
        """A text without a vector (only tokens that the model skips) gets one of zeros."""
        import numpy as np

        found = self._encode("passage", [p.joined(self.config.title_separator) for p in window], tell)
        lengths = np.array([len(vectors) for vectors in found], dtype=np.int64)
        return {"vectors": np.concatenate(found).astype(np.float16), "lengths": lengths}

    def search(self, lang: str, index: Path, topics: Topics, depth: int) -> Run:
        """Search all topics exactly over all shards."""
        queries = self._encode("query", list(topics.values()), lambda done: None)
        merged = shard_files.Merged(topics, depth)
        for docids, arrays in shard_files.read(index):
            merged.add(mean_max_sim(queries, arrays["vectors"], arrays["lengths"]), docids)
        return merged.run()

    def _encode(
        self, side: Literal["query", "passage"], texts: list[str], tell: Callable[[int], None]
    ) -> list[np.ndarray]:
        """Return the token vectors of each text: float32, shape (tokens, dim), at least one."""
        import numpy as np

        self.model_conventions()  # consent
        trusted = self.config.trust_remote_code is not None
        model = _load(str(self.files.path), self.config.head, self.precision, self.device, trusted, self.dtype)
        length = self.length(side)
        if self.config.head == "bge-m3":
            found = model.vectors(texts, length or 512, self.config.batch_size, tell)
        else:
            found = []
            options = (
                {} if length is None else {"processing_kwargs": {"text": {"max_length": length, "truncation": True}}}
            )
            encode = model.encode_query if side == "query" else model.encode_document
            for at in range(0, len(texts), TEXTS_AT_ONCE):
                part = texts[at : at + TEXTS_AT_ONCE]
                size = self.config.batch_size
                vectors = encode(part, batch_size=size, show_progress_bar=False, convert_to_numpy=True, **options)
                found += [np.asarray(row, dtype=np.float32) for row in vectors]
                tell(at + len(part))
        width = max((row.shape[1] for row in found if row.ndim == 2), default=1)
        return [row if row.size else np.zeros((1, width), dtype=np.float32) for row in found]


def mean_max_sim(queries: list[np.ndarray], vectors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return for each query and passage the mean over the query's vectors of the greatest inner product.

    Args:
        queries: float32, each of shape (vectors of the query, dim).
        vectors: the passages' vectors one after the other, shape (sum of lengths, dim).
        lengths: vectors of each passage, all at least 1.

    Returns:
        Float32, shape (queries, passages).
    """
    import numpy as np

    scores = np.empty((len(queries), len(lengths)), dtype=np.float32)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    first = 0
    while first < len(lengths):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + TOKENS, side="right")) - 1)
        block = vectors[starts[first] : starts[last]].astype(np.float32)  # (tokens, dim)
        edges = starts[first:last] - starts[first]
        at = 0
        while at < len(queries):
            taken, rows = at + 1, len(queries[at])
            while taken < len(queries) and (rows + len(queries[taken])) * len(block) <= PRODUCTS:
                rows, taken = rows + len(queries[taken]), taken + 1
            products = np.concatenate(queries[at:taken]) @ block.T  # (rows, tokens)
            best = np.maximum.reduceat(products, edges, axis=1)  # (rows, passages)
            begins = np.concatenate([[0], np.cumsum([len(query) for query in queries[at : taken - 1]], dtype=np.int64)])
            sums = np.add.reduceat(best, begins, axis=0)
            counts = np.array([len(query) for query in queries[at:taken]], dtype=np.float32)
            scores[at:taken, first:last] = sums / counts[:, None]
            at = taken
        first = last
    return scores


@lru_cache(maxsize=1)
def _load(path: str, head: str, precision: str, device: str, own_code: bool, dtype: torch.dtype) -> Any:
    """Load a model. The last one is kept, so that the steps of a run load it once."""
    folder = Path(path)
    if head == "bge-m3":
        from mdrbench.retrieval.bge_m3 import MULTI_VECTOR, BgeM3

        return BgeM3(folder, MULTI_VECTOR, device, dtype)
    kind = optional_json(folder / "config_sentence_transformers.json").get("model_type")
    late = kind == "MultiVectorEncoder" or (folder / "artifact.metadata").is_file() or any(folder.glob("*_Dense"))
    if not late:
        raise DataError(
            "the model has no layer for vectors of tokens, and sentence-transformers would draw one at random",
            where=path,
            mend="choose a late-interaction model, or head: bge-m3 for BGE-M3",
        )
    with loading.errors(folder, "the model"):
        from sentence_transformers import MultiVectorEncoder

        return MultiVectorEncoder(
            path, device=device, local_files_only=True, trust_remote_code=own_code, model_kwargs={"dtype": dtype}
        )
