"""No generation: queries short of negatives stay short; for the ablation without top-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from mdrbench.core.types import Generation, Source

VERSION = 1

PARTS: dict[str, str] = {}

RUN_ONLY: tuple[str, ...] = ()


class Config(BaseModel):
    """Takes no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(config: Config) -> NoGenerator:
    """The generator that is not asked."""
    return NoGenerator()


class NoGenerator:
    """See :class:`mdrbench.negatives.generation.Generator`; a plan with it has no generating step."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Nothing to check."""

    def conventions(self) -> dict[str, Any]:
        """Empty: it decides nothing."""
        return {}

    def generate(self, sources: list[Source], progress: Callable[[int], None]) -> Iterator[Generation]:
        """Never called: a plan leaves the step out."""
        raise RuntimeError("the generator 'none' was asked for queries")

    def facts(self) -> dict[str, Any]:
        """Nothing was generated."""
        return {}
