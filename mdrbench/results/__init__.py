"""The versioned result schema: one file a system and data set, measured here or carried over from a publication.

::

    results/DATASET/RECIPE.json                  a measured result (other splits than dev: RECIPE.SPLIT.json)
    results/DATASET/RECIPE/LANG-SPLIT.run.trec.gz, LANG-SPLIT.topics.tsv.gz, training-KEY.jsonl.gz
    results/DATASET/SYSTEM.json                  an outside system, from run files handed in (``mdrbench submit``)
    results/DATASET/variants/RECIPE-DIGEST.json  the same for a run made with --set; never takes the recipe's place
    results/published/SOURCE/....json            figures from the literature, in the same schema

The JSON Schema (``mdrbench schema``) is exported from these models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from mdrbench.core.errors import DataError, UsageError, did_you_mean
from mdrbench.core.languages import ALL
from mdrbench.results.stored import RelativePath, SealedModel, SealState, StrictModel, read_stored, sealed_text

PUBLISHED = "published"
"""The folder of ``results/`` that holds figures from the literature."""


class Cell(StrictModel):
    """One score. A measured cell has the ends of its bootstrap interval, a published one its source and table."""

    value: float
    low: float | None = None
    high: float | None = None
    source: str | None = Field(default=None, description="citation key of the publication, for published cells")
    table: str | None = Field(default=None, description="table or file of the publication")


class File(StrictModel):
    """A file kept beside the result, relative to the result file's folder."""

    path: RelativePath
    bytes: int
    sha256: str


class StepRecord(StrictModel):
    """One step of the run: when and where it was really computed, also when this run found it in the cache."""

    key: str = Field(description="content address of the artifact")
    made_at: str
    seconds: float
    peak_bytes: int = Field(description="peak resident memory of the process during the step")
    peak_of: str = Field(description="'step', or 'process' where the system cannot reset its high-water mark")
    bytes: int | None = Field(default=None, description="size of the artifact on disk, such as that of an index")
    environment: str = Field(description="key into the result's environments")


class DatasetRecord(StrictModel):
    """What was searched and judged, by counts and by the SHA-256 of every file's bytes."""

    fingerprint: str = Field(description="SHA-256 over the passages in order, independent of compression and shards")
    passages: int
    topics: int
    judged_topics: int
    judgments: int
    positives: int
    files: dict[str, str] = Field(description="file name -> SHA-256 of its bytes")
    warnings: dict[str, int] = Field(description="flaws that were tolerated, counted")


class LanguageResult(StrictModel):
    """All about one language. Published results have cells only."""

    scores: dict[str, Cell] = Field(description="measure -> score")
    dataset: DatasetRecord | None = None
    conventions: dict[str, Any] = Field(default_factory=dict, description="how text was analysed, joined, cut, pooled")
    negatives: dict[str, dict[str, Any]] | None = Field(
        default=None, description="for a trained recipe: stage -> counts of what made this language's training groups"
    )
    steps: dict[str, StepRecord] = Field(
        default_factory=dict, description="by stage; `groups/STAGE` made training groups, `PART/STAGE` is of a part"
    )
    files: dict[str, File] = Field(default_factory=dict, description="'run' and 'topics'")
    command: str | None = Field(default=None, description="the exact command that recorded this language")


class Training(StrictModel):
    """How an encoder was trained, on the groups of several languages together."""

    languages: list[str] = Field(description="whose training queries were used")
    steps: dict[str, StepRecord] = Field(description="'label' and 'train'")
    facts: dict[str, Any] = Field(description="settings, counts, validations, seconds, device, versions")
    domains: dict[str, Any] | None = Field(
        default=None, description="how many queries of each language were given each domain"
    )
    log: File | None = Field(
        default=None,
        description="gzipped JSON lines: loss, learning rate and norm of the gradient by step, and the validations",
    )


class Average(StrictModel):
    """A labelled mean over languages."""

    label: str
    languages: list[str]
    scores: dict[str, Cell]


class Submission(StrictModel):
    """What is said of an outside system: mdrbench checked and scored its run files and did not run it."""

    submitted_at: str
    link: str | None = Field(default=None, description="where the system is described")
    license: str | None = None
    size: str | None = Field(default=None, description="as its authors give it, such as '118M parameters'")
    runs: dict[str, str] = Field(description="language -> SHA-256 of the run file as it was handed in")


SystemKind = Literal["single vector", "sparse", "multi-vector", "sum", "reranked"]
"""How a system scores passages. A sum adds scores of several retrievers; a reranker reorders another system's hits."""


class System(StrictModel):
    """What was run."""

    name: str
    summary: str
    kind: SystemKind | None = Field(default=None, description="for published systems: how it scores passages")
    revision: str | None = Field(default=None, description="for published systems: the model's revision, if stated")
    recipe: dict[str, Any] | None = Field(default=None, description="the resolved recipe")
    recipe_digest: str | None = Field(default=None, description="hash of all recipe keys that can change a score")
    variant_of: str | None = Field(default=None, description="the recipe that --set was applied to")
    overrides: list[str] = Field(default_factory=list)
    submission: Submission | None = Field(default=None, description="for run files that were handed in")


class Evaluated(StrictModel):
    """How every score in the file was computed."""

    measures: list[str]
    depth: int = Field(description="hits of a topic that count, trec_eval's -M")
    tie_rule: str
    denominator: str
    confidence: float | None = None
    resamples: int | None = None
    seed: int | None = None
    corpus_variant: str = Field(description="'full' (the whole corpus was searched) or the name of a pool")
    software: str | None = Field(default=None, description="for published scores: what computed them, with version")
    data_revision: str | None = Field(default=None, description="for published scores: the data set's revision")


class Result(SealedModel):
    """A result file."""

    kind: Literal["measured", "published"]
    dataset: str
    split: str
    final: Literal[True] | None = Field(
        default=None, description="present where the split is kept for final figures and --final was given"
    )
    system: System
    evaluated: Evaluated
    languages: dict[str, LanguageResult]
    averages: list[Average] = Field(default_factory=list)
    trainings: dict[str, Training] = Field(
        default_factory=dict, description="by the first 12 digits of the key of the languages' step 'train'"
    )
    environments: dict[str, dict[str, Any]] = Field(default_factory=dict, description="by hash: versions, hardware")

    @model_validator(mode="after")
    def _whole(self) -> Result:
        for average in self.averages:
            absent = [lang for lang in average.languages if lang not in self.languages]
            if absent:
                raise ValueError(f"average '{average.label}' covers {absent[0]}, which the result lacks")
        made: list[tuple[str, dict[str, StepRecord]]] = [(lang, one.steps) for lang, one in self.languages.items()]
        made += [(name, one.steps) for name, one in self.trainings.items()]
        for part, steps in made:
            for stage, step in steps.items():
                if step.environment not in self.environments:
                    raise ValueError(f"step {stage} of '{part}' ran on an environment the result lacks")
        return self

    def language_codes(self) -> list[str]:
        """Languages in the order of every table, others (published de, yo) after them."""
        return [c for c in ALL if c in self.languages] + sorted(set(self.languages) - set(ALL))


def average_label(languages: list[str]) -> str:
    """``16-language average`` is said only of exactly the 16 of the benchmark."""
    if sorted(languages) == sorted(ALL):
        return "16-language average"
    return f"average of {len(languages)} language{'s' * (len(languages) != 1)}"


def read(path: Path, states: tuple[SealState, ...] = ("sealed", "unsealed")) -> Result:
    """Read and check a result file.

    Args:
        states: the seals that are accepted; ``("sealed",)`` refuses files of an older schema.

    Raises:
        DataError: anything is wrong with it; the error names the file and the key.
    """
    if not path.exists():
        raise DataError("no such result", where=str(path), mend="see `mdrbench list results`")
    again = "run the recipe again"
    return read_stored(
        path, Result, again=again, by_hand="result files are written by `mdrbench run`, not by hand", states=states
    )


def dump(result: Result) -> str:
    """Return the result as sealed JSON text: keys in the order of the schema, languages in the order of every table."""
    return sealed_text(
        result.model_copy(update={"languages": {c: result.languages[c] for c in result.language_codes()}})
    )


def files(root: Path) -> list[Path]:
    """All measured result files under a results folder, variants included, in a stable order."""
    found = [*root.glob("*/*.json"), *root.glob("*/variants/*.json")]
    return sorted(p for p in found if p.relative_to(root).parts[0] not in (PUBLISHED, "schema"))


def under(folder: Path) -> list[Path]:
    """Return the measured result files of any folder: of a results folder, of one data set, or of its variants."""
    if folder.name in (PUBLISHED, "schema", "ablations"):
        return []
    patterns = ("*.json", "variants/*.json", "*/*.json", "*/variants/*.json")
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    others = {PUBLISHED, "schema", "ablations"}
    return sorted(path for path in found if not others & set(path.relative_to(folder).parts[:-1]))


def published_files(root: Path) -> list[Path]:
    """All published result files under a results folder."""
    return sorted((root / PUBLISHED).glob("*/*.json"))


def path_of(root: Path, result: Result) -> Path:
    """Where a measured result belongs."""
    suffix = "" if result.split == "dev" else f".{result.split}"
    folder = root / result.dataset
    if result.system.variant_of:
        digest = result.system.recipe_digest or ""
        name = f"{result.system.variant_of}-{digest[:10]}"
        return folder / "variants" / f"{name}{suffix}.json"
    return folder / f"{result.system.name}{suffix}.json"


def find(root: Path, name: str) -> Path:
    """A result by path, by ``DATASET/RECIPE`` or by a recipe name that is unique under ``root``."""
    if name.endswith(".json"):
        return Path(name)
    known = {str(path.relative_to(root).with_suffix("")): path for path in files(root)}
    matches = [path for key, path in known.items() if key == name or key.rsplit("/", 1)[-1] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"'{name}' is ambiguous", mend=f"write one of {', '.join(k for k in known if k.endswith(name))}"
        )
    raise UsageError(f"no result '{name}' in {root}", mend=did_you_mean(name, list(known)))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a result file."""
    schema = Result.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mdrbench result", **schema}
