"""Figures from the literature as result files: facts with their source, never mixed with measured ones.

The input is a long CSV with the columns ``source, table, backbone, method, split, metric, lang, value``, one figure a
row (``lang`` may be ``avg``, the average as printed). Every row becomes one cell with its source and table. A column
``software`` may name what computed the figure, with its version; :func:`with_versions` adds it to Pyserini's rows.

::

    results/published/SOURCE/TABLE-....json             a system's figures, in the schema of results
    results/published/SOURCE/ablations/TABLE-....json   an ablation's: means of a complete system and of its variants
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Annotated, NamedTuple

from pydantic import Field

from mdrbench import results
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError
from mdrbench.core.languages import ALL
from mdrbench.results import Average, Cell, Evaluated, LanguageResult, Result, System, SystemKind
from mdrbench.results.stored import SealedModel, SealState, StrictModel, read_stored

COLUMNS = ("source", "table", "backbone", "method", "split", "metric", "lang", "value")

Row = dict[str, str]


class Source(NamedTuple):
    """A publication: how it is cited, in short (None: its systems say more themselves) and in full, and where it is."""

    short: str | None
    citation: str
    link: str


SOURCES = {
    "huang2025boosting": Source(
        "Huang et al. 2025",
        "Huang et al.: Boosting Data Utilization for Multilingual Dense Retrieval. EMNLP 2025.",
        "https://arxiv.org/abs/2509.09459",
    ),
    "pyserini-2cr": Source(
        "Pyserini",
        "Pyserini's two-click reproductions for MIRACL (pyserini/2cr/miracl.yaml).",
        "https://github.com/castorini/pyserini",
    ),
    "chen2024m3": Source(
        "Chen et al. 2024",
        "Chen et al.: BGE M3-Embedding: Multi-Lingual, Multi-Functionality, Multi-Granularity Text Embeddings Through "
        "Self-Knowledge Distillation. Findings of ACL 2024.",
        "https://arxiv.org/abs/2402.03216",
    ),
    "cohere-notebooks": Source(
        "Cohere",
        "Cohere's public embedding benchmarks, MIRACL (miracl.md).",
        "https://github.com/cohere-ai/notebooks",
    ),
    "flagembedding-rerankers": Source(
        "FlagEmbedding",
        "FlagEmbedding's evaluation of rerankers on MIRACL (research/llm_reranker).",
        "https://github.com/FlagOpen/FlagEmbedding",
    ),
    "mteb": Source(
        None,
        "Results of MTEB, the Massive Text Embedding Benchmark.",
        "https://github.com/embeddings-benchmark/mteb",
    ),
}
"""Citation key -> publication."""

Share = Annotated[float, Field(ge=0, le=1)]


class PublishedVariant(StrictModel):
    """A complete system without some of its parts; ``parts`` are named as `mdrbench ablate` names them."""

    label: str
    parts: list[str]
    score: Share


class PublishedAblation(SealedModel):
    """An ablation as a publication prints it: means over languages, without intervals."""

    source: str
    table: str
    dataset: str
    split: str
    system: str = Field(description="the complete system, as its own published figures call it")
    recipe: str = Field(description="the recipe of mdrbench that does the same")
    measure: str
    average: str = Field(description="what the scores are means of")
    complete: Share
    variants: list[PublishedVariant] = Field(min_length=1)


def ablation_files(root: Path) -> list[Path]:
    """All published ablations under a results folder."""
    return sorted((root / results.PUBLISHED).glob("*/ablations/*.json"))


def read_ablation(path: Path, states: tuple[SealState, ...] = ("sealed", "unsealed")) -> PublishedAblation:
    """Read and check a published ablation; anything wrong in it is a DataError that names the file and the key."""
    mend = "see results/published"
    return read_stored(path, PublishedAblation, again=mend, by_hand=mend, states=states)


def read_csv(path: Path) -> list[Row]:
    """The rows of a figures file; a missing column or a value that is no number between 0 and 1 is an error."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"column '{missing[0]}' is missing", where=f"{path}:1", mend=f"columns: {','.join(COLUMNS)}"
            )
        rows = []
        for row in reader:
            try:
                valid = 0 <= float(row["value"]) <= 1
            except (TypeError, ValueError):
                valid = False
            if not valid:
                raise DataError(
                    f"value {row['value']!r} is no number from 0 to 1",
                    where=f"{path}:{reader.line_num}",
                    mend="write nDCG@10 of 39.4 as 0.394",
                )
            rows.append(row)
    return rows


PYSERINI = "pyserini-2cr"


def read_versions(path: Path) -> list[Row]:
    """Read the cells that differ between two versions of Pyserini.

    The file is tab-separated: ``system, lang, split, measure, mdrbench published, pyserini 1.6.0 (pinned), pyserini
    2.3.0``.

    Raises:
        DataError: a column is missing.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    columns = ("system", "lang", "split", "measure", "pyserini 1.6.0 (pinned)", "pyserini 2.3.0")
    missing = [column for column in columns if not rows or column not in rows[0]]
    if missing:
        raise DataError(f"column '{missing[0]}' is missing", where=f"{path}:1", mend=f"columns: {', '.join(columns)}")
    return rows


def with_versions(rows: list[Row], differing: list[Row]) -> list[Row]:
    """Name the version of Pyserini in its rows, and add the rows of 1.6.0 for every system that differs there.

    Args:
        rows: figures of all sources; Pyserini's are those of 2.3.0.
        differing: what :func:`read_versions` returns.

    Raises:
        DataError: a differing cell is not among the rows, or has another figure there than Pyserini 2.3.0's.
    """
    named = [_of_version(row, "2.3.0") if row["source"] == PYSERINI else row for row in rows]
    older = {(c["system"], c["split"], c["metric"], c["lang"]): c for c in map(_as_cell, differing)}
    current = {
        (row["backbone"], row["split"], row["metric"], row["lang"]): row for row in rows if row["source"] == PYSERINI
    }
    for key, cell in older.items():
        if key not in current or float(current[key]["value"]) != float(cell["current"]):
            raise DataError(
                f"{' '.join(key)} is not {cell['current']} in the figures of {PYSERINI}",
                mend="give figures of Pyserini 2.3.0",
            )
    systems = {system for system, *_ in older}
    pinned = [
        _of_version({**row, "value": older[key]["pinned"]} if key in older else row, "1.6.0")
        for key, row in current.items()
        if key[0] in systems
    ]
    return [*named, *pinned]


def _of_version(row: Row, version: str) -> Row:
    return {**row, "table": f"{row['table']} ({version})", "software": f"Pyserini {version}"}


def _as_cell(row: Row) -> Row:
    return {
        **{"system": row["system"], "split": row["split"], "metric": row["measure"], "lang": row["lang"]},
        **{"pinned": row["pyserini 1.6.0 (pinned)"], "current": row["pyserini 2.3.0"]},
    }


def to_results(rows: list[Row], dataset: str = "miracl") -> dict[str, Result]:
    """Group rows into results, one for each source, table, backbone, method and split; name -> result."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[c] for c in ("source", "table", "backbone", "method", "split")), []).append(row)
    named = {}
    for (source, table, backbone, method, split), group in groups.items():
        slug = re.sub(r"[^a-z0-9]+", "-", f"{table} {backbone} {method} {split}".lower()).strip("-")
        name = f"{source}/{slug}"
        if name in named:
            raise DataError(
                f"two groups of figures are both called '{name}'", mend="rename a table, backbone or method"
            )
        named[name] = _group(group, dataset, source, table, backbone, method, split)
    return named


def _group(rows: list[Row], dataset: str, source: str, table: str, backbone: str, method: str, split: str) -> Result:
    names = list(dict.fromkeys(row["metric"] for row in rows))
    languages: dict[str, LanguageResult] = {}
    means: dict[str, Cell] = {}
    for row in rows:
        cell = Cell(value=float(row["value"]), source=source, table=table)
        scores = means if row["lang"] == "avg" else languages.setdefault(row["lang"], LanguageResult(scores={})).scores
        if row["metric"] in scores:
            raise DataError(f"{backbone} {method} {row['metric']} {row['lang']} is there twice", where=source)
        scores[row["metric"]] = cell
    version = rows[0].get("software") or None
    system = System(
        name=backbone if method == "as-released" else f"{backbone} + {method}",
        summary=f"{source}, {table}",
        kind=kind_of(backbone, method),
    )
    averages = []
    covered = [lang for lang in ALL if lang in languages]
    if means:
        averages.append(Average(label=f"{results.average_label(covered)}, as printed", languages=covered, scores=means))
    elif covered == list(ALL):
        means = {name: _mean(languages, name, source, table) for name in names}
        label = f"{results.average_label(covered)}, computed from the cells"
        averages.append(Average(label=label, languages=covered, scores=means))
    return Result(
        kind="published",
        dataset=dataset,
        split=split,
        system=system,
        evaluated=Evaluated(
            measures=names,
            depth=100,
            tie_rule="as in the source",
            denominator="as in the source",
            corpus_variant="full",
            software=version,
        ),
        languages=languages,
        averages=averages,
    )


def kind_of(backbone: str, method: str) -> SystemKind:
    """Say how a published system scores passages, from the names that its table gives it."""
    if method.startswith("reranked"):
        return "reranked"
    if method in ("all", "dense+sparse") or backbone.endswith("-hybrid"):
        return "sum"
    if method == "multi-vec":
        return "multi-vector"
    if method == "sparse" or backbone.lower() == "bm25":
        return "sparse"
    return "single vector"


def wrong_averages(result: Result) -> Iterator[tuple[str, float, float]]:
    """Yield the averages that were computed from the cells and differ from them: what, stored, derived."""
    for average in result.averages:
        if not average.label.endswith("computed from the cells"):
            continue
        for measure, cell in average.scores.items():
            values = [result.languages[lang].scores[measure].value for lang in average.languages]
            if abs(cell.value - (mean := round(fmean(values), 6))) > 1e-9:
                yield f"{measure} of the {average.label}", cell.value, mean


def _mean(languages: dict[str, LanguageResult], measure: str, source: str, table: str) -> Cell:
    mean = fmean(languages[lang].scores[measure].value for lang in ALL)
    return Cell(value=round(mean, 6), source=source, table=table)


def write(rows: list[Row], root: Path) -> list[Path]:
    """Write ``results/published/SOURCE/*.json``; returns the paths."""
    written = []
    for name, result in to_results(rows).items():
        path = root / results.PUBLISHED / f"{name}.json"
        write_atomically(path, results.dump(result))
        written.append(path)
    return written
