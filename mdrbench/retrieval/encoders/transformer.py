"""A transformer from a local folder, the hub or PyPI: first-token or mean pooling, prefixes, lengths.

Texts are sorted by their number of tokens and batched by a token budget; embeddings come back in the order of the
texts. BERT and its relatives run without padding in fp32 on a CPU (:mod:`mdrbench.retrieval.unpadded_bert`),
everything else in padded batches. The budget is halved when a GPU runs out of memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from mdrbench.core import environment
from mdrbench.core.environment import package_version
from mdrbench.hub import models
from mdrbench.retrieval import unpadded_bert

if TYPE_CHECKING:
    import numpy as np
    import torch

    Batches = Iterator[tuple[list[int], np.ndarray]]  # positions of texts, and their embeddings: (len(positions), dim)

VERSION = 2

RUN_ONLY = ("batch_tokens",)
"""Settings that cannot change what comes out."""

TEXTS_TOKENISED = 1024
"""Texts given to the tokenizer at once: it keeps a hundred bytes and more a token until they are done."""

CACHED_TOKENS = 512
"""Tokens of a batch without padding: what the widest layer gives (3 MB at a width of 1,536) stays in the cache."""


class Config(BaseModel):
    """The model and its conventions, as its authors trained it.

    ``precision``: ``auto`` is bf16 where the device computes in it (GPUs, CPUs with AVX512-BF16 or AMX) and fp32
    elsewhere; bf16 emulated by a CPU is many times slower than fp32. What it came to is in the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str = Field(description="short name, hub repository, or a local folder")
    revision: str | None = Field(default=None, description="commit on the hub; None: the one pinned for a short name")
    source: Literal["auto", "hub", "pypi", "local"] = "auto"
    pooling: Literal["mean", "cls"]
    normalize: bool
    query_prefix: str = ""
    passage_prefix: str = ""
    query_length: int = Field(ge=1, description="tokens kept of a query, prefix and special tokens included")
    passage_length: int = Field(ge=1, description="tokens kept of a passage, prefix and special tokens included")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_tokens: int = Field(default=8192, ge=1, description="tokens of a batch, padding included")


def build(config: Config) -> Transformer:
    """An encoder with these settings; the model is loaded when it first encodes."""
    return Transformer(config)


class Transformer:
    """See :class:`mdrbench.retrieval.encoders.Encoder`."""

    def __init__(self, config: Config):
        self.config = config
        self._budget = config.batch_tokens

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the model where it is not here yet, and say so: a download, or a fallback to PyPI, is never silent."""
        wanted = (self.config.model, self.config.revision, self.config.source, models.default_root())
        if models.find(*wanted) is None:
            models.pull(*wanted, say)

    @cached_property
    def files(self) -> models.LocalModel:
        """The model's folder, source and revision; a SetupError where it was never pulled."""
        return models.require(self.config.model, self.config.revision, self.config.source)

    @cached_property
    def dim(self) -> int:
        """Width of an embedding, from the model's config.json."""
        config = json.loads((self.files.path / "config.json").read_text(encoding="utf-8"))
        return next(config[key] for key in ("hidden_size", "dim", "d_model") if key in config)

    @cached_property
    def device(self) -> str:
        """``cuda`` where there is a GPU, else ``cpu``."""
        return environment.device()

    @cached_property
    def precision(self) -> str:
        """What ``auto`` comes to on this machine."""
        return environment.precision(self.config.precision)

    def conventions(self) -> dict:
        """Model, revision and source, pooling, normalisation, prefixes, lengths, precision, library versions."""
        settings = self.config.model_dump(mode="json", exclude={"batch_tokens", "revision", "source"})
        return {
            **settings,
            "encoder_version": VERSION,
            "model": self.files.name,
            "model_source": self.files.source,
            "model_revision": self.files.revision,
            "precision": self.precision,
            "dim": self.dim,
            "torch": package_version("torch"),
            "transformers": package_version("transformers"),
        }

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Float32 embeddings of shape (len(texts), dim)."""
        return self._encode(self.config.query_prefix, texts, self.config.query_length, lambda done: None)

    def encode_passages(self, texts: list[str], progress: Callable[[int], None]) -> np.ndarray:
        """Float32 embeddings of shape (len(texts), dim)."""
        return self._encode(self.config.passage_prefix, texts, self.config.passage_length, progress)

    def _encode(self, prefix: str, texts: list[str], max_length: int, progress: Callable[[int], None]) -> np.ndarray:
        import numpy as np

        tokenizer, model, packed = _load(str(self.files.path), self.precision, self.device)
        tokens = _tokens(tokenizer, prefix, texts, max_length)
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]), reverse=True)
        result = np.empty((len(texts), self.dim), dtype=np.float32)
        encode = self._without_padding if packed else self._padded
        done = 0
        for rows, vectors in encode(tokenizer, model, tokens, order):
            result[rows] = vectors
            done += len(rows)
            progress(done)
        return result

    def _without_padding(self, _, model: torch.nn.Module, tokens: list[np.ndarray], order: list[int]) -> Batches:
        """A batch a core, each on one thread: cores never wait for each other inside a layer."""
        import torch

        def embed(rows: list[int]) -> np.ndarray:
            with torch.inference_mode():
                return self._packed(model, [tokens[i] for i in rows])

        batches, at, budget = [], 0, min(self._budget, CACHED_TOKENS)
        while at < len(order):
            batches.append(order[at : at + max(1, budget // len(tokens[order[at]]))])
            at += len(batches[-1])
        threads = torch.get_num_threads()
        if len(batches) < threads:
            yield from ((rows, embed(rows)) for rows in batches)
            return
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield from zip(batches, pool.map(embed, batches), strict=True)
        finally:
            torch.set_num_threads(threads)

    def _padded(self, tokenizer, model: torch.nn.Module, tokens: list[np.ndarray], order: list[int]) -> Batches:
        """Batches padded to their longest text, halved when the device runs out of memory."""
        import torch

        at = 0
        while at < len(order):
            rows = order[at : at + max(1, self._budget // len(tokens[order[at]]))]
            try:
                with torch.inference_mode():
                    vectors = self._pad(tokenizer, model, [tokens[i].tolist() for i in rows])
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
                torch.cuda.empty_cache()
                self._budget //= 2
                continue
            at += len(rows)
            yield rows, vectors

    def _packed(self, model: torch.nn.Module, batch: list[np.ndarray]) -> np.ndarray:
        """Embeddings of shape (len(batch), dim), computed without padding."""
        import torch

        first = self.config.pooling == "cls"
        groups = unpadded_bert.hidden_states(model, batch)  # each (texts, length, dim)
        return self._finish(torch.cat([group[:, 0] if first else group.mean(dim=1) for group in groups]))

    def _pad(self, tokenizer, model: torch.nn.Module, batch: list[list[int]]) -> np.ndarray:
        """Embeddings of shape (len(batch), dim) of a batch padded to its longest member."""
        padded = tokenizer.pad({"input_ids": batch}, return_tensors="pt").to(self.device)
        mask = padded["attention_mask"]  # (B, L)
        hidden = model(input_ids=padded["input_ids"], attention_mask=mask).last_hidden_state  # (B, L, dim)
        if self.config.pooling == "cls":
            return self._finish(hidden[:, 0])
        mask = mask.unsqueeze(-1)
        return self._finish((hidden.float() * mask).sum(dim=1) / mask.sum(dim=1))

    def _finish(self, pooled: torch.Tensor) -> np.ndarray:
        """Float32, normalised where the model's conventions say so."""
        import torch

        pooled = pooled.float()
        return (torch.nn.functional.normalize(pooled, dim=-1) if self.config.normalize else pooled).cpu().numpy()


def _tokens(tokenizer, prefix: str, texts: list[str], max_length: int) -> list[np.ndarray]:
    """The int32 token ids of each text behind its prefix, special tokens included."""
    import numpy as np

    found: list[np.ndarray] = []
    for start in range(0, len(texts), TEXTS_TOKENISED):
        part = [prefix + text for text in texts[start : start + TEXTS_TOKENISED]]
        ids = tokenizer(part, truncation=True, max_length=max_length, return_attention_mask=False)["input_ids"]
        found.extend(np.asarray(row, dtype=np.int32) for row in ids)
    return found


@lru_cache(maxsize=1)
def _load(path: str, precision: str, device: str):
    """Tokenizer and model of a folder, and whether the model runs without padding.

    The last one is kept, so that 32 steps of a run load it once.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    config = AutoConfig.from_pretrained(path, local_files_only=True)
    packed = device == "cpu" and precision == "fp32" and unpadded_bert.suits(config)
    settings = {"dtype": dtype, "local_files_only": True, "config": config}
    if packed:
        settings["attn_implementation"] = unpadded_bert.register()
    return tokenizer, AutoModel.from_pretrained(path, **settings).eval().to(device), packed
