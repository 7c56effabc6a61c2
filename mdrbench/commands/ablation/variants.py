"""The variants of an ablation: the recipe without some parts, as ``--set`` overrides.

Other recipes (rivals) can be variants too: their retriever, negatives and training replace those of the complete
recipe. Variants with the same recipe are one variant with several names, so nothing is computed or shown twice. The
parts are in :mod:`mdrbench.commands.ablation.parts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mdrbench import recipe
from mdrbench.commands.ablation import ensembles as ablation_ensembles
from mdrbench.commands.ablation import keys as ablation_keys
from mdrbench.commands.ablation import rivals as ablation_rivals
from mdrbench.commands.ablation.parts import PARTS, STAGES, flag
from mdrbench.core.errors import UsageError, did_you_mean
from mdrbench.recipe import Recipe
from mdrbench.recipe.yaml_files import parse_value
from mdrbench.results.ablations import Kind

UNJUDGED = "negatives.unjudged"


@dataclass(frozen=True)
class Name:
    """A name of a variant, and the kind of change."""

    label: str
    kind: Kind
    parts: tuple[str, ...] = ()
    key: str | None = None
    value: str | None = None


@dataclass
class Variant:
    """A recipe that differs from the complete recipe by ``overrides``, with all its names."""

    recipe: Recipe
    overrides: list[str]
    names: list[Name] = field(default_factory=list)

    @property
    def label(self) -> str:
        """``complete``, or the first name."""
        return self.names[0].label if self.overrides else "complete"


@dataclass(frozen=True)
class Choice:
    """The complete recipe, its variants, and the parts that it lacks: slug -> why."""

    name: str
    overrides: list[str]
    complete: Variant
    variants: list[Variant]
    absent: dict[str, str]


def choose(
    name: str,
    overrides: list[str],
    parts: Iterable[str] = (),
    *,
    everything: bool = False,
    vary: Iterable[str] = (),
    rivals: Iterable[str] = (),
    ensemble_without: Iterable[str] = (),
) -> Choice:
    """Load and check the requested variants.

    Args:
        overrides: ``--set`` of the complete recipe and so of all its variants.
        parts: slugs of :data:`PARTS`; one variant lacks all of them.
        everything: also remove each part and each stage alone, and add the stages one after another.
        vary: items ``KEY=V1,V2``; each value gives a variant.
        rivals: names of other recipes; each gives a variant.
        ensemble_without: labels of retrievers of the ensemble; each gives a variant without it.

    Raises:
        UsageError: no variant is requested, the recipe lacks a part, a key is unknown, a variant is not a valid
            recipe, or a rival is the same as the complete recipe.
    """
    complete = Variant(recipe.load(name, overrides), [])
    found = _Chosen(name, overrides, complete)
    if parts := [slug for slug in PARTS if slug in set(parts)]:
        found.together(parts)
    if everything:
        found.everything()
    resolved = complete.recipe.model_dump(mode="json")
    for item in vary:
        found.sweep(item, resolved)
    for rival in rivals:
        found.rival(rival)
    for label in ensemble_without:
        found.smaller_ensemble(label)
    if not found.variants and not found.absent:
        flags = ", ".join(flag(slug) for slug in PARTS if slug not in STAGES)
        raise UsageError(
            "No variant is requested.", mend=f"give --all, --vary KEY=V1,V2, --rival RECIPE, --stage-off 1, or {flags}"
        )
    return Choice(name, overrides, complete, list(found.variants.values()), found.absent)


class _Chosen:
    """Collects variants by the digest of their recipe."""

    def __init__(self, name: str, overrides: list[str], complete: Variant):
        self.name, self.overrides, self.complete = name, overrides, complete
        self.variants: dict[str, Variant] = {}
        self.absent: dict[str, str] = {}

    def add(self, name: Name, overrides: list[str]) -> bool:
        """Add a name for the recipe with these overrides. Return False if it is the complete recipe."""
        loaded = recipe.load(self.name, [*self.overrides, *overrides])
        if loaded.digest == self.complete.recipe.digest:
            if name.kind in ("sweep", "cumulative"):
                self.complete.names.append(name)
            return False
        variant = self.variants.setdefault(loaded.digest, Variant(loaded, overrides))
        if name not in variant.names:
            variant.names.append(name)
        return True

    def together(self, parts: list[str]) -> None:
        """Add one variant without all these parts."""
        for slug in parts:
            if why := PARTS[slug].why_absent(self.complete.recipe):
                self._refuse(slug, why)
        kind: Kind = "stage" if all(slug in STAGES for slug in parts) else "part"
        if not self.add(Name(_label(parts), kind, tuple(parts)), combined(parts, self.complete.recipe)):
            self._refuse(parts[0], "its removal changes nothing")

    def _refuse(self, slug: str, why: str) -> None:
        has = [flag(other) for other, part in PARTS.items() if not part.why_absent(self.complete.recipe)]
        raise UsageError(
            f"'{self.name}' has no such part: {why}.",
            where=flag(slug),
            mend=f"leave out the option; parts of this recipe: {', '.join(has) or 'none; see --vary'}",
        )

    def everything(self) -> None:
        """Add variants without each part and each stage, and variants with the first stages only."""
        one = self.complete.recipe
        for slug, part in PARTS.items():
            why = part.why_absent(one)
            kind: Kind = "stage" if slug in STAGES else "part"
            if why is None and not self.add(Name(part.label, kind, (slug,)), part.overrides(one)):
                why = "its removal changes nothing"
            if why is not None and not part.beyond:
                self.absent[slug] = why
        present = [slug for slug in STAGES if slug not in self.absent]
        for count in range(len(present) + 1) if present else ():
            on, off = present[:count], present[count:]
            self.add(Name(_step_label(on, off), "cumulative", tuple(off)), combined(off, one))

    def smaller_ensemble(self, label: str) -> None:
        """Add the ensemble without one of its retrievers."""
        name = Name(f"ensemble without {label}", "part", (f"ensemble-{label}",))
        self.add(name, ablation_ensembles.without(self.complete.recipe, label))

    def rival(self, name: str) -> None:
        """Add another recipe as a variant."""
        other = recipe.load(name, ablation_rivals.applicable(self.overrides, name))
        overrides = ablation_rivals.differences(self.complete.recipe, other)
        if not self.add(Name(other.name, "rival"), overrides):
            raise UsageError(
                f"It has the retriever, negatives and training of '{self.name}'.",
                where=f"--rival {name}",
                mend="leave out the option, or name a recipe that differs in one of them",
            )

    def sweep(self, item: str, resolved: dict[str, Any]) -> None:
        """Add a variant for each value of a key."""
        key, values = ablation_keys.parse_vary(item, resolved)
        for value in values:
            self.add(Name(f"{key}={value}", "sweep", (), key, value), [f"{key}={value}"])


def combined(parts: list[str], one: Recipe) -> list[str]:
    """Return the overrides that remove several parts at once, without keys inside a mapping that is replaced.

    Two parts that both put candidates in place of the judged ones are merged.
    """
    found: dict[str, str] = {}
    for slug in parts:
        if set(PARTS[slug].within) & set(parts):
            continue
        for item in PARTS[slug].overrides(one):
            key, _, value = item.partition("=")
            if key == UNJUDGED and key in found:
                value = json.dumps(parse_value(found[key]) | parse_value(value), ensure_ascii=False)
            if not any(key.startswith(f"{other}.") for other in found):
                found = {other: v for other, v in found.items() if not other.startswith(f"{key}.")}
                found[key] = value
    return [f"{key}={value}" for key, value in found.items()]


def seeded(variant: Variant, overrides: list[str], seeds: int) -> list[list[str]]:
    """Return the overrides of each repetition: the recipe's own seeds first, then seeds that are higher by one each.

    A variant that trains nothing is not repeated, because no seed changes its scores.

    Raises:
        UsageError: the complete recipe trains nothing.
    """
    repeats = [[*overrides, *variant.overrides]]
    if variant.recipe.training is None:
        if seeds > 1 and not variant.overrides:
            raise UsageError(
                f"'{variant.recipe.name}' trains nothing, so no seed changes its scores.", mend="leave out --seeds"
            )
        return repeats
    for more in range(1, seeds):
        seed, of_training = variant.recipe.seed + more, variant.recipe.training.seed + more
        repeats.append([*overrides, *variant.overrides, f"seed={seed}", f"training.seed={of_training}"])
    return repeats


def _label(parts: list[str]) -> str:
    return "without " + " and ".join(PARTS[slug].label.removeprefix("without ") for slug in parts)


def _step_label(on: list[str], off: list[str]) -> str:
    if not on:
        return "base: no stage"
    numbers = ", ".join(slug[-1] for slug in on)
    return f"base + stage{'s' * (len(on) > 1)} {numbers}" + ("" if off else " (complete)")


def require_measure(choice: Choice, measure: str) -> None:
    """Raise a UsageError if the complete recipe does not compute a measure."""
    known = list(choice.complete.recipe.evaluation.measures)
    if measure not in known:
        raise UsageError(f"'{choice.name}' does not compute {measure}.", mend=did_you_mean(measure, known))
