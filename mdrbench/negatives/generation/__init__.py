"""Generators: new queries for training queries that are short of negatives, one file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from mdrbench.core.types import Generation, Source


class Generator(Protocol):
    """What a member's ``build(config)`` returns."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Check before anything runs that the generator can work; a SetupError says the mend."""

    def conventions(self) -> dict[str, Any]:
        """All that decides what is generated (model, prompt version, sampling), as JSON: part of the keys."""

    def generate(self, sources: list[Source], progress: Callable[[int], None]) -> Iterator[Generation]:
        """One summary and query a source, in order; both None where there was no readable answer."""

    def facts(self) -> dict[str, Any]:
        """What generating took so far (requests, tokens, cost, unreadable answers), for the manifest."""
