"""Stored ablations: what each part of a recipe is worth, derived from the result files of the variants.

::

    results/DATASET/ablations/RECIPE.json          (other splits than dev: RECIPE.SPLIT.json)
    results/DATASET/ablations/RECIPE-DIGEST.json   of a recipe that was itself changed with --set

Every number follows from the topic-level scores beside the result files that the file names
(:mod:`mdrbench.results.effects`). A positive difference means that the variant is better than the complete recipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mdrbench.core.atomic_files import write_atomically
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results.stored import RelativePath, SealedModel, SealState, StrictModel, read_stored, sealed_text

FOLDER = "ablations"


Kind = Literal["part", "stage", "cumulative", "sweep", "rival"]
"""Why a variant exists."""

FAMILIES: dict[Kind, str] = {
    "part": "parts and stages",
    "stage": "parts and stages",
    "cumulative": "steps",
    "rival": "rivals",
}
"""The family of averages that a kind of variant belongs to; a sweep has a family for each key."""


class Name(StrictModel):
    """What a variant is called. A recipe that is reached in several ways has several names."""

    label: str
    kind: Kind
    parts: list[str] = Field(default_factory=list, description="what is taken away")
    key: str | None = Field(default=None, description="for a sweep: the key that is varied")
    value: str | None = Field(default=None, description="for a sweep: its value, as it was typed")


class SeedRun(StrictModel):
    """One run of a recipe."""

    seed: int = Field(description="the recipe's; that of training moves with it")
    overrides: list[str] = Field(description="--set of this run, all of them")
    digest: str
    result: RelativePath = Field(description="its file, from the data set's folder")


class Score(StrictModel):
    """A mean over topics (and seeds) with its bootstrap interval."""

    value: float
    low: float
    high: float
    spread: float | None = Field(default=None, description="of an average: standard deviation over the seeds")


class Effect(StrictModel):
    """A variant's score, and its difference from the complete recipe's with interval and test."""

    score: float
    difference: float
    low: float
    high: float
    p: float = Field(description="of the test, over topics and paired seeds")
    p_corrected: float = Field(description="over the family: for an average the variants of its kind, else languages")
    starred: bool = Field(description="significant, over enough seeds")
    spread: float | None = Field(default=None, description="of an average: standard deviation of the score over seeds")
    spread_of_difference: float | None = Field(
        default=None, description="of an average: standard deviation of the paired seeds' differences"
    )


class Counts(StrictModel):
    """What a recipe trains on, summed over the languages of its first run: effective counts, not settings."""

    queries: int = Field(description="training queries with a positive")
    mined: int = Field(description="candidates before judging")
    judged: int = Field(description="candidates that a judge was asked about")
    dropped: int = Field(description="candidates that the judge took out")
    generated: int = Field(description="negatives from generated queries")
    negatives: int = Field(description="negatives of all queries in the end")
    passages_a_step: int = Field(description="positives and hard negatives that a training step encodes")


class Complete(StrictModel):
    """The complete recipe; ``names`` are those under which it is also a point of a sweep or a step."""

    names: list[Name] = Field(default_factory=list)
    runs: list[SeedRun] = Field(min_length=1)
    counts: Counts | None = Field(default=None, description="absent: it trains nothing")
    languages: dict[str, dict[str, Score]] = Field(default_factory=dict, description="language -> measure -> score")
    average: dict[str, Score] = Field(default_factory=dict)


class Variant(StrictModel):
    """The complete recipe with ``overrides``."""

    names: list[Name] = Field(min_length=1)
    overrides: list[str] = Field(description="--set beyond those of the complete recipe; seeds are in the runs")
    runs: list[SeedRun] = Field(min_length=1)
    paired_seeds: int | None = Field(default=None, description="seeds that its tests count; absent: nothing is trained")
    counts: Counts | None = Field(default=None, description="absent: it trains nothing")
    languages: dict[str, dict[str, Effect]] = Field(default_factory=dict, description="language -> measure -> effect")
    average: dict[str, Effect] = Field(default_factory=dict)
    command: str | None = Field(default=None, description="what made it, where that was not the ablation's command")

    @property
    def label(self) -> str:
        """The first of its names."""
        return self.names[0].label

    @property
    def family(self) -> str:
        """The variants whose averages are corrected together: those of one kind, of a sweep those of one key."""
        first = self.names[0]
        return f"values of {first.key}" if first.kind == "sweep" else FAMILIES[first.kind]


class Absent(StrictModel):
    """A part that was looked for and is not in the recipe."""

    part: str
    label: str
    why: str


class Tested(StrictModel):
    """How intervals and p values were computed; the defaults are `mdrbench compare`'s."""

    confidence: float = PROTOCOL.confidence
    resamples: int = Field(default=PROTOCOL.resamples, description="of the intervals of scores")
    seed: int = PROTOCOL.seed
    test: str = PROTOCOL.test
    correction: str = PROTOCOL.correction
    star_seeds: int = Field(default=PROTOCOL.star_seeds, description="fewest paired seeds of a star")
    claim_seeds: int = Field(default=PROTOCOL.claim_seeds, description="fewest paired seeds of a claim in words")
    language_family: str = "the languages of one variant, by one measure"
    average_family: str = "the averages of the variants of one family, by one measure"


class Ablation(SealedModel):
    """An ablation file."""

    dataset: str
    split: str
    recipe: str
    summary: str
    overrides: list[str] = Field(default_factory=list, description="--set of the complete recipe and all variants")
    languages: list[str] = Field(min_length=1)
    measures: list[str] = Field(min_length=1)
    seeds: int = Field(default=1, ge=1)
    tested: Tested = Tested()
    complete: Complete
    variants: list[Variant]
    families: dict[str, list[str]] = Field(
        default_factory=dict, description="families of averages that were corrected together -> labels of the variants"
    )
    alike: list[list[str]] = Field(
        default_factory=list, description="labels of recipes with the same score on every topic: one may do nothing"
    )
    absent: list[Absent] = Field(default_factory=list)
    failed: list[str] = Field(default_factory=list, description="labels of variants that have no result: a step failed")
    command: str = Field(description="the last command that made variants of it")

    def label(self, one: Complete | Variant) -> str:
        """``complete``, or the first name of a variant."""
        return one.label if isinstance(one, Variant) else "complete"

    @property
    def entries(self) -> list[Complete | Variant]:
        """The complete recipe and all variants."""
        return [self.complete, *self.variants]

    @property
    def commands(self) -> list[str]:
        """All commands that made its variants, the last one at the end."""
        return list(dict.fromkeys([*(one.command for one in self.variants if one.command), self.command]))

    def identity(self) -> tuple[list[str], list[str]]:
        """What must agree for variants to stand beside each other: recipes of all seeds, languages."""
        return [run.digest for run in self.complete.runs], sorted(self.languages)


# -- files -------------------------------------------------------------------------------------------------------------


def files(root: Path) -> list[Path]:
    """All stored ablations under a results folder, in a stable order."""
    return sorted(path for path in root.glob(f"*/{FOLDER}/*.json") if path.relative_to(root).parts[0] != "schema")


def is_one(path: Path) -> bool:
    """Whether a path is where an ablation is stored."""
    return path.parent.name == FOLDER


def path_of(complete: Path) -> Path:
    """Where the ablation of a complete recipe belongs, by the recipe's result file."""
    folder = complete.parent.parent if complete.parent.name == "variants" else complete.parent
    return folder / FOLDER / complete.name


def read(path: Path, states: tuple[SealState, ...] = ("sealed", "unsealed")) -> Ablation:
    """Read and check a stored ablation.

    Args:
        states: the seals that are accepted; ``("sealed",)`` refuses files of an older schema.

    Raises:
        DataError: anything is wrong with it; the error names the file and the key.
    """
    return read_stored(
        path,
        Ablation,
        again="remove the file and run `mdrbench ablate` again",
        by_hand="such files are written by `mdrbench ablate`, not by hand",
        states=states,
    )


def write(path: Path, ablation: Ablation) -> None:
    """Write a stored ablation with its seal, whole or not at all."""
    write_atomically(path, sealed_text(ablation))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an ablation file."""
    schema = Ablation.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mdrbench ablation", **schema}


def merged(earlier: Ablation, new: Ablation) -> Ablation:
    """The new ablation with the variants of an earlier one of the same complete recipe."""
    for variant in earlier.variants:
        command = variant.command or earlier.command
        variant.command = command if command != new.command else None
    variants = {variant.runs[0].digest: variant for variant in [*earlier.variants, *new.variants]}
    for variant in earlier.variants:
        both = variants[variant.runs[0].digest]
        both.names = _united(variant.names, both.names)
    new.variants = list(variants.values())
    new.complete.names = _united(earlier.complete.names, new.complete.names)
    present = {name.label for variant in new.variants for name in variant.names}
    new.failed = [label for label in dict.fromkeys([*earlier.failed, *new.failed]) if label not in present]
    new.absent = list({one.part: one for one in [*earlier.absent, *new.absent]}.values())
    return new


def _united(some: list[Name], others: list[Name]) -> list[Name]:
    return [*some, *(name for name in others if name not in some)]
