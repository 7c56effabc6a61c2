"""Data sets on the command line: fetched, verified, described; the split that is kept for final figures."""

from __future__ import annotations

import json
import os
import zipfile

import pytest
from support.folders import FolderMaker
from support.project import PROJECT, WIKI16
from support.source_host import SourceHost

SOURCES_ZIP = WIKI16.parent / "wiki16-sources" / "sources.zip"


@pytest.mark.parametrize(
    ("name", "words"),
    [("wiki16", "kept for final figures"), ("miracl", "TACL 2023"), ("sample", "rank nothing")],
)
def test_data_card_prints_the_card(cli, name, words):
    done = cli("data", "card", name)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert json.loads(cli("data", "card", name, "--json").stdout)["card"] == done.stdout


def test_the_test_split_asks_for_final_and_the_result_records_it(cli, tmp_path):
    maker = FolderMaker(tmp_path / "lakes")
    maker.whole()
    maker.split("topics", "t1\tlake in Lapland\n", split="test")
    maker.split("qrels", "t1\tQ0\t2#0\t1\n", split="test")
    refused = cli("run", "bm25", "--data", "lakes", "--split", "test")
    assert refused.returncode == 2
    assert "--split: The split 'test' is kept for final figures.\n  mend: " in refused.stderr
    assert "--split test --final" in refused.stderr
    assert cli("ablate", "bm25", "--vary", "retriever.b=0.5", "--data", "lakes", "--split", "test").returncode == 2
    done = cli("run", "bm25", "--data", "lakes", "--split", "test", "--final")
    assert done.returncode == 0, done.stderr
    recorded = json.loads((tmp_path / "results/lakes/bm25.test.json").read_text())
    assert (recorded["split"], recorded["final"]) == ("test", True)
    assert "--final" in recorded["languages"]["en"]["command"]
    assert cli("verify", "results", "--data", "lakes").returncode == 0


def test_final_without_the_test_split_is_refused(cli):
    refused = cli("run", "bm25", "--data", "sample", "--final")
    assert refused.returncode == 2
    assert "add --split test, or leave out --final" in refused.stderr


def test_what_is_not_downloaded_cannot_be_fetched(cli):
    refused = cli("data", "fetch", "--data", "sample")
    assert refused.returncode == 2
    assert "The data set 'sample' cannot be downloaded." in refused.stderr


@pytest.mark.skipif(not SOURCES_ZIP.is_file(), reason="the sources of wiki16 are not beside the project")
@pytest.mark.slow
def test_a_run_on_wiki16_fetches_builds_and_verifies(cli, tmp_path):
    archive = zipfile.ZipFile(SOURCES_ZIP)
    names = set(archive.namelist())
    with SourceHost(lambda path: archive.read(path) if path in names else None).running() as url:
        places = {"MDRBENCH_SOURCES": url, "MDRBENCH_DATA": str(tmp_path / "data")}
        environment = {**os.environ, "MDRBENCH_CACHE": str(tmp_path / "store"), "PYTHONPATH": str(PROJECT), **places}
        missing = cli("plan", "bm25", "--data", "wiki16", "--langs", "bn", env=environment)
        assert missing.returncode == 3
        assert "mdrbench data fetch --data wiki16 --langs bn" in missing.stderr
        done = cli("run", "bm25", "--data", "wiki16", "--langs", "bn", env=environment)
        assert done.returncode == 0, done.stderr
        assert "wiki16 bn: built with 1,836 passages" in done.stderr
    verified = cli("verify", "results", "--data", "wiki16", "--corpus", env=environment)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert cli("data", "verify", "--data", "wiki16", env=environment).stdout == "1 languages, 0 problems\n"
    counted = cli("data", "stats", "--data", "wiki16", "--json", env=environment)
    assert json.loads(counted.stdout)["bn"]["topics"] == 71
