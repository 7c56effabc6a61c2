"""MTEB's public results on MIRACL, kept as one compact table a task, and the facts about the models in them.

::

    results/published/mteb/tables/COLLECTION.json   one row a model revision: scores by language
    results/published/mteb/tables/models.json       one row a model revision: size, licence, languages, training data

The tables lie one folder deeper than other published figures, so that code that reads every published result file
(:func:`mdrbench.results.published_files`) leaves them out. :func:`read_results` gives their rows as results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from mdrbench import results
from mdrbench.core.languages import ALL
from mdrbench.results import Average, Cell, Evaluated, LanguageResult, Result, System, SystemKind
from mdrbench.results.stored import SealedModel, StrictModel, read_stored

FOLDER = Path(results.PUBLISHED, "mteb", "tables")
MODELS = "models.json"

Training = Literal["trained", "declared not", "unknown"]
"""Whether a model saw a data set in training: its list names it, its list does not name it, or there is no list."""

ISO_639_3 = {
    **{"ar": ("ara", "arb"), "bn": ("ben",), "en": ("eng",), "es": ("spa",), "fa": ("fas", "pes"), "fi": ("fin",)},
    **{"fr": ("fra",), "hi": ("hin",), "id": ("ind",), "ja": ("jpn",), "ko": ("kor",), "ru": ("rus",)},
    **{"sw": ("swa", "swh"), "te": ("tel",), "th": ("tha",), "zh": ("zho", "cmn"), "de": ("deu",), "yo": ("yor",)},
}
"""Our code -> the ISO 639-3 codes that model authors write for it (Arabic as ``ara`` or ``arb``)."""


MRR_SORTED_SINCE = (2, 18, 19)
"""The version of mteb since which MRR, too, orders equal scores by docid."""


def tie_rule(software: str | None) -> str:
    """Name the tie rule of the mteb that computed a result.

    Args:
        software: such as ``mteb 2.18.19``; a text without a version gives ``unknown``.
    """
    match = re.search(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?", software or "")
    if not match:
        return "unknown (the version of mteb is not stated)"
    if tuple(int(part or 0) for part in match.groups()) < MRR_SORTED_SINCE:
        return "score descending, then docid descending; for MRR the order of insertion (mteb before 2.18.19)"
    return "score descending, then docid descending (mteb)"


class ModelFacts(StrictModel):
    """What mteb says about one revision of a model. None means that mteb does not say it."""

    name: str
    revision: str
    kind: SystemKind | None = None
    parameters: int | None = None
    dimension: int | None = Field(default=None, description="length of one vector")
    max_tokens: int | None = None
    memory_mb: int | None = None
    licence: str | None = None
    released: str | None = Field(default=None, description="date, YYYY-MM-DD")
    open_weights: bool | None = None
    instructions: bool | None = Field(default=None, description="whether queries get an instruction")
    languages: list[str] | None = Field(default=None, description="ISO 639-3 codes the model is built for")
    reference: str | None = Field(default=None, description="link to the model's page")
    adapted_from: str | None = None
    superseded_by: str | None = None
    miracl: Training = "unknown"
    mr_tydi: Training = "unknown"
    training_source: Literal["file", "registry", "base model"] | None = Field(
        default=None,
        description="where `miracl` is from: the result's own model file, mteb's registry, or a base model",
    )
    training_list: bool = Field(default=False, description="whether the result's own model file lists training data")
    from_registry: list[str] = Field(default_factory=list, description="facts that only mteb's registry has")

    def built_for(self, lang: str) -> bool | None:
        """Say whether the model's own list of languages has ``lang``; None if the model has no list."""
        if not self.languages:
            return None
        return not set(ISO_639_3[lang]).isdisjoint(self.languages)


class Models(SealedModel):
    """The facts of all models, with the version of the registry that filled the gaps."""

    origin: str
    registry: str = Field(description="mteb's version whose registry was read")
    models: list[ModelFacts]


class Row(StrictModel):
    """The scores of one model revision, 0 to 1; None where the source has no score."""

    model: str
    revision: str
    split: str
    software: str = Field(description="mteb's version")
    data_revision: str
    scores: dict[str, list[float | None]] = Field(description="language -> scores in the order of the measures")


class Table(SealedModel):
    """All results of one task."""

    task: str
    dataset: str
    corpus_variant: str
    origin: str = Field(description="repository, commit, date and licence of the source")
    depth: int
    tie_rule: str = Field(description="the rule of today's mteb; see tie_rule() for that of a row")
    denominator: str
    measures: list[str]
    rows: list[Row]

    @model_validator(mode="after")
    def _complete(self) -> Table:
        for row in self.rows:
            for lang, values in row.scores.items():
                if len(values) != len(self.measures):
                    raise ValueError(f"{row.model} has {len(values)} scores in {lang}, not {len(self.measures)}")
        return self

    @property
    def collection(self) -> str:
        """``miracl``, or ``miracl-POOL`` for a pool."""
        return self.dataset if self.corpus_variant == "full" else f"{self.dataset}-{self.corpus_variant}"


class CarriedResult(NamedTuple):
    """A row as a result, the file it is in, and what is known about its model."""

    result: Result
    path: Path
    facts: ModelFacts


def read_tables(root: Path) -> dict[Path, Table]:
    """Read every table under a results folder, in the order of file names.

    Raises:
        DataError: a table is not of the schema; it names the file and the key.
    """
    mend = "write it again with `mdrbench import-mteb --table`"
    return {
        path: read_stored(path, Table, again=mend, by_hand=mend)
        for path in sorted((root / FOLDER).glob("*.json"))
        if path.name != MODELS
    }


def read_models(root: Path) -> dict[tuple[str, str], ModelFacts]:
    """Read the facts: (model, revision) -> facts; empty if there is no file.

    Raises:
        DataError: the file is not of the schema; it names the key.
    """
    path = root / FOLDER / MODELS
    if not path.exists():
        return {}
    mend = "write it again with `mdrbench import-mteb --table`"
    stored = read_stored(path, Models, again=mend, by_hand=mend)
    return {(facts.name, facts.revision): facts for facts in stored.models}


def read_results(root: Path) -> Iterator[CarriedResult]:
    """Yield every row of every table as a published result, with its model's facts."""
    models = read_models(root)
    for path, table in read_tables(root).items():
        for row in table.rows:
            facts = models.get((row.model, row.revision)) or ModelFacts(name=row.model, revision=row.revision)
            yield CarriedResult(as_result(table, row, facts), path, facts)


def as_result(table: Table, row: Row, facts: ModelFacts) -> Result:
    """Write a row out as a published result; averages are computed over the benchmark languages it has."""
    cells = {
        lang: {
            measure: Cell(value=value, source="mteb", table=table.task)
            for measure, value in zip(table.measures, values, strict=True)
            if value is not None
        }
        for lang, values in row.scores.items()
    }
    covered = [lang for lang in ALL if lang in cells]
    columns = {m: [cells[lang][m].value for lang in covered if m in cells[lang]] for m in table.measures}
    means = {
        m: Cell(value=round(fmean(values), 6), source="mteb", table=table.task)
        for m, values in columns.items()
        if values and len(values) == len(covered)
    }
    label = f"{results.average_label(covered)}, computed from the cells"
    return Result(
        kind="published",
        dataset=table.dataset,
        split=row.split,
        system=System(
            name=row.model,
            summary=f"{row.software}, {table.task} at {row.data_revision[:12]}, model revision {row.revision[:12]}",
            kind=facts.kind,
            revision=row.revision,
        ),
        evaluated=Evaluated(
            measures=[m for m in table.measures if any(m in scores for scores in cells.values())],
            depth=table.depth,
            tie_rule=tie_rule(row.software),
            denominator=table.denominator,
            corpus_variant=table.corpus_variant,
            software=row.software,
            data_revision=row.data_revision,
        ),
        languages={lang: LanguageResult(scores=scores) for lang, scores in cells.items()},
        averages=[Average(label=label, languages=covered, scores=means)] if means else [],
    )
