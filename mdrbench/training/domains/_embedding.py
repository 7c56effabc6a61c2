"""Shared by the members that label by embeddings: checked unit vectors, with or without their mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mdrbench.core.errors import StepError, UsageError
from mdrbench.core.members import EncoderMember, MemberConfig
from mdrbench.core.types import Passage
from mdrbench.training.domains import Embed

if TYPE_CHECKING:
    import numpy as np

Centre = Literal["none", "all", "language"]
"""Which mean is subtracted from the embeddings: none, that of all passages, or that of each language's passages."""

ADDED = ("encoder",)
"""Settings that came later; see :class:`mdrbench.core.members.Spec`."""


class EmbeddingConfig(MemberConfig):
    """What the members that label by embeddings have in common."""

    encoder: EncoderMember | None = Field(
        default=None, description="the encoder that embeds passages; None: the recipe's own before its training"
    )

    def conventions(self) -> dict[str, Any]:
        """Return the settings, and of a named encoder its conventions, which name its weights."""
        settings = self.model_dump(mode="json", exclude=set(ADDED))
        return settings if self.encoder is None else {**settings, "encoder": self.encoder.build().conventions()}

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the model of a named encoder."""
        if self.encoder is not None:
            self.encoder.build().prepare(say)

    def embed(self, own: Embed | None) -> Embed | None:
        """Return what embeds passages: the named encoder, or the recipe's own."""
        if self.encoder is None:
            return own
        built = self.encoder.build()
        return lambda texts: built.encode_passages(texts, lambda done: None)


FEW = 10
"""With fewer passages of a language, the mean of all passages replaces the mean of the language."""


def passages(
    member: str, texts: dict[str, list[Passage]], separator: str, embed: Embed | None, centre: Centre
) -> dict[str, np.ndarray]:
    """Return language -> unit vectors of shape (passages, dim), float32.

    Encoders give texts of one language, and often all texts, a common direction; subtracting the mean leaves the
    differences. All passages are embedded in one call and kept: 4 bytes per dimension for each.
    """
    import numpy as np

    if embed is None:
        raise UsageError(
            f"the domains '{member}' need an encoder, and the recipe has none",
            where="training.domains",
            mend="train an encoder, or use the domains fasttext or none",
        )
    wanted = [passage.joined(separator) for found in texts.values() for passage in found]
    if not wanted:
        return {lang: np.empty((0, 0), np.float32) for lang in texts}
    vectors = unit(embedded(embed, wanted))
    if centre != "none":
        vectors = vectors - vectors.mean(axis=0)
    parts = np.split(vectors, np.cumsum([len(found) for found in texts.values()])[:-1])
    if centre == "language":
        parts = [part - part.mean(axis=0) if len(part) >= FEW else part for part in parts]
    return {lang: unit(part) for lang, part in zip(texts, parts, strict=True)}


def embedded(embed: Embed, texts: list[str]) -> np.ndarray:
    """Return the embeddings as float32; a StepError if they are not one finite row per text."""
    import numpy as np

    vectors = np.asarray(embed(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise StepError(f"the encoder gave embeddings of shape {vectors.shape} for {len(texts)} texts")
    if not np.isfinite(vectors).all():
        raise StepError("the encoder gave embeddings that are not finite numbers")
    return vectors


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; a row of (nearly) zeros becomes zeros."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0).astype(np.float32)
