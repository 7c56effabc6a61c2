"""``mdrbench acceptance``: hold this installation against published figures, and write one report.

BM25, mDPR and an encoder run on a language of MIRACL, fetched from the hub. A recipe names the published systems that
it reproduces. Its scores are compared with their figures in ``results/published``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mdrbench import __version__, recipe, results
from mdrbench.commands.run import plan_all, run_plans
from mdrbench.core import environment, registry
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import UsageError
from mdrbench.core.store import Store
from mdrbench.recipe import Recipe
from mdrbench.results import Result
from mdrbench.results.published import SOURCES

PYSERINI = "pyserini-2cr"
TOLERANCE, OF_PAPERS = 5e-4, 5e-3
"""Largest difference to a figure of Pyserini (four decimals, the same engine) and of a paper (three decimals)."""

POOLED = "mteb"
"""The source whose figures are of many systems, none of which a recipe names."""


class Figure(NamedTuple):
    """A published score."""

    system: str
    measure: str
    value: float
    tolerance: float
    source: str


class Row(NamedTuple):
    """A score of this machine beside a published one."""

    recipe: str
    figure: Figure
    measured: float

    @property
    def difference(self) -> float:
        """Measured minus published."""
        return self.measured - self.figure.value

    @property
    def holds(self) -> bool:
        """Whether the difference is as small as the figure's decimals and software allow."""
        return abs(self.difference) <= self.figure.tolerance


class Report(NamedTuple):
    """The rows, the results they are from, and the Markdown file."""

    rows: list[Row]
    path: Path

    @property
    def passed(self) -> bool:
        """Whether every figure holds."""
        return all(row.holds for row in self.rows)


def run(
    recipes: list[str],
    data: str,
    lang: str,
    store: Store,
    out: Path,
    command: str,
    quiet: bool = False,
    figures: Path | None = None,
) -> Report:
    """Fetch a language and the models, run the recipes, compare, and write results and report into ``out``.

    Args:
        data: the data set; published figures are of ``miracl``.
        figures: a folder that holds ``published``; the packaged one if None.

    Raises:
        UsageError: nobody published figures of a recipe in this language.
        DataError, SetupError, StepError: something could not be fetched, or a step failed.
    """
    known = {name: published(recipe.load(name, []), lang, figures or registry.resource("results")) for name in recipes}
    if without := [name for name, found in known.items() if not found]:
        raise UsageError(
            f"results/published has no figures of {', '.join(without)} in '{lang}'",
            mend="choose another language or encoder: recipes name theirs under `published.systems`",
        )
    plans = plan_all(recipes, data, lang, "dev", [], store, fetch=True, quiet=quiet)
    written, error = run_plans(plans, store, out, command, quiet)
    if error:
        raise error
    measured = [result for _, result in written]
    rows = [
        Row(result.system.name, figure, result.languages[lang].scores[figure.measure].value)
        for result, found in zip(measured, known.values(), strict=True)
        for figure in found
    ]
    path = out / "acceptance.md"
    write_atomically(path, markdown(rows, measured, lang, command))
    return Report(rows, path)


def published(of: Recipe, lang: str, root: Path) -> list[Figure]:
    """Return the figures of the systems that a recipe reproduces on the whole of MIRACL's dev topics.

    Of two versions of Pyserini that of the installed engine counts.
    """
    names = of.published.systems if of.published else ()
    files = [path for path in results.published_files(root) if path.parent.name != POOLED]
    found = [
        (path.parent.name, result)
        for path, result in ((path, results.read(path)) for path in files)
        if result.system.name in names and lang in result.languages
        if (result.dataset, result.split, result.evaluated.corpus_variant) == ("miracl", "dev", "full")
    ]
    engine = f"Pyserini {(environment.package_version('pyserini') or '').partition('.')[0]}."
    same = [one for one in found if (one[1].evaluated.software or engine).startswith(engine)]
    sources = {source for source, _ in same}
    kept = [one for one in found if one in same or one[0] not in sources]
    return list(dict.fromkeys(figure for source, result in kept for figure in _figures(of, source, result, lang)))


def _figures(of: Recipe, source: str, result: Result, lang: str) -> Iterator[Figure]:
    tolerance = TOLERANCE if source == PYSERINI else OF_PAPERS
    named = result.evaluated.software or SOURCES[source].short
    for measure, cell in result.languages[lang].scores.items():
        if measure in of.evaluation.measures:
            yield Figure(result.system.name, measure, cell.value, tolerance, f"{named}, {cell.table or source}")


def markdown(rows: list[Row], measured: list[Result], lang: str, command: str) -> str:
    """Return the report."""
    record = measured[0].languages[lang].dataset
    assert record is not None  # a measured result has it
    held = sum(row.holds for row in rows)
    lines = [
        f"# Acceptance of mdrbench {__version__}",
        "",
        f"**{held} of {len(rows)} published figures hold.** {measured[0].dataset}, {lang}, dev: {record.topics} "
        f"topics, {record.passages} passages (fingerprint {record.fingerprint[:16]}). Command: `{command}`",
        "",
        "| recipe | measure | measured | published | difference | allowed | holds | source |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row.recipe} | {row.figure.measure} | {row.measured:.4f} | {row.figure.value:.4f} "
            f"| {row.difference:+.4f} | {row.figure.tolerance:.4f} | {'yes' if row.holds else '**no**'} "
            f"| {row.figure.source} |"
            for row in rows
        ),
    ]
    for result in measured:
        conventions = json.dumps(result.languages[lang].conventions, ensure_ascii=False, sort_keys=True)
        keys = ", ".join(f"{stage} {step.key[:12]}" for stage, step in result.languages[lang].steps.items())
        lines += ["", f"## {result.system.name}", "", f"Steps: {keys}", "", f"Conventions: `{conventions}`"]
    described = json.dumps(environment.describe(), indent=1, ensure_ascii=False)
    return "\n".join([*lines, "", "## Environment", "", "```json", described, "```", ""])
