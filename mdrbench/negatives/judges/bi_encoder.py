"""A strong encoder as teacher. Two cut-offs turn its cosine, alone or relative to the positive's, into a grade.

With ``relative_to_reference`` the cut-offs are fractions of the cosine of query and reference positive: the
positive-aware filter of NV-Retriever (Moreira et al. 2024, TopK-PercPos, 0.95), here with a teacher's cosines. Any
member of the encoders family serves. Each text is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field, model_validator

from mdrbench.core.errors import UsageError
from mdrbench.core.members import EncoderMember, MemberConfig, Spec
from mdrbench.core.types import Judgment, Pair, Passage
from mdrbench.negatives.judges import Estimate
from mdrbench.negatives.judges._local import FREE, Cutoffs, Tally, cutoffs_facts, cutoffs_of, grade

if TYPE_CHECKING:
    import numpy as np


class Config(MemberConfig):
    """The encoder with its settings, and the cut-offs: fractions of the cosine of the positive, or cosines."""

    encoder: EncoderMember
    relative_to_reference: bool = True
    cutoffs: Cutoffs = Field(
        default=(0.95, 1.0), description="[low, high]: a score below low is grade 0, below high grade 1, else grade 2"
    )
    title_separator: str = Field(default=" ", description="text between title and text")

    @model_validator(mode="after")
    def _cosines_are_the_models_own(self) -> Config:
        if not self.relative_to_reference and "cutoffs" not in self.model_fields_set:
            raise ValueError("cutoffs: give [low, high] for this encoder's cosines; they differ from model to model")
        return self


class TextEncoder(Protocol):
    """The part of an encoder that the judge uses."""

    def prepare(self, say: Callable[[str], None]) -> None: ...

    def conventions(self) -> dict[str, Any]: ...

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Return embeddings, shape (texts, dim)."""

    def encode_passages(self, texts: list[str], progress: Callable[[int], None]) -> np.ndarray:
        """Return embeddings, shape (texts, dim)."""


class BiEncoderJudge:
    """See :class:`mdrbench.negatives.judges.Judge`."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        self.config = config
        self._tally = Tally()
        self._encoded = 0

    @property
    def reference(self) -> Literal["ignored", "needed"]:
        """Needed if the cut-offs are relative to it."""
        return "needed" if self.config.relative_to_reference else "ignored"

    @cached_property
    def encoder(self) -> TextEncoder:
        """The encoder, built from its part of the configuration."""
        encoder: TextEncoder = self.config.encoder.build()
        return encoder

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the encoder's model if it is not on this machine."""
        self.encoder.prepare(say)

    def conventions(self) -> dict[str, Any]:
        """The encoder's, the cut-offs and what they are relative to, and how title and text are joined."""
        return {
            "judge": "bi-encoder",
            **self.config.model_dump(mode="json", exclude={"encoder"}),
            "encoder": self.encoder.conventions(),
        }

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Nothing is asked of an endpoint."""
        return FREE

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """Encode all texts at once (4 bytes a dimension for each), then yield the verdicts."""
        if not pairs:
            return
        relative = self.config.relative_to_reference
        if relative and (bare := next((pair for pair in pairs if pair.reference is None), None)):
            raise UsageError(
                f"query '{bare.qid}' has no reference, but the cut-offs are relative to it",
                where="judge.relative_to_reference",
                mend="set it to false and give cutoffs as cosines",
            )
        found, reference = self.cosines(pairs, progress)
        for pair, score, at in zip(pairs, found.tolist(), reference.tolist(), strict=True):
            # as sentence-transformers: a fraction of a negative cosine still lies below it
            cutoffs = cutoffs_of(self.config.cutoffs, pair.lang)
            low, high = (at - abs(at) * (1 - cut) if relative else cut for cut in cutoffs)
            verdict = grade(score, low, high)
            yield self._tally.verdict(
                pair, verdict, verdict, _score(score, at, relative) if verdict is not None else None
            )
        progress(len(pairs))

    def cosines(self, pairs: list[Pair], progress: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray]:
        """Cosines of each query with its passage and with its reference, shape (len(pairs),).

        The second is zeros if the cut-offs are not relative to references.
        """
        import numpy as np

        sides = [[pair.passage for pair in pairs]]
        if self.config.relative_to_reference:
            sides.append([pair.reference or Passage("", "", "") for pair in pairs])
        row = {text: i for i, text in enumerate(dict.fromkeys(passage[1:] for side in sides for passage in side))}
        texts = [Passage("", title, text).joined(self.config.title_separator) for title, text in row]
        query_row = {query: i for i, query in enumerate(dict.fromkeys(pair.query for pair in pairs))}
        queries = _unit(self.encoder.encode_queries(list(query_row)))  # (Q, dim)
        share = len(pairs) / len(texts)
        passages = _unit(self.encoder.encode_passages(texts, lambda done: progress(int(done * share))))  # (P, dim)
        self._encoded += len(texts)
        at = [query_row[pair.query] for pair in pairs]
        of = [
            np.array([queries[query] @ passages[row[passage[1:]]] for query, passage in zip(at, side, strict=True)])
            for side in sides
        ]
        return of[0], of[1] if len(of) == 2 else np.zeros(len(pairs), dtype=np.float32)

    def facts(self) -> dict[str, Any]:
        """Pairs judged by grade, and how many different passages were encoded for them."""
        used = cutoffs_facts(self.config.cutoffs, self._tally.langs)
        return {**self._tally.facts(), "passages_encoded": self._encoded, **used}


def _score(cosine: float, reference: float, relative: bool) -> float | None:
    """The number that the cut-offs cut: the cosine, or its distance from the reference's as a fraction of that."""
    if not relative:
        return cosine
    return 1 + (cosine - reference) / abs(reference) if reference else None


def _unit(matrix: np.ndarray) -> np.ndarray:
    """Rows brought to length 1, shape kept; a row of zeros stays one."""
    import numpy as np

    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(lengths == 0, 1, lengths)
