"""Printed averages that do not follow from their cells, and averages over other languages than the task's."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.results.audit.findings import Figure, Finding, three
from mdrbench.results.audit.rows import MAIN, PublishedRow

ROUNDING = 0.0005
"""Half of the last digit of an average that is printed in three decimals."""


def findings(rows: list[PublishedRow]) -> Iterator[Finding]:
    """Check every average of every row."""
    for row in rows:
        yield from _printed(row)
        yield from _covered(row)


def _printed(row: PublishedRow) -> Iterator[Finding]:
    for measure, languages, printed in row.averages:
        mean = fmean(row.scores[measure][lang] for lang in languages)
        if abs(mean - printed) > ROUNDING + 1e-9:
            yield Finding(
                rule="average-not-from-cells",
                kind="disagreement",
                system=row.system,
                collection=row.collection,
                measure=measure,
                reason=f"printed average {three(printed)}, mean of the {len(languages)} printed cells {mean:.5f}",
                figures=(Figure(printed, row.origin), Figure(round(mean, 6), "mean of the cells")),
                rows=(row.id,),
            )


def _covered(row: PublishedRow) -> Iterator[Finding]:
    """mteb's own average of a task is over the languages that a file has; the task has 18."""
    task = (*ALL, *SURPRISE)
    if row.source != "mteb" or len(row.main) == len(task):
        return
    covered = [lang for lang in task if lang in row.main]
    yield Finding(
        rule="average-of-other-languages",
        kind="not comparable",
        system=row.system,
        collection=row.collection,
        measure=MAIN,
        reason=f"mteb's average of this task covers {len(covered)} of its {len(task)} languages",
        figures=(Figure(round(fmean(row.main.values()), 6), f"mean of {', '.join(covered)}"),),
        rows=(row.id,),
    )
