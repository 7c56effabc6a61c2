"""A site with every kind of row."""

from __future__ import annotations

import sys
from pathlib import Path

from mdrbench import site
from mdrbench.commands.run import plan_all, run_plans
from mdrbench.core.languages import ALL
from mdrbench.core.store import Store
from support.project import PROJECT
from support.site_pages import save


def submitted(name: str, value: float, langs) -> dict:
    """Return the result of an outside system. With two of three languages it is incomplete."""
    cells = {lang: {"scores": {"nDCG@10": {"value": value}}} for lang in langs}
    return {
        "schema_version": 1, "kind": "measured", "dataset": "sample", "split": "dev",
        "system": {
            "name": name, "summary": "handed in",
            "submission": {"submitted_at": "2026-01-01", "runs": {}, "size": "1.5B", "license": "MIT"},
        },
        "evaluated": {
            "measures": ["nDCG@10"], "depth": 100,
            "tie_rule": "float32 score descending, then docid descending (trec_eval 9)",
            "denominator": "all judged topics (trec_eval -c)", "corpus_variant": "full",
        },
        "languages": cells,
        "averages": [{"label": "x", "languages": list(langs), "scores": {"nDCG@10": {"value": value}}}],
    }  # fmt: skip


def make_site(folder: Path) -> Path:
    """Write BM25 and a variant, an incomplete submission, 100 synthetic systems and the published figures."""
    sys.path.insert(0, str(PROJECT / "benchmarks"))
    import report

    results, store = folder / "results", Store(folder / "store")
    for changes in ([], ["retriever.k1=1.6"]):
        plans = plan_all(["bm25"], "sample", "all", "dev", changes, store)
        _, error = run_plans(plans, store, results, "mdrbench run bm25", True)
        assert error is None
    save(results, submitted("theirs <b>", 0.5, ALL[:2]), "theirs", "sample")
    report.write_results(results, number_of_results=100, collections=1, topics=20)
    return site.build(results, folder / "public").parent
