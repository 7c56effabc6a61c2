"""No generation: groups with too few negatives stay as they are. For the ablation without top-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mdrbench.core.members import NoSettings, Spec
from mdrbench.core.types import Generation, Source


class NoGenerator:
    """See :class:`mdrbench.negatives.generation.Generator`; a plan with it has no generating step."""

    spec = Spec(NoSettings, version=1)

    def __init__(self, config: NoSettings):
        pass

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
