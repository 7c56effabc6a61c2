"""A site with every kind of row, built once, and pages of it in headless Chromium."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROJECT
from site_pages import save

from mdrbench import running, site
from mdrbench.languages import ALL
from mdrbench.store import Store

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def submitted(name: str, value: float, langs) -> dict:
    """An outside system's result; with two of three languages it is incomplete."""
    cells = {lang: {"scores": {"nDCG@10": {"value": value}}} for lang in langs}
    return {
        "schema_version": 1, "kind": "measured", "dataset": "sample", "split": "dev",
        "system": {
            "name": name, "summary": "handed in",
            "submission": {"submitted_at": "2026-01-01", "runs": {}, "size": "1.5B", "license": "MIT"},
        },
        "evaluated": {
            "measures": ["nDCG@10"], "depth": 100,
            "tie_rule": "float32 score descending, then docid descending (trec_eval)",
            "denominator": "all judged topics (trec_eval -c)", "corpus_variant": "full",
        },
        "languages": cells,
        "averages": [{"label": "x", "languages": list(langs), "scores": {"nDCG@10": {"value": value}}}],
    }  # fmt: skip


def make_site(folder: Path) -> Path:
    """BM25 and a variant on the sample, an incomplete submission, 100 synthetic systems, the published figures."""
    sys.path.insert(0, str(PROJECT / "benchmarks"))
    import report

    results, store = folder / "results", Store(folder / "store")
    for changes in ([], ["retriever.k1=1.6"]):
        plans = running.plan_all(["bm25"], "sample", "all", "dev", changes, store)
        _, error = running.run_plans(plans, store, results, "mdrbench run bm25", True)
        assert error is None
    save(results, submitted("theirs <b>", 0.5, ALL[:2]), "theirs", "sample")
    report.write_results(results, results=100, collections=1, topics=20)
    return site.build(results, folder / "public").parent


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The folder of the site."""
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture
def open_page(browser, built) -> Iterator:
    """``open_page("miracl/index.html", width=390, ...)``: a page of the site; an error in its scripts, a request to
    another place than the disk, or a warning of the browser fails the test."""
    contexts, troubles = [], []

    def at(address: str, *, width: int = 1400, height: int = 1000, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"{address}: {error}"))
        page.on("console", lambda said: troubles.append(f"{address}: {said.text}") if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else troubles.append(asked.url),
        )
        path, mark, rest = address.partition("#")
        page.goto((built / path).as_uri() + mark + rest)
        return page

    yield at
    for context in contexts:
        context.close()
    assert troubles == []
