"""Rerank: a cross-encoder reads each topic together with the first hits of another retriever and orders them anew.

The other retriever is indexed and searched as it would be alone, so its artifacts are shared with its own recipe.
Scores are the cross-encoder's raw outputs (logits). Passages beyond ``depth`` are not kept: the run has at most
``depth`` hits. Every model that sentence-transformers' ``CrossEncoder`` loads works if it has one output for a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from mdrbench.core.environment import package_version
from mdrbench.core.errors import DataError
from mdrbench.core.members import MemberConfig, RetrieverMember, Spec
from mdrbench.core.types import Hit, Passage, Run, Topics
from mdrbench.formats.trec import ranked
from mdrbench.hub import cross_encoders, model_folder
from mdrbench.hub.chosen_model import ChosenModel

if TYPE_CHECKING:
    import numpy as np

PAIRS_AT_ONCE = 4096
"""Pairs of one call, sorted by length before they are cut into batches."""


class Config(MemberConfig):
    """``of``: the retriever whose hits are ordered anew; a recipe file may give a recipe's name."""

    of: RetrieverMember
    model: str = Field(description="hub repository or local folder of a cross-encoder")
    revision: str | None = Field(default=None, description="commit on the hub")
    source: Literal["auto", "hub", "local"] = "auto"
    depth: int = Field(default=100, ge=1, le=10_000, description="hits of each topic that the cross-encoder reads")
    title_separator: str = Field(default=" ", description="what joins title and text")
    length: int = Field(default=512, ge=1, description="tokens kept of a pair, special tokens included")
    trust_remote_code: str | None = Field(
        default=None, description="revision of the model whose own Python code may run; None: no such code runs"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(default=32, ge=1, description="pairs of a batch")

    @model_validator(mode="after")
    def _single(self) -> Config:
        if self.of.spec.combines == "runs" and self.of.config.depth < self.depth:
            raise ValueError(f"depth is {self.depth}, but '{self.of.name}' takes {self.of.config.depth} of each part")
        return self


class Rerank(ChosenModel[Config]):
    """A retriever that reranks: it has ``rerank`` instead of ``index`` and ``search``."""

    spec = Spec(Config, version=1, combines="rerank")

    def prepare(self, say: Callable[[str], None]) -> None:
        """Download the cross-encoder, and what the other retriever needs."""
        super().prepare(say)
        self.config.of.build().prepare(say)

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return the cross-encoder with its settings, and the other retriever's conventions under ``of``.

        Raises:
            UsageError: the model has Python code of its own that the recipe does not allow.
        """
        consent = self.config.trust_remote_code
        model_folder.check_consent(
            consent, model_folder.own_code(self.files.path), self.files.path, self.files.revision
        )
        return {
            "reranker": self.files.name,
            "reranker_source": self.files.source,
            "reranker_revision": self.files.revision,
            **({} if consent is None else {"trust_remote_code": consent}),
            "depth": self.config.depth,
            "title_separator": self.config.title_separator,
            "length": self.config.length,
            "batch_size": self.config.batch_size,
            "precision": self.precision,
            "sentence-transformers": package_version("sentence-transformers"),
            "torch": package_version("torch"),
            "transformers": package_version("transformers"),
            "hits_of": {"retriever": self.config.of.name, **self.config.of.build().conventions(lang)},
        }

    def rerank(
        self,
        topics: Topics,
        run: Run,
        passages: Mapping[str, Passage],
        progress: Callable[[int, int], None],
    ) -> tuple[Run, dict[str, Any]]:
        """Order the hits of a run anew.

        Args:
            run: of the other retriever, at most ``depth`` hits for a topic.
            passages: docid -> passage, for every hit.
            progress: called with pairs done and pairs in all.

        Returns:
            The run; facts: number of pairs, device.

        Raises:
            DataError: the model has no head that scores pairs, or gives several scores for a pair.
        """
        import numpy as np

        model = cross_encoders.load(
            self.files.path,
            precision=self.precision,
            device=self.device,
            length=self.config.length,
            own_code=self.config.trust_remote_code is not None,
        )
        wanted = [(qid, hit.docid) for qid, hits in run.items() for hit in hits]
        scores = np.zeros(len(wanted), dtype=np.float32)
        for at in range(0, len(wanted), PAIRS_AT_ONCE):
            part = wanted[at : at + PAIRS_AT_ONCE]
            pairs = [(topics[qid], passages[docid].joined(self.config.title_separator)) for qid, docid in part]
            scores[at : at + len(part)] = self._scores(model, pairs)
            progress(at + len(part), len(wanted))
        found: dict[str, list[Hit]] = {qid: [] for qid in run}
        for (qid, docid), score in zip(wanted, scores.tolist(), strict=True):
            found[qid].append(Hit(docid, score))
        return {qid: ranked(hits) for qid, hits in found.items()}, {"pairs": len(wanted), "device": self.device}

    def _scores(self, model: Any, pairs: list[tuple[str, str]]) -> np.ndarray:
        """Return raw outputs, float32, shape (pairs,)."""
        import numpy as np
        import torch

        found = model.predict(pairs, batch_size=self.config.batch_size, convert_to_tensor=True, show_progress_bar=False)
        if not bool(torch.isfinite(found).all()):
            raise DataError(
                "an output of the cross-encoder is not finite", where=str(self.files.path), mend="set precision: fp32"
            )
        return np.asarray(found.float().cpu())
