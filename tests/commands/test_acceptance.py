"""The acceptance of an installation: fetch, run and compare, on a hub on this machine with a tiny model."""

from __future__ import annotations

import gzip
import json

import pytest
from support.commands import run
from support.hub_server import FakeHub
from support.project import PROJECT

from mdrbench import results
from mdrbench.commands import acceptance
from mdrbench.core.errors import UsageError
from mdrbench.core.store import Store
from mdrbench.data.access import open_dataset
from mdrbench.data.datasets import miracl
from mdrbench.hub.model_names import SHORT
from mdrbench.recipe import load

SAMPLE = open_dataset("sample")
BM25 = json.loads((PROJECT / "results/sample/bm25.json").read_text())["languages"]["sw"]["scores"]


@pytest.fixture
def fake(monkeypatch, tmp_path, tiny_model):
    """A hub with the sample's Swahili as MIRACL's, and a model of two layers as mDPR and mContriever."""
    fake = FakeHub()
    fake.commits.update({remote.repo: remote.revision for remote in (miracl.CORPUS, miracl.GATED, miracl.OPEN)})
    [corpus] = SAMPLE.corpus_files("sw")
    fake.put(miracl.CORPUS.repo, "miracl-corpus-v1.0-sw/docs-0.jsonl.gz", gzip.compress(corpus.read_bytes(), mtime=0))
    for kind, path in (("topics", SAMPLE.topics_file("sw", "dev")), ("qrels", SAMPLE.qrels_file("sw", "dev"))):
        fake.put(miracl.OPEN.repo, f"miracl-v1.0-sw/{kind}/{kind}.miracl-v1.0-sw-dev.tsv", path.read_bytes())
        fake.put(miracl.GATED.repo, f"miracl-v1.0-sw/{kind}/{kind}.miracl-v1.0-sw-dev.tsv", b"closed")
    fake.gated.add(miracl.GATED.repo)
    for short in ("mdpr", "mcontriever"):
        fake.commits[SHORT[short].repo] = SHORT[short].revision
        for path in tiny_model.iterdir():
            fake.put(SHORT[short].repo, path.name, path.read_bytes())
    with fake.running():
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("MDRBENCH_MODELS", str(tmp_path / "models"))
        monkeypatch.delenv("MDRBENCH_DATA", raising=False)
        monkeypatch.setitem(miracl.QUERIES["dev"], "sw", 12)
        yield fake


def figures(folder, values: dict[str, dict[str, float]]):
    """Pyserini's figures in Swahili with other values: system -> measure -> value."""
    for path in (PROJECT / "results/published/pyserini-2cr").glob("*-as-released-dev.json"):
        published = results.read(path)
        if (name := published.system.name) in values:
            for measure, value in values[name].items():
                published.languages["sw"].scores[measure].value = value
            to = folder / "published" / "pyserini-2cr" / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(results.dump(published))
    return folder


@pytest.mark.slow
def test_a_language_is_fetched_run_and_held_against_published_figures(fake, tmp_path):
    engine = {measure: round(BM25[measure]["value"], 4) for measure in ("nDCG@10", "Recall@100")}
    far = {"nDCG@10": 0.9999, "Recall@100": 0.1}
    root = figures(tmp_path / "figures", {"bm25": engine, "mdpr-tied-pft-msmarco": far})
    done = run(["acceptance", "--encoder", "mdpr", "--figures", str(root), "--json", "-q"], tmp_path)
    assert done.returncode == 6, done.stderr
    told = json.loads(done.stdout)
    holds = {row["recipe"]: abs(row["measured"] - row["value"]) <= row["tolerance"] == 5e-4 for row in told["rows"]}
    assert (told["passed"], holds) == (False, {"bm25": True, "mdpr": False})
    report = (tmp_path / "acceptance/acceptance.md").read_text()
    assert "**2 of 4 published figures hold.** miracl, sw, dev: 12 topics" in report
    assert f"| bm25 | nDCG@10 | {engine['nDCG@10']:.4f} | {engine['nDCG@10']:.4f} |" in report
    assert SHORT["mdpr"].revision in report
    assert "taking the open copy macavaney/miracl-noauth" in done.stderr
    assert results.read(tmp_path / "acceptance/miracl/mdpr.json").languages["sw"].dataset.topics == 12


@pytest.mark.parametrize(
    ("recipe", "pyserini", "papers"),
    [
        ("bm25", {0.3826, 0.7008}, {0.383, 0.701}),
        ("mdpr", {0.299, 0.6158}, {0.299, 0.616}),
        ("mcontriever", {0.56, 0.9108}, {0.56, 0.911}),
    ],
)
def test_the_figures_are_those_of_the_systems_that_a_recipe_names(recipe, pyserini, papers):
    found = acceptance.published(load(recipe, []), "sw", PROJECT / "results")
    assert {figure.value for figure in found if figure.tolerance == 5e-4} == pyserini
    assert {figure.value for figure in found if figure.tolerance == 5e-3} == papers


def test_the_version_of_the_engine_that_is_installed_counts(monkeypatch):
    """Pyserini 1.6.0 has .419 in Korean and 2.3.0 .4533; the paper's .419 is of 1.6.0."""
    for version, value in (("1.6.0", 0.419), ("2.4.0", 0.4533)):
        monkeypatch.setattr(acceptance.environment, "package_version", lambda name, version=version: version)
        found = acceptance.published(load("bm25", []), "ko", PROJECT / "results")
        [ndcg] = [one for one in found if one.measure == "nDCG@10" and one.tolerance == acceptance.TOLERANCE]
        assert ndcg.value == value


def test_a_recipe_without_published_figures_is_refused_before_anything_is_fetched(tmp_path):
    with pytest.raises(UsageError, match="no figures of labse in 'sw'"):
        acceptance.run(["bm25", "labse"], "miracl", "sw", Store(tmp_path), tmp_path / "out", "")
