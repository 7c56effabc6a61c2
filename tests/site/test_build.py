"""Building the site: whole or not at all, nothing if nothing changed, and errors that name every damaged file."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from support.project import PROJECT
from support.results import measured
from support.site_pages import Parsed, save, save_topics, scored, tree

from mdrbench import site
from mdrbench.core.errors import DataError, UsageError
from mdrbench.site.cache import UNUSED_SECONDS, Cache
from mdrbench.site.model.collection import slug
from mdrbench.site.pages.about import AT_ROOT

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def built_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built-once")
    save(folder / "results", measured(), "old")
    site.build(folder / "results", folder / "public")
    return folder


@pytest.fixture
def with_old_site(built_once, tmp_path):
    """A folder with ``results`` and the site that was built from them."""
    return shutil.copytree(built_once, tmp_path, dirs_exist_ok=True)


@pytest.mark.medium
def test_hostile_names_are_inert_text_everywhere(tmp_path):
    data = measured(dataset=EVIL, split="../../up", system={"name": EVIL, "summary": EVIL, "overrides": [EVIL]})
    data["languages"] = {EVIL: {"scores": {EVIL: {"value": 1e300}, "nDCG@10": {"value": 0.5}}}}
    data["evaluated"]["measures"] = [EVIL, "nDCG@10", "../x"]
    data["averages"] = [{"label": EVIL, "languages": [EVIL], "scores": {"nDCG@10": {"value": 0.5}}}]
    save(tmp_path / "results", data)
    folder = site.build(tmp_path / "results", tmp_path / "public").parent
    assert sorted(p.name for p in tmp_path.iterdir()) == [".public.cache", "public", "results"]
    for path in folder.rglob("*"):
        if path.suffix == ".html":
            scripts = [attrs for tag, attrs in Parsed(path).tags if tag == "script"]
            assert all(list(attrs) == ["src", "defer"] for attrs in scripts), path
        if path.suffix in (".html", ".js") and path.is_file():
            assert EVIL not in path.read_text(encoding="utf-8"), path
    page = Parsed(folder / slug(EVIL) / slug("../../up") / "index.html")
    assert any(EVIL in cell for row in page.rows for cell in row)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 9}, r"broken\.json: schema version 9"),
        ({"split": 3}, r"broken\.json: split: Input should be a valid string"),
        ({"colour": "red"}, r"broken\.json: colour: Extra inputs"),
    ],
)
def test_a_malformed_result_stops_the_report_and_leaves_the_old_site(with_old_site, change, said):
    root, public = with_old_site / "results", with_old_site / "public"
    before = tree(public)
    save(root, measured(**change), name="broken")
    with pytest.raises(DataError, match=said):
        site.build(root, public)
    assert tree(public) == before
    assert sorted(p.name for p in with_old_site.iterdir()) == [".public.cache", "public", "results"]


def test_a_result_without_measures_is_left_out(tmp_path, capsys):
    root = tmp_path / "results"
    save(root, scored("mine", {"sw": 0.5}))
    empty = scored("empty", {"sw": 0.5})
    empty["evaluated"]["measures"] = []
    empty["languages"]["sw"]["scores"] = {}
    save(root, empty, "empty", dataset="other")
    out = site.build(root, tmp_path / "public").parent
    assert "other/empty.json: left out, it has no measures" in capsys.readouterr().err
    assert (out / "tiny" / "systems" / "mine.html").exists()
    assert not (out / "other").exists()


def test_every_damaged_file_is_named(tmp_path):
    root = tmp_path / "results"
    save(root, measured())
    save(root, measured(split=3), name="first")
    save(root, measured(schema_version=9), name="second", dataset="other")
    (root / "tiny" / "ablations").mkdir()
    (root / "tiny" / "ablations" / "third.json").write_text("{")
    with pytest.raises(DataError) as error:
        site.build(root, tmp_path / "public")
    for name in (
        "tiny/first.json: split:",
        "other/second.json: schema version 9",
        "tiny/ablations/third.json: not a JSON",
    ):
        assert name in str(error.value)
    assert not (tmp_path / "public").exists()


def test_a_results_folder_that_does_not_exist_makes_no_site(tmp_path):
    with pytest.raises(UsageError, match="there is no results folder"):
        site.build(tmp_path / "nosuchdir", tmp_path / "public")
    assert list(tmp_path.iterdir()) == []


HEAD = b"qid\tnDCG@10\tquery\n"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (HEAD + b"q0\t0.5\n", ":2: .*2 columns, not 3"),
        (HEAD + b'q0\thigh\t"x"\n', ":2: .*not a number"),
        (HEAD + b"q0\t0.5\t[1]\n", ":2: .*not a JSON string"),
        (HEAD + b'q0\t0.5\t"\\ud800"\n', ":2: .*not a JSON string"),
        (HEAD + b"q0\t0.5\t" + b"[" * 100_000 + b"\n", ":2: .*not a JSON string"),
        (HEAD + b'q0\tnan\t"x"\n', ":2: .*not finite"),
        (HEAD + b'q0\t0.5\t"x"\nq0\t0.5\t"x"\n', ":3: .*twice"),
        (b'qid\tMRR@10\tquery\nq0\t0.5\t"x"\n', "no column for nDCG@10"),
        (b"something else\n", ":1: .*header"),
        (b"", ":1: .*empty"),
        (HEAD + b"\xff", ":2: not UTF-8"),
    ],
)
def test_a_malformed_topic_table_is_an_error_and_the_old_site_stays(table, said, with_old_site):
    root, public = with_old_site / "results", with_old_site / "public"
    file = root / "tiny" / "mine" / "sw-dev.topics.tsv.gz"
    before = tree(public)
    data = scored("mine", {"sw": 0.5})
    record = save_topics(root, "mine", "sw", [0.5])
    file.write_bytes(packed := gzip.compress(table))
    record |= {"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}
    data["languages"]["sw"]["files"] = {"topics": record}
    save(root, data, "mine")
    with pytest.raises(DataError, match=rf"sw-dev\.topics\.tsv\.gz{said}" if said[0] == ":" else said):
        site.build(root, public)
    assert tree(public) == before


def test_the_cache_returns_what_was_made_and_makes_damaged_and_unused_files_again(tmp_path):
    cache, calls = Cache(tmp_path), []

    def make():
        calls.append(len(calls))
        return {"calls": len(calls)}

    assert [cache.get("kind", ["source"], make) for _ in range(2)] == [{"calls": 1}] * 2
    assert cache.get("kind", ["other source"], make) == {"calls": 2}
    for file in tmp_path.iterdir():
        file.write_bytes(b'{"cal')
    assert cache.get("kind", ["source"], make) == {"calls": 3}
    for file in tmp_path.iterdir():
        os.utime(file, (0, time.time() - UNUSED_SECONDS - 60))
    cache.get("kind", ["source"], make)
    cache.drop_unused()
    assert len(list(tmp_path.iterdir())) == 1
    assert cache.get("kind", ["source"], make) == {"calls": 3}


@pytest.mark.medium
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_build_that_is_stopped_leaves_the_old_site_and_nothing_beside_it(tmp_path, number, code):
    save(tmp_path / "results", measured())
    before = tree(site.build(tmp_path / "results", tmp_path / "public").parent)
    save(tmp_path / "results", measured(), "another")
    script = (
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mdrbench.site.engine import render\n"
        "render.Renderer.render = lambda *_: (print('rendering', flush=True), time.sleep(60))\n"
        "from mdrbench.cli import main; sys.argv[1:] = ['report', '--results', 'results', '--out', 'public']; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout.readline() == b"rendering\n"
        run.send_signal(number)
        run.communicate(timeout=300)
    assert run.returncode == code
    assert tree(tmp_path / "public") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [".public.cache", "public", "results"]
    assert not [path for path in (tmp_path / ".public.cache").iterdir() if path.is_dir()]


@pytest.mark.medium
def test_the_same_results_give_the_same_bytes_wherever_they_lie(tmp_path):
    found = []
    for name in ("one", "another"):
        save(tmp_path / name / "results", measured())
        out = site.build(tmp_path / name / "results", tmp_path / name / "public").parent
        found.append(tree(out))
    assert found[0].keys() == found[1].keys()
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []


def test_nothing_is_done_where_nothing_changed(tmp_path):
    path = save(tmp_path / "results", measured())
    page = site.build(tmp_path / "results", tmp_path / "public")
    made = page.stat().st_ino
    assert site.build(tmp_path / "results", tmp_path / "public").stat().st_ino == made
    path.write_text(path.read_text() + "\n")
    assert site.build(tmp_path / "results", tmp_path / "public").stat().st_ino != made


@pytest.mark.medium
def test_documents_are_pages_and_every_internal_link_leads_somewhere(tmp_path):
    save(tmp_path / "results", measured())
    out = site.build(tmp_path / "results", tmp_path / "public").parent
    assert all((out / f"{name}.html").is_file() for name in AT_ROOT)
    pages = {path: Parsed(path) for path in sorted(out.rglob("*.html"))}
    ids = {path: {attrs["id"] for _, attrs in page.tags if attrs.get("id")} for path, page in pages.items()}
    for path, page in pages.items():
        assert len(ids[path]) == sum("id" in attrs for _, attrs in page.tags), f"an id twice in {path}"
        for tag, attrs in page.tags:
            link = attrs.get("href") or attrs.get("src")
            if not link or link.startswith(("https:", "http:", "data:")):
                assert tag == "a" or not link, f"{path} loads {link}"
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), f"{path}: {link}"
            if anchor and target in ids and "=" not in anchor:
                assert anchor in ids[target], f"{path}: {link}"


def test_a_folder_that_is_no_site_is_never_replaced(tmp_path):
    save(tmp_path / "results", measured())
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not empty and was not created by mdrbench"):
        site.build(tmp_path / "results", tmp_path / "public")
    assert (tmp_path / "public" / "thesis.tex").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["public", "results"]
