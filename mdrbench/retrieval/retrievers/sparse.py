"""Learned sparse retrieval: a model weighs the tokens of each text; exact search by the inner product of the weights.

``head: sentence-transformers`` is any ``SparseEncoder`` (SPLADE, and static weights for queries), ``head: bge-m3`` the
sparse head of BGE-M3. Weights are float32 in compressed rows, in shards on disk. A passage that shares no weighted
token with a topic is no hit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mdrbench.core.members import Spec
from mdrbench.core.types import Passage, Run, Topics
from mdrbench.hub import loading
from mdrbench.retrieval import shard_files
from mdrbench.retrieval.retrievers._models import ModelConfig, WithModel

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    import torch

TEXTS_AT_ONCE = 1024
"""Texts of one call of the model."""


class Config(ModelConfig):
    """See :class:`mdrbench.retrieval.retrievers._models.ModelConfig`."""


class Sparse(WithModel):
    """See :class:`mdrbench.retrieval.retrievers.Retriever`."""

    spec = Spec(Config, version=1, run_only=("shard_size",), resumable=True)

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return the model's conventions; the same in every language."""
        return {**self.model_conventions(), "stored_as": "float32 weights by token", "similarity": "inner product"}

    def estimate(self, corpus_bytes: int) -> int:
        """Estimate 8 bytes for each of about 100 weights of a passage."""
        return corpus_bytes * 3

    def index_facts(self, out: Path) -> dict[str, Any]:
        """Count the weights."""
        return {"weights": sum(len(arrays["data"]) for _, arrays in shard_files.read(out))}

    def _arrays(self, window: list[Passage], tell: Callable[[int], None]) -> dict[str, np.ndarray]:
        matrix = self._encode("passage", [p.joined(self.config.title_separator) for p in window], tell)
        return {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}

    def search(self, lang: str, index: Path, topics: Topics, depth: int) -> Run:
        """Search all topics exactly over all shards."""
        import scipy.sparse as sp

        queries = self._encode("query", list(topics.values()), lambda done: None)
        merged = shard_files.Merged(topics, depth)
        for docids, arrays in shard_files.read(index):
            rows = (arrays["data"], arrays["indices"], arrays["indptr"])
            matrix = sp.csr_array(rows, shape=(len(docids), queries.shape[1]))
            merged.add((queries @ matrix.T).toarray(), docids, above=0.0)
        return merged.run()

    def _encode(self, side: Literal["query", "passage"], texts: list[str], tell: Callable[[int], None]) -> sp.csr_array:
        """Return weights, float32, shape (texts, size of the vocabulary)."""
        import numpy as np
        import scipy.sparse as sp

        self.model_conventions()  # consent
        trusted = self.config.trust_remote_code is not None
        model = _load(str(self.files.path), self.config.head, self.precision, self.device, trusted, self.dtype)
        length = self.length(side)
        if self.config.head == "bge-m3":
            found = model.weights(texts, length or 512, self.config.batch_size, tell)
            indptr = np.cumsum([0, *map(len, found)])
            indices = np.array([token for row in found for token in row], dtype=np.int32)
            data = np.array([value for row in found for value in row.values()], dtype=np.float32)
            return sp.csr_array((data, indices, indptr), shape=(len(texts), len(model.tokenizer)))
        model.max_seq_length = length or model.max_seq_length
        encode = model.encode_query if side == "query" else model.encode_document
        parts = []
        for at in range(0, len(texts), TEXTS_AT_ONCE):
            part = texts[at : at + TEXTS_AT_ONCE]
            weights = encode(part, batch_size=self.config.batch_size, show_progress_bar=False, save_to_cpu=True)
            weights = weights.float().coalesce()
            places = weights.indices().numpy()
            parts.append(sp.csr_array((weights.values().numpy(), (places[0], places[1])), shape=tuple(weights.shape)))
            tell(at + len(part))
        return sp.csr_array(sp.vstack(parts, format="csr"))


@lru_cache(maxsize=1)
def _load(path: str, head: str, precision: str, device: str, own_code: bool, dtype: torch.dtype) -> Any:
    """Load a model. The last one is kept, so that the steps of a run load it once."""
    folder = Path(path)
    if head == "bge-m3":
        from mdrbench.retrieval.bge_m3 import SPARSE, BgeM3

        return BgeM3(folder, SPARSE, device, dtype)
    with loading.errors(folder, "the model"):
        from sentence_transformers import SparseEncoder

        if not (folder / "modules.json").is_file():
            loading.check_weights(folder, "AutoModelForMaskedLM", own_code=own_code)
        settings = {"dtype": dtype}
        return SparseEncoder(
            path, device=device, local_files_only=True, trust_remote_code=own_code, model_kwargs=settings
        )
