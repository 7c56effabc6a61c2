"""Settings, consent, conventions and shards that retrievers with a model of sentence-transformers share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mdrbench.core.environment import package_version
from mdrbench.core.members import MemberConfig
from mdrbench.core.types import Passage
from mdrbench.hub import model_folder
from mdrbench.hub.chosen_model import ChosenModel
from mdrbench.retrieval import shard_files

if TYPE_CHECKING:
    import numpy as np


class ModelConfig(MemberConfig):
    """The model, the lengths and the batches."""

    model: str = Field(description="short name, hub repository, or a local folder")
    revision: str | None = Field(default=None, description="commit on the hub; None: the one pinned for a short name")
    source: Literal["auto", "hub", "local"] = "auto"
    head: Literal["sentence-transformers", "bge-m3"] = Field(
        default="sentence-transformers", description="what gives the weights or vectors of tokens"
    )
    title_separator: str = Field(default=" ", description="what joins title and text")
    query_length: int | None = Field(default=None, ge=1, description="tokens kept of a query; None: the folder's")
    passage_length: int | None = Field(default=None, ge=1, description="tokens kept of a passage; None: the folder's")
    trust_remote_code: str | None = Field(
        default=None, description="revision of the model whose own Python code may run; None: no such code runs"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(default=32, ge=1, description="texts of a batch")
    shard_size: int = Field(default=4096, ge=1, description="passages of a shard, which an interruption can cost")


class WithModel(ChosenModel[ModelConfig]):
    """What a retriever does with its model before it is loaded, and how it writes its index in shards."""

    @abstractmethod
    def _arrays(self, window: list[Passage], tell: Callable[[int], None]) -> dict[str, np.ndarray]:
        """Encode passages: name -> array of a shard."""

    @abstractmethod
    def index_facts(self, out: Path) -> dict[str, Any]:
        """Count what the whole index holds."""

    def length(self, side: Literal["query", "passage"]) -> int | None:
        """Tokens kept of a query or a passage: the setting; None: sentence-transformers takes the folder's.

        For the heads of BGE-M3 it is the folder's.
        """
        setting: int | None = getattr(self.config, f"{side}_length")
        if setting is None and self.config.head == "bge-m3":
            return model_folder.stated_length(self.files.path)
        return setting

    def model_conventions(self) -> dict[str, Any]:
        """Return the model with its revision, lengths, precision and library versions.

        Raises:
            UsageError: the model has Python code of its own that the recipe does not allow.
        """
        config, files = self.config, self.files
        consent = config.trust_remote_code
        model_folder.check_consent(consent, model_folder.own_code(files.path), files.path, files.revision)
        return {
            **files.conventions(),
            **({} if consent is None else {"trust_remote_code": consent}),
            "head": config.head,
            "title_separator": config.title_separator,
            "query_length": self.length("query"),
            "passage_length": self.length("passage"),
            "batch_size": config.batch_size,
            "precision": self.precision,
            "sentence-transformers": package_version("sentence-transformers"),
            "torch": package_version("torch"),
            "transformers": package_version("transformers"),
        }

    def index(
        self, lang: str, passages: Iterable[Passage], out: Path, progress: Callable[[int], None]
    ) -> dict[str, Any]:
        """Encode the corpus into shards; keep those that an earlier attempt finished."""
        found = shard_files.index(passages, out, self.config.shard_size, self._arrays, progress)
        return {**found, **self.index_facts(out), **self.window_facts()}

    def finished(self, out: Path) -> Iterator[list[str]]:
        """See :class:`mdrbench.retrieval.retrievers.ByWindows`."""
        return shard_files.finished(out)

    def index_window(self, passages: list[Passage], number: int, out: Path, progress: Callable[[int], None]) -> None:
        """Encode a window of passages into the shard with this number."""
        docids = [passage.docid for passage in passages]
        shard_files.write(out, number, docids, self._arrays(passages, progress))

    def window_facts(self) -> dict[str, Any]:
        """Return the device."""
        return {"device": self.device}
