"""Hybrid: fuses the runs of several retrievers by interpolated raw scores or by reciprocal ranks.

Pyserini's MIRACL hybrids interpolate with ``alpha`` 0.5 over 1,000 raw-scored hits of BM25 and of mDPR. Each part is
indexed and searched as it would be alone, so its artifacts are shared with its own recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from mdrbench.core.members import MemberConfig, RetrieverMembers, Spec
from mdrbench.core.types import Run
from mdrbench.retrieval import fusion


class Config(MemberConfig):
    """``of``: label -> retriever; a recipe file may give a recipe's name, or a list of names."""

    of: RetrieverMembers = Field(min_length=2)
    fusion: Literal["interpolation", "reciprocal-rank"] = "interpolation"
    alpha: float = Field(
        default=0.5, ge=0, le=1, description="weight of the first part; the second part gets 1 - alpha"
    )
    weights: dict[str, float] | None = Field(
        default=None, description="by label, for interpolation of any number of parts; in place of alpha"
    )
    rrf_k: int = Field(default=60, ge=0, description="the k of reciprocal rank fusion")
    depth: int = Field(default=1000, ge=1, le=10_000, description="hits that are taken from each part")

    @model_validator(mode="after")
    def _two_for_alpha(self) -> Config:
        if self.weights is not None and set(self.weights) != set(self.of):
            raise ValueError(f"weights are for {sorted(self.weights)}, the parts are {sorted(self.of)}")
        if self.fusion == "interpolation" and self.weights is None and len(self.of) != 2:
            raise ValueError(
                "interpolation takes exactly two parts; give weights for more, or use fusion: reciprocal-rank"
            )
        return self


class Hybrid:
    """A retriever that combines runs: it has ``fuse`` instead of ``index`` and ``search``."""

    spec = Spec(Config, version=1, combines="runs", added=("weights",))

    def __init__(self, config: Config):
        self.config = config

    def prepare(self, say: Callable[[str], None]) -> None:
        """Download what the parts need."""
        for part in self.config.of.values():
            part.build().prepare(say)

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return the kind of fusion, and each part's conventions under its label."""
        weighted = "alpha" if self.config.weights is None else "weights"
        by_method = {"interpolation": weighted, "reciprocal-rank": "rrf_k"}
        parameter = by_method[self.config.fusion]
        return {
            "fusion": self.config.fusion,
            parameter: getattr(self.config, parameter),
            "depth_of_parts": self.config.depth,
            "parts": {label: part.build().conventions(lang) for label, part in self.config.of.items()},
        }

    def fuse(self, runs: dict[str, Run], depth: int) -> Run:
        """Return one run from the parts' runs by label; at most ``depth`` hits per topic."""
        ordered = [runs[label] for label in self.config.of]
        if self.config.fusion == "interpolation":
            alpha, weights = self.config.alpha, self.config.weights
            chosen = [alpha, 1 - alpha] if weights is None else [weights[label] for label in self.config.of]
            return fusion.interpolate(ordered, chosen, depth)
        return fusion.reciprocal_rank(ordered, self.config.rrf_k, depth)
