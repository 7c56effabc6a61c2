"""The figures that the calibration from pool to full corpus is fitted to: those without a contradiction."""

from __future__ import annotations

from mdrbench.results.audit.findings import Finding, wrong_cells
from mdrbench.results.audit.rows import PublishedRow
from mdrbench.results.pool_to_full import Point

POOL = "hard-negatives"
"""The pool that is used: in v2 models that take an instruction get another one than in most full-corpus runs."""


def points(rows: list[PublishedRow], findings: list[Finding]) -> list[Point]:
    """Return the pairs of figures of mteb's models that have both, without the cells of any error."""
    wrong = wrong_cells(findings)
    pools = {(r.system, r.revision): r for r in rows if r.source == "mteb" and r.corpus_variant == POOL}
    pairs = [(r, pools[r.system, r.revision]) for r in rows if not r.is_pool and (r.system, r.revision) in pools]
    return [
        Point(full.system, lang, pool.main[lang], figure)
        for full, pool in pairs
        for lang, figure in full.main.items()
        if lang in pool.main and wrong.isdisjoint({(full.id, lang), (pool.id, lang)})
    ]
