"""Generators: new queries for training queries that are short of negatives, one file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from mdrbench.core.types import Generation, Source


class Generator(Protocol):
    """A generator: writes new queries for training queries.

    A generator that asks an endpoint may also have ``estimate(sources) -> Estimate``, as a judge has for pairs.
    """

    def prepare(self, say: Callable[[str], None]) -> None:
        """Check before anything runs that the generator can work; raise a SetupError with a mend if it cannot."""

    def conventions(self) -> dict[str, Any]:
        """Return everything that affects the queries (model, prompt version, sampling), as JSON: part of the keys."""

    def generate(self, sources: list[Source], progress: Callable[[int], None]) -> Iterator[Generation]:
        """Yield one summary and query a source, in order; both None if there was no readable answer."""

    def facts(self) -> dict[str, Any]:
        """Return counts so far (requests, tokens, cost, unreadable answers), for the manifest."""
