"""A cross-encoder scores query and passage, and two cut-offs turn the score into a grade. The reference is not used.

As teachers that filter mined negatives in RocketQA (Qu et al. 2021) and in sentence-transformers'
``mine_hard_negatives``. The model is one that sentence-transformers' ``CrossEncoder`` reads and that gives one score: a
sequence classifier with one label, or a decoder asked for yes or no. Pairs are batched by length, a few batches at a
time; one score serves as both grades.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

from pydantic import Field

from mdrbench.core.environment import package_version
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.types import Judgment, Pair
from mdrbench.hub import cross_encoders, loading
from mdrbench.hub.chosen_model import ChosenModel
from mdrbench.negatives.judges import Estimate
from mdrbench.negatives.judges._local import FREE, Cutoffs, Tally, cutoffs_facts, cutoffs_of, grade

WINDOW = 64  # batches that are sorted by length together


class Config(MemberConfig):
    """The model, its input, and the cut-offs, which depend on the model.

    ``activation``: ``sigmoid`` maps scores to 0 to 1, ``none`` keeps the model's scores.
    ``precision``: ``auto`` is bf16 if the device computes in it (see the encoder ``transformer``).
    """

    model: str = Field(description="hub repository or a local folder")
    revision: str | None = Field(default=None, description="commit, tag or branch on the hub")
    source: Literal["auto", "hub", "local"] = "auto"
    cutoffs: Cutoffs = Field(description="[low, high]: a score below low is grade 0, below high grade 1, else grade 2")
    activation: Literal["sigmoid", "none"] = "sigmoid"
    max_length: int = Field(default=512, ge=8, description="most tokens of query and passage together")
    title_separator: str = Field(default=" ", description="text between title and text")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(default=32, ge=1, description="pairs per batch; halved if memory runs out")


class CrossEncoderJudge(ChosenModel[Config]):
    """See :class:`mdrbench.negatives.judges.Judge`."""

    spec = Spec(Config, version=1, run_only=("batch_size",))
    reference = "ignored"

    def __init__(self, config: Config):
        super().__init__(config)
        self._batch_size = config.batch_size
        self._tally = Tally()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the model if it is not on this machine, and check that its head gives one score."""
        super().prepare(say)
        cross_encoders.check_head(self.files.path)

    def conventions(self) -> dict[str, Any]:
        """Model, revision and source, cut-offs, activation, length, text joining, precision, library versions."""
        return {
            "judge": "cross-encoder",
            **self.config.model_dump(mode="json", exclude={"batch_size", "source"}),
            "model": self.files.name,
            "source": self.files.source,
            "revision": self.files.revision,
            "precision": self.precision,
            **{name: package_version(name) for name in ("torch", "transformers", "sentence-transformers")},
        }

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Nothing is asked of an endpoint."""
        return FREE

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """A window of batches at a time; memory beyond the pairs holds one window."""
        size = self.config.batch_size * WINDOW
        for start in range(0, len(pairs), size):
            window = pairs[start : start + size]
            texts = [(pair.query, pair.passage.joined(self.config.title_separator)) for pair in window]
            scores = self.scores(texts, partial(_count_on, progress, start))
            for pair, score in zip(window, scores, strict=True):
                found = grade(score, *cutoffs_of(self.config.cutoffs, pair.lang))
                yield self._tally.verdict(pair, found, found, score if found is not None else None)

    def scores(self, texts: list[tuple[str, str]], progress: Callable[[int], None] = lambda done: None) -> list[float]:
        """The score of each (query, passage), in order; longest first, so that memory runs out at once or never."""
        import torch

        model = cross_encoders.load(
            self.files.path,
            precision=self.precision,
            device=self.device,
            length=self.config.max_length,
            activation=self.config.activation,
        )
        order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])), reverse=True)
        result = [0.0] * len(texts)
        at = 0
        while at < len(order):
            batch = order[at : at + self._batch_size]
            try:
                found = model.predict(
                    [texts[i] for i in batch], batch_size=self._batch_size, show_progress_bar=False
                ).tolist()
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                loading.free_memory()
                self._batch_size = len(batch) // 2
                continue
            for i, score in zip(batch, found, strict=True):
                result[i] = score
            at += len(batch)
            progress(at)
        return result

    def facts(self) -> dict[str, Any]:
        """Pairs judged by grade, those without a finite score as unreadable; device and precision.

        The size of a batch is added if it was halved: padding changes the last digits of a score.
        """
        used = cutoffs_facts(self.config.cutoffs, self._tally.langs)
        halved = {"batch_size_after_halving": self._batch_size} if self._batch_size < self.config.batch_size else {}
        return {**self._tally.facts(), "device": self.device, "precision": self.precision, **used, **halved}


def _count_on(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)
