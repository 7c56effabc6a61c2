"""A transformer from a local folder, the hub or PyPI: pooling, prefixes, lengths, linear layers after pooling.

Texts are sorted by their number of tokens and batched by a token budget; embeddings come back in the order of the
texts. BERT and its relatives run without padding in fp32 and bf16 on a CPU (:mod:`mdrbench.retrieval.unpadded_bert`).
Other models run in batches that are padded on the right, so that a text has the same embedding alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from mdrbench.core.environment import package_version
from mdrbench.core.errors import DataError, SetupError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.hub import loading, model_folder
from mdrbench.hub.chosen_model import ChosenModel
from mdrbench.retrieval import unpadded_bert
from mdrbench.retrieval.encoders import _statements
from mdrbench.retrieval.encoders._statements import Conventions, Override
from mdrbench.retrieval.pooling import Pooling, pool, pool_whole
from mdrbench.retrieval.vectors import one_thread_each

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    Batches = Iterator[tuple[list[int], np.ndarray]]  # positions of texts, and their embeddings: (len(positions), dim)

TEXTS_TOKENISED = 1024
"""Texts that the tokenizer gets at once: it keeps a hundred bytes and more for each token until they are done."""

UNPADDED_TOKENS = {"fp32": 512, "bf16": 2048}
"""Most tokens of a batch without padding. In fp32 the output of the widest layer (3 MB at a width of 1,536) stays in
the cache; in bf16 the weights are rearranged for every product, so larger batches are faster."""

SMALL_BATCH = 512
"""Tokens of a bf16 batch without padding that are not stated among the conventions: there was no other size once."""


UNSET = ("overrides_model", "trust_remote_code", "truncate_dim", "query_adapter", "passage_adapter")
"""Conventions that are left out if they are not set."""


class Config(MemberConfig):
    """The model and its conventions, which must be those of its training.

    A convention that is left out (None) comes from the model's folder. The result names it.
    ``precision``: ``auto`` is bf16 where the device computes in it (GPUs, CPUs with AVX512-BF16 or AMX) and fp32
    elsewhere; bf16 emulated by a CPU is many times slower than fp32. The result states the precision that was used.
    """

    model: str = Field(description="short name, hub repository, or a local folder")
    revision: str | None = Field(default=None, description="commit on the hub; None: the pinned commit of a short name")
    source: Literal["auto", "hub", "pypi", "local"] = "auto"
    pooling: Pooling | None = None
    normalize: bool | None = Field(default=None, description="scale embeddings to length 1")
    query_prefix: str | None = None
    passage_prefix: str | None = None
    task: str | None = Field(
        default=None, description="the sentence about the task in the query prefix, at {task} or after `Instruct: `"
    )
    query_length: int | None = Field(
        default=None, ge=1, description="most tokens of a query, with prefix and special tokens"
    )
    passage_length: int | None = Field(
        default=None, ge=1, description="most tokens of a passage, with prefix and special tokens"
    )
    overrides_model: tuple[Override, ...] = Field(
        default=(), description="settings that differ from the model's own files on purpose"
    )
    trust_remote_code: str | None = Field(
        default=None, description="revision of the model whose Python code may run; None: no code of a model runs"
    )
    truncate_dim: int | None = Field(
        default=None,
        ge=1,
        description="leading dimensions that are kept of an embedding (Matryoshka), before normalising",
    )
    query_adapter: str | None = Field(
        default=None, description="folder of a LoRA adapter in the model's folder, for queries"
    )
    passage_adapter: str | None = Field(default=None, description="folder of a LoRA adapter, for passages")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_tokens: int = Field(default=8192, ge=1, description="most tokens of a batch; 512 without padding in fp32")


class Transformer(ChosenModel[Config]):
    """See :class:`mdrbench.retrieval.encoders.Encoder`."""

    spec = Spec(
        Config,
        version=3,
        run_only=("batch_tokens",),
        added=("overrides_model", "trust_remote_code", "task", "truncate_dim", "query_adapter", "passage_adapter"),
    )

    @cached_property
    def folder(self) -> model_folder.ModelFolder:
        """What the model's folder says about itself, compared with the settings.

        Raises:
            UsageError: the settings contradict the folder, or ask for what the model cannot do.
            DataError: the folder is damaged or has layers that are not applied.
        """
        folder = model_folder.read(self.files.path)
        _statements.check(self.config, folder, self.files.revision)
        return folder

    @cached_property
    def settings(self) -> Conventions:
        """The conventions: those of the recipe, and for what it leaves out those of the folder."""
        return _statements.resolved(self.config, self.folder)

    @cached_property
    def dim(self) -> int:
        """Width of an embedding, from the settings or the model's files."""
        return self.settings.truncate_dim or self.folder.width

    @cached_property
    def without_padding(self) -> bool:
        """Whether the model runs without padding."""
        config = SimpleNamespace(**{"pad_token_id": 1, "model_type": "", **self.folder.config})
        fits = unpadded_bert.suits(config) and not self.config.trust_remote_code
        return self.device == "cpu" and self.precision != "fp16" and fits

    @cached_property
    def _budget(self) -> int:
        """Most tokens of a batch; with padding it is halved when a GPU runs out of memory."""
        wanted = self.config.batch_tokens
        return min(wanted, UNPADDED_TOKENS[self.precision]) if self.without_padding else wanted

    def _stated_batch(self) -> dict[str, int]:
        """Return the size of batches if it changes bits: always, but in fp32 without padding."""
        if not self.without_padding:
            return {"batch_tokens": self.config.batch_tokens}
        if self.precision == "fp32" or self._budget == SMALL_BATCH:
            return {}
        return {"batch_tokens_without_padding": self._budget}

    def conventions(self) -> dict[str, Any]:
        """Model, revision and source, pooling, normalisation, prefixes, lengths, precision, library versions.

        The size of batches is among them if it changes the last bits of an embedding.
        """
        settings = {
            **self.settings._asdict(),
            "overrides_model": list(self.settings.overrides_model),
            **{key: getattr(self.config, key) for key in ("trust_remote_code", "query_adapter", "passage_adapter")},
        }
        unset = {key for key in UNSET if not settings[key]}
        return {
            **{key: value for key, value in settings.items() if key not in unset},
            **({"dense_layers": [layer.name for layer in self.folder.dense]} if self.folder.dense else {}),
            **self._stated_batch(),
            "encoder_version": self.spec.version,
            **self.files.conventions(),
            "precision": self.precision,
            "dim": self.dim,
            "torch": package_version("torch"),
            "transformers": package_version("transformers"),
        }

    def facts(self) -> dict[str, Any]:
        """Device, threads, and the tokens of a batch: fewer than the setting after a GPU ran out of memory."""
        import torch

        return {"device": self.device, "threads": torch.get_num_threads(), "batch_tokens": self._budget}

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Return float32 embeddings of shape (len(texts), dim)."""
        how, adapter = self.settings, self.config.query_adapter
        return self._encode(how.query_prefix, texts, how.query_length, adapter, lambda done: None)

    def encode_passages(self, texts: list[str], progress: Callable[[int], None]) -> np.ndarray:
        """Return float32 embeddings of shape (len(texts), dim)."""
        how, adapter = self.settings, self.config.passage_adapter
        return self._encode(how.passage_prefix, texts, how.passage_length, adapter, progress)

    def _encode(
        self, prefix: str, texts: list[str], max_length: int, adapter: str | None, progress: Callable[[int], None]
    ) -> np.ndarray:
        """A text without any token gets a vector of zeros."""
        import numpy as np

        loaded = self._loaded(adapter)
        tokens = _tokens(loaded.tokenizer, prefix, texts, max_length)
        _check_ids(tokens, loaded.model, self.files.path)
        order = sorted((i for i, row in enumerate(tokens) if len(row)), key=lambda i: len(tokens[i]), reverse=True)
        result = np.zeros((len(texts), self.dim), dtype=np.float32)
        encode = self._without_padding if loaded.packed else self._padded
        done = len(texts) - len(order)
        for rows, vectors in encode(loaded, tokens, order):
            result[rows] = vectors
            done += len(rows)
            progress(done)
        return result

    def _loaded(self, adapter: str | None) -> _Loaded:
        own_code = self.config.trust_remote_code is not None
        layers = tuple(map(str, self.folder.dense))
        without_padding = self.without_padding
        loaded = _load(str(self.files.path), adapter, self.precision, self.device, own_code, layers, without_padding)
        if self.settings.pooling == "cls":
            loading.check_first_token(loaded.model.config, self.files.path)
        _statements.check_special_tokens(self.settings, loaded.tokenizer, self.files.path)
        return loaded

    def _without_padding(self, loaded: _Loaded, tokens: list[np.ndarray], order: list[int]) -> Batches:
        """Run a batch on each core with one thread: cores never wait for each other inside a layer.

        So the bits of an embedding do not depend on the number of threads.
        """
        import torch

        def embed(rows: list[int]) -> np.ndarray:
            with torch.inference_mode():
                groups = unpadded_bert.hidden_states(
                    loaded.model, [tokens[i] for i in rows]
                )  # each (texts, length, dim)
                return self._finish(loaded, torch.cat([pool_whole(group, self.settings.pooling) for group in groups]))

        batches, at = [], 0
        while at < len(order):
            batches.append(order[at : at + max(1, self._budget // len(tokens[order[at]]))])
            at += len(batches[-1])
        with one_thread_each() as pool_of_threads:
            yield from zip(batches, pool_of_threads.map(embed, batches), strict=True)

    def _padded(self, loaded: _Loaded, tokens: list[np.ndarray], order: list[int]) -> Batches:
        """Run batches padded to their longest text; halve the budget when the device runs out of memory."""
        import torch

        at = 0
        while at < len(order):
            longest = len(tokens[order[at]])
            rows = order[at : at + max(1, self._budget // longest)]
            try:
                with torch.inference_mode():
                    vectors = self._pad(loaded, [tokens[i] for i in rows])
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise SetupError(
                        f"a text of {longest} tokens does not fit into the memory of the GPU",
                        mend="lower passage_length, or use a GPU with more memory",
                    ) from None
                loading.free_memory()
                self._budget = max(1, min(self._budget, len(rows) * longest) // 2)
                continue
            at += len(rows)
            yield rows, vectors

    def _pad(self, loaded: _Loaded, batch: list[np.ndarray]) -> np.ndarray:
        """Return embeddings of shape (len(batch), dim) of a batch padded on the right to its longest text."""
        import numpy as np
        import torch

        ids = np.full((len(batch), max(map(len, batch))), loaded.padding, dtype=np.int64)  # (B, L)
        for i, row in enumerate(batch):
            ids[i, : len(row)] = row
        lengths = torch.tensor([len(row) for row in batch])
        mask = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long().to(self.device)  # (B, L)
        inputs = torch.from_numpy(ids).to(self.device)
        hidden = loaded.model(input_ids=inputs, attention_mask=mask).last_hidden_state  # (B, L, dim)
        return self._finish(loaded, pool(hidden, mask, self.settings.pooling))

    def _finish(self, loaded: _Loaded, pooled: torch.Tensor) -> np.ndarray:
        """Apply the linear layers, truncate, and normalise if the settings say so; float32."""
        import torch

        for layer in loaded.layers:
            pooled = layer(pooled)
        pooled = pooled[:, : self.settings.truncate_dim]
        found: np.ndarray = (
            (torch.nn.functional.normalize(pooled, dim=-1) if self.settings.normalize else pooled).cpu().numpy()
        )
        return found


class _Loaded(NamedTuple):
    """A model with its tokenizer; ``padding`` is the id that fills batches up, ``layers`` are those after pooling."""

    tokenizer: Any
    model: Any
    packed: bool
    padding: int
    layers: list[Any]


def _tokens(tokenizer: Any, prefix: str, texts: list[str], max_length: int) -> list[np.ndarray]:
    """Return the int32 token ids of each text behind its prefix, special tokens included."""
    import numpy as np

    found: list[np.ndarray] = []
    for start in range(0, len(texts), TEXTS_TOKENISED):
        part = [prefix + text for text in texts[start : start + TEXTS_TOKENISED]]
        ids = tokenizer(part, truncation=True, max_length=max_length, return_attention_mask=False)["input_ids"]
        found.extend(np.asarray(row, dtype=np.int32) for row in ids)
    return found


def _check_ids(tokens: list[np.ndarray], model: Any, folder: Path) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    highest = max((int(row.max()) for row in tokens if len(row)), default=0)
    if highest >= rows:
        raise DataError(
            f"the tokenizer gives the token {highest}, but the model has embeddings for {rows} tokens",
            where=str(folder),
            mend="the tokenizer is of another model: download the model again",
        )


@lru_cache(maxsize=1)
def _load(
    path: str,
    adapter: str | None,
    precision: str,
    device: str,
    own_code: bool,
    layers: tuple[str, ...],
    without_padding: bool,
) -> _Loaded:
    """Load a folder. The last model is kept, so that 32 steps of a run load it once."""
    from pathlib import Path

    folder = Path(path)
    tokenizer = loading.load_tokenizer(folder, own_code=own_code)
    config = loading.load_config(folder, own_code=own_code)
    packed = without_padding and unpadded_bert.suits(config)
    settings = {"dtype": loading.dtype(precision), "config": config}
    if packed:
        settings["attn_implementation"] = unpadded_bert.register()
    model = loading.load_model(folder, own_code=own_code, **settings)
    if adapter is not None:
        model = loading.with_adapter(model, folder / adapter)
    model = model.eval().to(device)
    padding = next((i for i in (tokenizer.pad_token_id, getattr(config, "pad_token_id", None)) if i is not None), 0)
    dense = [loading.load_dense(Path(layer)).to(device) for layer in layers]
    return _Loaded(tokenizer, model, packed, int(padding), dense)
