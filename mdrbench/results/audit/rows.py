"""The published figures as the audit reads them: one row a system, source and table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from mdrbench import results
from mdrbench.results import Result, mteb_tables
from mdrbench.results.mteb_tables import ModelFacts

MAIN = "nDCG@10"
"""The measure that ranks, and that most rules look at."""


ENCODERS: dict[str, set[tuple[str, str]]] = {
    "BGE-M3 (dense)": {
        ("chen2024m3", "BGE-M3 + dense"),
        ("flagembedding-rerankers", "BGE-M3 + dense (512+512)"),
        ("huang2025boosting", "BGE"),
        ("mteb", "BAAI/bge-m3"),
    },
    "multilingual-e5-large": {("huang2025boosting", "mE5-large"), ("mteb", "intfloat/multilingual-e5-large")},
    "e5-mistral-7b-instruct": {("chen2024m3", "E5-mistral-7b"), ("mteb", "intfloat/e5-mistral-7b-instruct")},
    "Cohere embed-multilingual-v3.0": {
        ("cohere-notebooks", "embed-multilingual-v3.0"),
        ("mteb", "Cohere/Cohere-embed-multilingual-v3.0"),
    },
    "BM25 (Lucene)": {("huang2025boosting", "BM25"), ("pyserini-2cr", "bm25")},
    "mE5-large + boosted": {("huang2025boosting", "mE5 + boosted"), ("huang2025boosting", "mE5-large + boosted")},
    "mDPR": {("huang2025boosting", "mDPR"), ("pyserini-2cr", "mdpr-tied-pft-msmarco")},
    "mContriever": {("huang2025boosting", "mContriever"), ("pyserini-2cr", "mcontriever-tied-pft-msmarco")},
}
"""Names that different sources give to one system: our name -> (source, the source's name)."""

AUTHORS = {"chen2024m3": "BAAI", "flagembedding-rerankers": "BAAI"}
"""Sources that have the same authors."""


def encoder_name(source: str, system: str) -> str:
    """Return the name under which a system's figures of all sources are compared."""
    return next((name for name, names in ENCODERS.items() if (source, system) in names), system)


@dataclass(frozen=True, eq=False)
class PublishedRow:
    """The figures of one system in one table of one source.

    ``scores`` is measure -> language -> score (0 to 1). ``averages`` are averages as printed: (measure, languages,
    value). ``id`` is unique: the file below the results folder, and for a table its row.
    """

    id: str
    system: str
    encoder: str
    source: str
    table: str
    dataset: str
    corpus_variant: str
    split: str
    scores: dict[str, dict[str, float]]
    software: str | None = None
    data_revision: str | None = None
    revision: str | None = None
    averages: tuple[tuple[str, tuple[str, ...], float], ...] = ()
    facts: ModelFacts | None = field(default=None, repr=False)

    @property
    def collection(self) -> str:
        """``miracl``, or ``miracl-POOL`` for a pool."""
        return self.dataset if self.corpus_variant == "full" else f"{self.dataset}-{self.corpus_variant}"

    @property
    def is_pool(self) -> bool:
        """Whether only a part of the corpus was searched."""
        return self.corpus_variant != "full"

    @property
    def main(self) -> dict[str, float]:
        """nDCG@10 by language."""
        return self.scores.get(MAIN, {})

    @property
    def origin(self) -> str:
        """Source, table and software, as a figure names them."""
        return ", ".join(part for part in (self.source, self.table, self.software) if part)

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the software, ``(1, 39, 1)``; empty if it is not stated."""
        return tuple(map(int, re.findall(r"\d+", self.software or "")))


def read_rows(root: Path) -> list[PublishedRow]:
    """Read every published figure under a results folder, mteb's tables included.

    Raises:
        DataError: a file is not of its schema.
    """
    rows = [
        as_row(results.read(path), path.relative_to(root).as_posix(), path.parent.name)
        for path in results.published_files(root)
    ]
    for carried in mteb_tables.read_results(root):
        place = carried.path.relative_to(root).as_posix()
        name = f"{place}#{carried.result.system.name}@{carried.result.system.revision}"
        rows.append(as_row(carried.result, name, "mteb", carried.facts))
    return rows


def as_row(result: Result, name: str, source: str, facts: ModelFacts | None = None) -> PublishedRow:
    """Return a published result as a row; ``name`` is its id, ``source`` the citation key of its source."""
    cells = [(lang, measure, cell) for lang, e in result.languages.items() for measure, cell in e.scores.items()]
    scores: dict[str, dict[str, float]] = {}
    for lang, measure, cell in cells:
        scores.setdefault(measure, {})[lang] = cell.value
    printed = tuple(
        (measure, tuple(average.languages), cell.value)
        for average in result.averages
        if average.label.endswith("as printed")
        for measure, cell in average.scores.items()
    )
    evaluated = result.evaluated
    return PublishedRow(
        id=name,
        system=result.system.name,
        encoder=encoder_name(source, result.system.name),
        source=source,
        table=next((cell.table for _, _, cell in cells if cell.table), ""),
        dataset=result.dataset,
        corpus_variant=evaluated.corpus_variant,
        split=result.split,
        scores=scores,
        software=evaluated.software,
        data_revision=evaluated.data_revision,
        revision=result.system.revision,
        averages=printed,
        facts=facts,
    )
