"""A transformer from a local folder, the hub or PyPI: first-token or mean pooling, prefixes, lengths.

Texts are tokenised a window at a time, sorted by their number of tokens and batched by a token budget, so that little
is padded; embeddings come back in the order of the texts. The budget is halved when the device runs out of memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from mdrbench import environment, models
from mdrbench.environment import package_version
from mdrbench.errors import SetupError

if TYPE_CHECKING:
    import numpy as np
    import torch

VERSION = 1


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
    """See :class:`mdrbench.encoders.Encoder`."""

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
        found = models.find(self.config.model, self.config.revision, self.config.source, models.default_root())
        if found is None:
            raise SetupError(
                f"the model '{self.config.model}' is not here",
                mend=f"`mdrbench models pull {self.config.model}`, or name a local folder",
            )
        return found

    @cached_property
    def dim(self) -> int:
        """Width of an embedding, from the model's config.json."""
        return json.loads((self.files.path / "config.json").read_text(encoding="utf-8"))["hidden_size"]

    @cached_property
    def device(self) -> str:
        """``cuda`` where there is a GPU, else ``cpu``."""
        return "cuda" if environment.gpus() else "cpu"

    @cached_property
    def precision(self) -> str:
        """What ``auto`` comes to on this machine."""
        if self.config.precision != "auto":
            return self.config.precision
        return "bf16" if self.device == "cuda" or environment.cpu_has_bf16() else "fp32"

    def conventions(self) -> dict:
        """Model, revision and source, pooling, normalisation, prefixes, lengths, precision, library versions."""
        settings = self.config.model_dump(mode="json", exclude={"batch_tokens", "revision", "source"})
        return {
            **settings,
            "model": self.files.name,
            "model_source": self.files.source,
            "model_revision": self.files.revision,
            "precision": self.precision,
            "dim": self.dim,
            "torch": package_version("torch"),
            "transformers": package_version("transformers"),
        }

    @property
    def _tokenizer(self):
        return _load(str(self.files.path), self.precision, self.device)[0]

    @property
    def _model(self) -> torch.nn.Module:
        return _load(str(self.files.path), self.precision, self.device)[1]

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Float32 embeddings of shape (len(texts), dim)."""
        return self._encode([self.config.query_prefix + text for text in texts], self.config.query_length)

    def encode_passages(
        self, texts: Iterable[str], window: int, progress: Callable[[int], None]
    ) -> Iterator[np.ndarray]:
        """Float32 embeddings of shape (at most ``window``, dim), in order; memory holds one window."""
        stream = (self.config.passage_prefix + text for text in texts)
        done = 0
        while part := list(islice(stream, window)):
            start = done
            yield self._encode(part, self.config.passage_length, lambda n, start=start: progress(start + n))
            done += len(part)

    def _encode(
        self, texts: list[str], max_length: int, progress: Callable[[int], None] = lambda done: None
    ) -> np.ndarray:
        import numpy as np
        import torch

        tokens = self._tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]), reverse=True)
        result = np.empty((len(texts), self.dim), dtype=np.float32)
        at = 0
        while at < len(order):
            batch = order[at : at + max(1, self._budget // len(tokens[order[at]]))]
            try:
                result[batch] = self._forward([tokens[i] for i in batch])
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                torch.cuda.empty_cache()
                self._budget //= 2
                continue
            at += len(batch)
            progress(at)
        return result

    def _forward(self, batch: list[list[int]]) -> np.ndarray:
        """One padded batch through the model; float32, shape (len(batch), dim)."""
        import torch

        padded = self._tokenizer.pad({"input_ids": batch}, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            hidden = self._model(
                input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]
            ).last_hidden_state  # (B, L, dim)
            if self.config.pooling == "cls":
                pooled = hidden[:, 0].float()
            else:
                mask = padded["attention_mask"].unsqueeze(-1)  # (B, L, 1)
                pooled = (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1)
            if self.config.normalize:
                pooled = torch.nn.functional.normalize(pooled, dim=-1)
        return pooled.cpu().numpy()


@lru_cache(maxsize=1)
def _load(path: str, precision: str, device: str):
    """Tokenizer and model of a folder; the last one is kept, so that 32 steps of a run load it once."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = AutoModel.from_pretrained(path, dtype=dtype, local_files_only=True)
    return tokenizer, model.eval().to(device)
