"""The public Python API: the same results as the command line, and an import that stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.project import PROJECT

import mdrbench

BM25 = PROJECT / "results" / "sample" / "bm25.json"
ME5 = PROJECT / "results" / "sample" / "me5-small.json"


def test_the_import_is_light_and_names_what_is_public():
    script = (
        "import sys, mdrbench; print(sorted(mdrbench.__all__)); "
        "print([m for m in ('numpy', 'pydantic', 'torch', 'typer', 'yaml') if m in sys.modules]); print(mdrbench.run)"
    )
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    public, heavy, run = done.stdout.splitlines()
    assert public == str(sorted(mdrbench.__all__))
    assert heavy == "[]"
    assert run.startswith("<function run")


def test_every_public_name_is_there_and_no_other():
    for name in mdrbench.__all__:
        assert getattr(mdrbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = mdrbench.runn
    assert {*mdrbench.__all__} <= {*dir(mdrbench)}


def test_run_writes_the_result_of_the_command_line(cli, tmp_path):
    store = tmp_path / "store"
    results = mdrbench.run("bm25", data="sample", langs=["sw"], results=tmp_path / "api", cache=store, quiet=True)
    words = ("run", "bm25", "--data", "sample", "--langs", "sw", "--split", "dev")
    done = cli(*words, "--results", tmp_path / "cli", "-q")
    assert done.returncode == 0, done.stderr
    assert results.paths == (tmp_path / "api" / "sample" / "bm25.json",)
    assert json.loads(results.paths[0].read_text()) == json.loads((tmp_path / "cli/sample/bm25.json").read_text())
    assert results[0].languages["sw"].command == " ".join(["mdrbench", *words])


def test_overrides_make_a_variant(tmp_path):
    overrides = {"retriever.b": 1, "retriever.thai": "pythainlp"}
    where = {"results": tmp_path / "results", "cache": tmp_path / "store", "quiet": True}
    [result] = mdrbench.run("bm25", data="sample", langs="sw", overrides=overrides, **where)
    assert result.system.overrides == ["retriever.b=1", "retriever.thai=pythainlp"]
    assert result.system.recipe["retriever"]["b"] == 1.0


def test_a_frame_holds_every_score_with_its_interval():
    results = mdrbench.load_results(PROJECT / "results", dataset="sample", split="dev")
    frame = results.to_frame()
    assert list(frame.columns) == list(mdrbench.ScoreRow._fields)
    assert len(frame) == len(results.rows())
    chosen = frame.query("system == 'bm25' and language == 'sw' and measure == 'nDCG@10'")
    cell = json.loads(BM25.read_text())["languages"]["sw"]["scores"]["nDCG@10"]
    assert chosen[["value", "low", "high"]].to_numpy().tolist() == [[cell["value"], cell["low"], cell["high"]]]
    [average] = frame.query("system == 'bm25' and scope == 'average' and measure == 'nDCG@10'").language
    assert average == "16-language average"


def test_a_result_set_is_a_sequence_with_paths():
    results = mdrbench.load_results(PROJECT / "results", dataset="sample")
    assert BM25 in results.paths
    assert len(results[1:]) == len(results) - 1
    assert results[1:].paths == results.paths[1:]
    assert [result.dataset for result in results] == ["sample"] * len(results)


def test_published_figures_are_loaded_when_asked_for():
    measured = mdrbench.load_results(PROJECT / "results")
    every = mdrbench.load_results(PROJECT / "results", published=True)
    assert {result.kind for result in measured} == {"measured"}
    assert {result.kind for result in every} == {"measured", "published"}
    assert any(row.kind == "published" and row.low is None for row in every.rows())


def test_compare_gives_the_numbers_of_the_command_line(cli):
    comparison = mdrbench.compare(BM25, ME5, "MRR@10")
    shown = json.loads(cli("compare", BM25, ME5, "--measure", "MRR@10", "--json").stdout)
    assert [row.test._asdict() for row in comparison.languages] == [row["test"] for row in shown["languages"]]
    assert comparison.average._asdict() == shown["average"]
    by_name = mdrbench.compare("sample/bm25", "sample/me5-small", "MRR@10", results=PROJECT / "results")
    assert by_name == comparison


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        (lambda: mdrbench.run(data="sample"), 2, "needs a recipe"),
        (lambda: mdrbench.run("bm52", data="sample"), 2, "did you mean 'bm25'"),
        (lambda: mdrbench.load_results("nowhere"), 3, "nowhere"),
        (lambda: mdrbench.compare("a", "b"), 2, "'a'"),
        (lambda: mdrbench.compare(BM25, ME5, test="wilcoxn"), 2, "the test 'wilcoxn' is unknown.*'wilcoxon'"),
        (lambda: mdrbench.compare(BM25, ME5, correction="holmes"), 2, "the correction 'holmes' is unknown.*'holm'"),
        (lambda: mdrbench.compare(BM25, ME5, family="language"), 2, "the family 'language' is unknown.*'languages'"),
    ],
)
def test_mistakes_are_errors_of_mdrbench(call, code, text):
    with pytest.raises(mdrbench.MdrbenchError, match=f"(?s){text}") as caught:
        call()
    assert caught.value.exit_code == code
