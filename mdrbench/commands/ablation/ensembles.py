"""An ensemble without one of its retrievers: the other retrievers give the recipe's candidates."""

from __future__ import annotations

import json
from typing import Any

from mdrbench.commands.ablation.parts import combined_ranking
from mdrbench.core.errors import UsageError, did_you_mean
from mdrbench.core.members import Member
from mdrbench.recipe import Recipe


def without(complete: Recipe, label: str) -> list[str]:
    """Return the overrides that remove the retriever with this label from the recipe's ensemble or fusion.

    In a fusion of two, the other retriever ranks alone. Weights of an ensemble's encoders stay in proportion.

    Raises:
        UsageError: the recipe mines no combined ranking, or it has no such retriever, or no other retriever.
    """
    key, combined = _combination(complete)
    if combined is None:
        raise UsageError(
            f"'{complete.name}' mines the ranking of a single retriever.",
            where=f"--ensemble-without {label}",
            mend="leave out the option, or name a recipe with an ensemble",
        )
    parts = combined.config.of
    if label not in parts:
        mend = did_you_mean(label, list(parts))
        raise UsageError(f"The ensemble has no retriever '{label}'.", where="--ensemble-without", mend=mend)
    if len(parts) == 1:
        mend = "use --no-ensemble"
        raise UsageError("The ensemble has no other retriever.", where=f"--ensemble-without {label}", mend=mend)
    return [f"{key}={json.dumps(_reduced(combined, label), ensure_ascii=False)}"]


def _combination(complete: Recipe) -> tuple[str, Member | None]:
    """Return the key and the member that combines retrievers; None if the recipe has no such member."""
    if complete.negatives is None:
        return "", None
    if "of" in complete.negatives.mining.settings:
        return "negatives.mining", complete.negatives.mining
    return "negatives.retriever", complete.negatives.retriever if combined_ranking(complete.negatives) else None


def _reduced(combined: Member, label: str) -> dict[str, Any]:
    """Return the settings of the combining member without one retriever."""
    settings = combined.written
    left = {name: part for name, part in settings["of"].items() if name != label}
    if combined.name == "hybrid" and len(left) == 1:
        only: dict[str, Any] = next(iter(left.values()))
        return only
    reduced = {**settings, "of": left}
    if settings.get("weights"):
        reduced["weights"] = {name: settings["weights"][name] for name in left}
    return reduced
