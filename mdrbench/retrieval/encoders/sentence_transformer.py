"""Hand a model to sentence-transformers as it is: for models whose layers the encoder `transformer` does not apply.

Everything is as ``SentenceTransformer(folder)`` has it: ``encode_query`` and ``encode_document`` with the prompts and
routes of the folder. Batches are padded, so their size changes the last bits of an embedding and is in the key. Python
code of the model runs only if the recipe names the model's revision.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mdrbench.core.environment import package_version
from mdrbench.core.errors import DataError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.hub import loading, model_folder
from mdrbench.hub.chosen_model import ChosenModel

if TYPE_CHECKING:
    import numpy as np

TEXTS_AT_ONCE = 1024
"""Texts of one call; sentence-transformers sorts them by length before it cuts batches."""


class Config(MemberConfig):
    """A convention that is left out (None) is the folder's."""

    model: str = Field(description="short name, hub repository, or a local folder")
    revision: str | None = Field(default=None, description="commit on the hub; None: the one pinned for a short name")
    source: Literal["auto", "hub", "pypi", "local"] = "auto"
    query_prefix: str | None = Field(default=None, description="text before a query; None: the folder's prompt")
    passage_prefix: str | None = Field(default=None, description="text before a passage; None: the folder's prompt")
    query_options: dict[str, str] = Field(
        default={}, description="further arguments of encode_query, such as {task: retrieval.query}"
    )
    passage_options: dict[str, str] = Field(default={}, description="further arguments of encode_document")
    normalize: bool = Field(default=True, description="whether embeddings get length 1")
    query_length: int | None = Field(default=None, ge=1, description="tokens kept of a query; None: the folder's")
    passage_length: int | None = Field(default=None, ge=1, description="tokens kept of a passage; None: the folder's")
    truncate_dim: int | None = Field(default=None, ge=1, description="leading dimensions that are kept (Matryoshka)")
    trust_remote_code: str | None = Field(
        default=None, description="revision of the model whose own Python code may run; None: no such code runs"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(default=32, ge=1, description="texts of a batch")


class SentenceTransformer(ChosenModel[Config]):
    """See :class:`mdrbench.retrieval.encoders.Encoder`."""

    spec = Spec(Config, version=1)

    @cached_property
    def dim(self) -> int:
        """Width of an embedding, from the settings or the folder; if the folder does not state it, from the model."""
        if self.config.truncate_dim:
            return self.config.truncate_dim
        try:
            return model_folder.read(self.files.path).width
        except DataError:
            return int(self._loaded.get_embedding_dimension())

    def conventions(self) -> dict[str, Any]:
        """Return model, revision, settings and library versions; the revision pins what the folder says.

        Raises:
            UsageError: the model has Python code of its own that the recipe does not allow.
        """
        own_code = model_folder.own_code(self.files.path)
        model_folder.check_consent(self.config.trust_remote_code, own_code, self.files.path, self.files.revision)
        settings = self.config.model_dump(mode="json", exclude={"model", "revision", "source", "precision"})
        return {
            **{key: value for key, value in settings.items() if value not in (None, {})},
            "encoder": "sentence-transformer",
            "encoder_version": self.spec.version,
            **self.files.conventions(),
            "precision": self.precision,
            "sentence-transformers": package_version("sentence-transformers"),
            "torch": package_version("torch"),
            "transformers": package_version("transformers"),
        }

    def facts(self) -> dict[str, Any]:
        """Return device, threads, and the width of an embedding."""
        import torch

        return {"device": self.device, "threads": torch.get_num_threads(), "dim": self.dim}

    @property
    def _loaded(self) -> Any:
        self.conventions()  # consent
        trusted = self.config.trust_remote_code is not None
        return _load(str(self.files.path), self.precision, self.device, trusted)

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Return float32 embeddings of shape (len(texts), dim)."""
        config, model = self.config, self._loaded
        prompt = {} if config.query_prefix is None else {"prompt": config.query_prefix}
        return self._encode(model.encode_query, texts, config.query_length, {**prompt, **config.query_options}, _silent)

    def encode_passages(self, texts: list[str], progress: Callable[[int], None]) -> np.ndarray:
        """Return float32 embeddings of shape (len(texts), dim)."""
        config, model = self.config, self._loaded
        prompt = {} if config.passage_prefix is None else {"prompt": config.passage_prefix}
        options = {**prompt, **config.passage_options}
        return self._encode(model.encode_document, texts, config.passage_length, options, progress)

    def _encode(
        self,
        encode: Callable[..., Any],
        texts: list[str],
        length: int | None,
        options: dict[str, str],
        progress: Callable[[int], None],
    ) -> np.ndarray:
        import numpy as np

        model = self._loaded
        usual = model.max_seq_length
        parts = [np.zeros((0, self.dim), dtype=np.float32)]
        try:
            model.max_seq_length = length or usual
            for at in range(0, len(texts), TEXTS_AT_ONCE):
                found = encode(
                    texts[at : at + TEXTS_AT_ONCE],
                    batch_size=self.config.batch_size,
                    normalize_embeddings=self.config.normalize,
                    truncate_dim=self.config.truncate_dim,
                    convert_to_tensor=True,
                    show_progress_bar=False,
                    **options,
                )
                parts.append(found.float().cpu().numpy())
                progress(min(at + TEXTS_AT_ONCE, len(texts)))
        finally:
            model.max_seq_length = usual
        return np.concatenate(parts)


def _silent(done: int) -> None:
    """Ignore progress."""


@lru_cache(maxsize=1)
def _load(path: str, precision: str, device: str, own_code: bool) -> Any:
    """Load a folder. The last model is kept, so that the steps of a run load it once."""
    from pathlib import Path

    with loading.errors(Path(path), "the model"):
        import sentence_transformers

        return sentence_transformers.SentenceTransformer(
            path,
            device=device,
            local_files_only=True,
            trust_remote_code=own_code,
            model_kwargs={"dtype": loading.dtype(precision)},
        )
