"""Hybrid: fuses the runs of several retrievers, by interpolation of raw scores or by reciprocal rank.

Pyserini's MIRACL hybrids interpolate with ``alpha`` 0.5 over 1,000 raw-scored hits of BM25 and of mDPR. Each part is
indexed and searched as it would be alone, so its artifacts are shared with its own recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mdrbench.core import registry
from mdrbench.core.types import Run
from mdrbench.retrieval import fusion

VERSION = 1

MANY = {"of": "retrievers"}
"""Keys of the configuration that hold members of another family by label."""

COMBINES = "runs"


class Config(BaseModel):
    """``of``: label -> retriever; a recipe file may give a recipe's name, or a list of names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    of: dict[str, dict[str, Any]] = Field(min_length=2)
    fusion: Literal["interpolation", "reciprocal-rank"] = "interpolation"
    alpha: float = Field(default=0.5, ge=0, le=1, description="weight of the first part; the second has 1 - alpha")
    rrf_k: int = Field(default=60, ge=0, description="the k of reciprocal rank fusion")
    depth: int = Field(default=1000, ge=1, le=10_000, description="hits taken from each part")

    @model_validator(mode="after")
    def _two_for_alpha(self) -> Config:
        if self.fusion == "interpolation" and len(self.of) != 2:
            raise ValueError("interpolation takes exactly two parts; use fusion: reciprocal-rank for more")
        return self


def build(config: Config) -> Hybrid:
    """Return a fusion with these settings."""
    return Hybrid(config)


class Hybrid:
    """A retriever that combines runs: it has ``fuse`` instead of ``index`` and ``search``."""

    def __init__(self, config: Config):
        self.config = config

    def prepare(self, say: Callable[[str], None]) -> None:
        """Download what the parts need."""
        for settings in self.config.of.values():
            registry.build("retrievers", settings).prepare(say)

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return the kind of fusion, and each part's conventions under its label."""
        by_method = {"interpolation": "alpha", "reciprocal-rank": "rrf_k"}
        parameter = by_method[self.config.fusion]
        return {
            "fusion": self.config.fusion,
            parameter: getattr(self.config, parameter),
            "depth_of_parts": self.config.depth,
            "parts": {
                label: registry.build("retrievers", settings).conventions(lang)
                for label, settings in self.config.of.items()
            },
        }

    def fuse(self, runs: dict[str, Run], depth: int) -> Run:
        """Return one run from the parts' runs by label; at most ``depth`` hits per topic."""
        ordered = [runs[label] for label in self.config.of]
        if self.config.fusion == "interpolation":
            return fusion.interpolate(ordered, [self.config.alpha, 1 - self.config.alpha], depth)
        return fusion.reciprocal_rank(ordered, self.config.rrf_k, depth)
