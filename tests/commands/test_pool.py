"""A data set cut to the pool of some results."""

from __future__ import annotations

import json

import pytest
from support.folders import FolderMaker

from mdrbench import results
from mdrbench.site.model.collection import collection_name


@pytest.fixture
def lakes(cli, tmp_path):
    """A data set of 12 passages, and a result of BM25 on it."""
    maker = FolderMaker(tmp_path / "lakes")
    maker.corpus("en", [{"docid": f"{n}#0", "title": "", "text": f"lake number{n} " + "lake " * n} for n in range(12)])
    maker.split("topics", "q1\tlake number3\nq2\tnumber5\n")
    maker.split("qrels", "q1\tQ0\t3#0\t1\nq2\tQ0\t5#0\t1\nq2\tQ0\t0#0\t0\n")
    done = cli("run", "bm25", "--data", "lakes")
    assert done.returncode == 0, done.stderr
    return maker


def test_a_pool_has_the_best_hits_and_all_judged_passages_and_is_recorded(cli, lakes, tmp_path):
    done = cli("data", "pool", "--data", "lakes", "--from", "lakes/bm25", "--depth", "2", "--out", "small")
    assert done.returncode == 0, done.stderr
    corpus = (tmp_path / "small/miracl-corpus/miracl-corpus-v1.0-en/docs-0.jsonl").read_text().splitlines()
    docids = {json.loads(line)["docid"] for line in corpus}
    assert docids >= {"3#0", "5#0", "0#0"}
    assert len(docids) <= 5
    record = json.loads((tmp_path / "small/dataset.json").read_text())
    assert (record["corpus_variant"], record["origin"]["name"]) == ("pool-2", "lakes")
    assert list(record["origin"]["runs"]["en"]) == ["bm25"]
    assert "A figure on a pool is higher" in cli("data", "card", "small").stdout
    assert cli("run", "bm25", "--data", "small").returncode == 0
    result = results.read(tmp_path / "results/small/bm25.json")
    assert result.evaluated.corpus_variant == "pool-2"
    assert collection_name(result) == "small-pool-2"
    assert cli("verify", "results/small/bm25.json", "--data", "small").returncode == 0


def test_results_of_other_data_are_refused(cli, lakes, tmp_path):
    other = cli("data", "pool", "--data", "sample", "--from", "lakes/bm25", "--out", "small")
    assert other.returncode == 2
    assert "The result is of lakes (dev), not of sample (dev)" in other.stderr
    run = next((tmp_path / "results/lakes/bm25").glob("*.run.trec.gz"))
    run.write_bytes(run.read_bytes() + b"x")
    changed = cli("data", "pool", "--data", "lakes", "--from", "lakes/bm25", "--out", "small")
    assert changed.returncode == 3
    assert "en-dev.run.trec.gz: is not the file the result was recorded with" in changed.stderr
