"""Judges: is a mined negative a false one? One file each (see :mod:`mdrbench.core.registry`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol

from mdrbench.core.types import Judgment, Pair


class Estimate(NamedTuple):
    """What judging will ask of an endpoint; zeros for judges that run here.

    ``cost`` is in the currency of the configured prices; None where no prices are configured.
    """

    requests: int
    stored: int
    input_tokens: int
    output_tokens: int
    cost: float | None


class Judge(Protocol):
    """What a member's ``build(config)`` returns."""

    reference: Literal["shown", "ignored", "needed"]
    """What it does with the reference positive: judges with it or without, never looks at it, or cannot do without."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Check before anything runs that the judge can work (endpoint, model, store); a SetupError says the mend."""

    def conventions(self) -> dict[str, Any]:
        """All that decides a verdict (model, prompt version, thresholds), as JSON: part of the artifacts' keys."""

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """What judging these pairs would cost; verdicts that are stored already cost nothing."""

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """One verdict a pair, in order; a pair without a readable answer has both grades None."""

    def facts(self) -> dict[str, Any]:
        """What judging took so far (requests, tokens, cost, unreadable answers), for the manifest."""
