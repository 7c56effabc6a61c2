"""No domains: all examples are in one domain. For the ablation without domain balance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mdrbench.core.members import NoSettings, Spec
from mdrbench.core.types import Passage
from mdrbench.training.domains import Embed, shares

NAME = "all"


class NoDomains:
    """See :class:`mdrbench.training.domains.Labeller`."""

    spec = Spec(NoSettings, version=1)

    def __init__(self, config: NoSettings):
        self._labels: dict[str, list[str]] = {}

    def prepare(self, say: Callable[[str], None]) -> None:
        """Nothing to check."""

    def conventions(self) -> dict[str, Any]:
        """State that there is one domain."""
        return {"domains": "none"}

    def label(self, passages: dict[str, list[Passage]], embed: Embed | None) -> dict[str, list[str]]:
        """Return ``all`` for every passage."""
        self._labels = {lang: [NAME] * len(found) for lang, found in passages.items()}
        return self._labels

    def facts(self) -> dict[str, Any]:
        """Return the number of examples by language."""
        return shares(self._labels)
