from __future__ import annotations

import csv
import gc
import gzip
import hashlib
import json
import math
import os
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from threading import Thread

import numpy as np
import pytest
from markupsafe import Markup, escape
from scipy import stats
from support.project import PROJECT
from support.results import measured
from support.site_pages import Parsed, save, save_topics

from mdrbench import site
from mdrbench.commands.mteb import imported
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.languages import ALL
from mdrbench.evaluation import statistics
from mdrbench.site.engine import keeping, parallel
from mdrbench.site.engine.page import slug
from mdrbench.site.engine.rendering import Templates, escaped
from mdrbench.site.engine.serving import Site
from mdrbench.site.model import board, scores, significance, standings, traits
from mdrbench.site.pages import downloads
from mdrbench.site.pages.about_pages import FRONT

EVIL = "<script>alert(1)</script>"


def standing(root, tmp_path, dataset="tiny", measure="nDCG@10", split="dev"):
    [collection] = [c for c in board.load(root).collections if (c.name, c.split) == (dataset, split)]
    return standings.of(collection, measure, scores.reader(tmp_path / "scores"), tmp_path / "memo")


def entry(name: str, values: dict[str, float], **changes) -> dict:
    """A measured result; its average is over all its languages."""
    cells = {lang: {"scores": {"nDCG@10": {"value": value}}} for lang, value in values.items()}
    mean = {"nDCG@10": {"value": math.fsum(values.values()) / len(values)}}
    averages = [{"label": "x", "languages": list(values), "scores": mean}]
    return measured(system={"name": name, "summary": ""}, languages=cells, averages=averages, **changes)


# -- who is ranked with whom -------------------------------------------------------------------------------------------


def test_systems_that_lack_a_language_of_the_average_are_listed_without_a_rank_on_it(tmp_path):
    for name, langs, value in (("few", ALL[:2], 0.9), ("low", ALL, 0.3), ("high", ALL, 0.4)):
        save(tmp_path / "results", entry(name, dict.fromkeys(langs, value)), name)
    [group] = standing(tmp_path / "results", tmp_path).groups
    assert group.label == "16-language average"
    assert [(row.name, row.complete, row.marks["average"].rank) for row in group.rows] == [
        ("high", True, 1),
        ("low", True, 2),
        ("few", False, None),
    ]
    assert [row.marks["ar"].rank for row in group.rows] == [2, 3, 1]
    page = Parsed(site.build(tmp_path / "results", tmp_path / "public").parent / "tiny" / "index.html")
    assert page.row("few")[1] == "0.900 of 2 only"


def test_equal_scores_share_a_rank(tmp_path):
    for name, value in (("a", 0.5), ("b", 0.5), ("c", 0.4)):
        save(tmp_path / "results", entry(name, {"sw": value}), name)
    [group] = standing(tmp_path / "results", tmp_path).groups
    assert [(row.name, row.marks["sw"].rank) for row in group.rows] == [("a", 1), ("b", 1), ("c", 3)]


def test_other_depths_and_other_corpora_are_groups_of_their_own(tmp_path):
    def with_corpus(name: str, fingerprint: str, value: float) -> dict:
        data = entry(name, {"sw": value})
        counts = dict.fromkeys(("passages", "topics", "judged_topics", "judgments", "positives"), 1)
        data["languages"]["sw"]["dataset"] = {"fingerprint": fingerprint, **counts, "files": {}, "warnings": {}}
        return data

    root = tmp_path / "results"
    for name, value in (("a", 0.4), ("b", 0.5)):
        save(root, with_corpus(name, "one", value), name)
    save(root, with_corpus("c", "two", 0.9), "c")
    deep = with_corpus("deep", "one", 0.95)
    deep["evaluated"]["depth"] = 1000
    save(root, deep, "deep")
    found = standing(root, tmp_path).groups
    assert [[(row.name, row.marks["sw"].rank) for row in group.rows] for group in found] == [
        [("b", 1), ("a", 2)],
        [("c", 1)],
        [("deep", 1)],
    ]
    assert found[1].note == "other passages or judgments in sw: not ranked with the systems above"
    assert found[2].note == "depth 1000: not ranked with the systems above"


def test_figures_of_a_pool_are_never_beside_those_of_the_whole_corpus(tmp_path):
    """mteb's hard-negatives task has its own pages; imported results keep the packaged figures in place."""

    def theirs(task: str, value: float) -> None:
        found = {"hf_subset": "sw", "languages": ["swa-Latn"], "main_score": value}
        folder = tmp_path / "org__model" / "abc"
        folder.mkdir(parents=True, exist_ok=True)
        result = {"task_name": task, "dataset_revision": "d", "mteb_version": "2.1.0", "scores": {"dev": [found]}}
        (folder / f"{task}.json").write_text(json.dumps(result))

    theirs("MIRACLRetrieval", 0.7)
    theirs("MIRACLRetrievalHardNegatives", 0.9)
    theirs("mdrbench-mine", 0.8)
    imported.import_results([tmp_path / "org__model"], tmp_path / "results")
    shown = {c.name: c for c in board.load(tmp_path / "results").collections if c.split == "dev"}
    assert list(shown) == ["miracl", "mine", "miracl-hard-negatives"]
    assert [e.name for e in shown["miracl-hard-negatives"].entries] == ["org/model"]
    assert shown["mine"].entries[0].cell("sw", "nDCG@10").value == 0.8
    [row] = [
        row for g in standing(tmp_path / "results", tmp_path, "miracl").groups for row in g.rows if "org" in row.name
    ]
    assert row.marks["sw"].cell.value == 0.7
    assert row.source == "mteb 2.1.0, MIRACLRetrieval at d, model revision abc"


# -- published figures -------------------------------------------------------------------------------------------------


def test_measured_and_published_rows_of_miracl_are_apart_and_cover_all_languages(tmp_path):
    save(tmp_path / "results", entry("mine", {"sw": 0.5}, dataset="miracl"), dataset="miracl")
    found = standing(tmp_path / "results", tmp_path, "miracl")
    assert found.languages == [*ALL, "de", "yo"]
    ours, theirs = found.groups
    assert [(row.name, row.marks["sw"].rank) for row in ours.rows] == [("mine", 1)]
    assert (ours.measured, theirs.measured, theirs.title) == (True, False, "Published")
    assert (theirs.rows[0].name, theirs.rows[0].marks["average"].rank) == ("BGE + boosted", 1)


def test_publications_that_differ_are_marked_with_every_figure_and_reprints_share_a_row(tmp_path):
    found = standing(PROJECT / "results", tmp_path, "miracl")
    by_place = {(d.name, d.lang): dict(d.figures) for d in found.disputes}
    pyserini, pinned = "Pyserini, miracl.yaml (2.3.0)", "Pyserini, miracl.yaml (1.6.0)"
    paper = "Huang et al. 2025, table 1"
    assert by_place["BM25", "fa"] == {pyserini: 0.3568, pinned: 0.3334, paper: 0.333}
    assert by_place["BM25", "ko"] == {pyserini: 0.4533, pinned: 0.419, paper: 0.419}
    hybrid = "bm25-mdpr-tied-pft-msmarco-hybrid"
    assert by_place[hybrid, "fa"] == {pyserini: 0.6099, pinned: 0.5935}
    assert by_place[hybrid, "ko"] == {pyserini: 0.6178, pinned: 0.6086}
    assert by_place["mDPR", "fr"] == {pyserini: 0.4352, paper: 0.425}
    assert by_place["BGE + boosted", "ru"] == {paper: 0.716, "Huang et al. 2025, table 2": 0.708}
    assert len(by_place) == 6
    [group] = found.groups
    assert [r.source for r in group.rows if r.name == "mBERT + boosted"] == [f"{paper}, table 15"]
    marked = [(r.name, lang) for r in group.rows for lang, mark in r.marks.items() if mark.disputed]
    assert sorted(marked) == sorted(
        [(n, lang) for n in ("bm25", "bm25", "BM25", hybrid, hybrid) for lang in ("fa", "ko")]
        + [("mDPR", "fr"), ("mdpr-tied-pft-msmarco", "fr"), ("BGE + boosted", "ru"), ("BGE + boosted", "ru")]
    )


def test_other_collections_link_to_the_published_figures_and_do_not_show_them(tmp_path):
    save(tmp_path / "results", measured())
    folder = site.build(tmp_path / "results", tmp_path / "public").parent
    page = Parsed(folder / "tiny" / "index.html")
    assert page.row("mine")[1:] == ["–", "0.500 1 0.400–0.600"]
    assert not any("Published" in cell for row in page.rows for cell in row)
    assert ("a", {"href": "../miracl/index.html"}) in page.tags


# -- significance ------------------------------------------------------------------------------------------------------


def p_values(*tables: np.ndarray, exact_below: float = 1.0) -> np.ndarray:
    return significance.p_values([significance.spread(table) for table in tables], exact_below)


def test_p_values_are_those_of_scipy():
    rng = np.random.default_rng(1)
    table = rng.random((5, 40))
    found = p_values(table)
    for i in range(5):
        for j in range(5):
            expected = 1.0 if i == j else stats.ttest_rel(table[i], table[j]).pvalue
            assert found[i, j] == pytest.approx(expected, rel=1e-9)


def test_the_average_of_languages_is_tested_with_their_summed_variances():
    rng = np.random.default_rng(2)
    tables = [rng.random((2, n)) for n in (30, 12)]
    differences = [table[0] - table[1] for table in tables]
    parts = [d.var(ddof=1) / len(d) / 4 for d in differences]
    t = np.mean([d.mean() for d in differences]) / math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(part**2 / (len(d) - 1) for part, d in zip(parts, differences, strict=True))
    assert p_values(*tables)[0, 1] == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-9)


def test_differences_that_do_not_vary_get_the_p_value_of_the_sign_test():
    table = np.array([[0.5, 0.25], [0.5, 0.25], [0.75, 0.5]])
    assert p_values(table).tolist() == [[1, 1, 0.5], [1, 1, 0.5], [0.5, 0.5, 1]]


def test_which_pairs_differ_is_holms_correction_over_all_pairs():
    rng = np.random.default_rng(3)
    p = p_values(rng.random((6, 25)) + np.linspace(0, 0.5, 6)[:, None])
    pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    adjusted = statistics.holm([p[pair] for pair in pairs])
    found = significance.differ(p)
    assert [bool(found[pair]) for pair in pairs] == [value < 0.05 for value in adjusted]
    assert 0 < sum(found[pair] for pair in pairs) < len(pairs)


@pytest.mark.parametrize("seed", range(5))
def test_p_values_that_cannot_matter_are_left_out_and_no_letter_changes(seed):
    rng = np.random.default_rng(seed)
    tables = [rng.random((12, n)) + np.linspace(0, 0.4, 12)[:, None] for n in (9, 30)[: 1 + seed % 2]]
    whole, short = p_values(*tables), p_values(*tables, exact_below=significance.LEVEL)
    assert (short == np.where(whole < significance.LEVEL, whole, short)).all()
    assert (short[whole >= significance.LEVEL] >= significance.LEVEL).all()
    assert (significance.differ(short) == significance.differ(whole)).all()
    assert (short == 1).sum() > (whole == 1).sum()


def test_letters_of_a_known_case():
    """A and B alike, B and C alike, A and C not; D differs from all (Piepho's chain)."""
    alike = np.eye(4, dtype=bool)
    alike[0, 1] = alike[1, 0] = alike[1, 2] = alike[2, 1] = True
    assert [significance.spelled(x) for x in significance.letters(~alike, [0, 1, 2, 3])] == ["a", "ab", "b", "c"]
    assert [significance.spelled(x) for x in significance.letters(~alike, [3, 2, 1, 0])] == ["c", "bc", "b", "a"]
    assert significance.spelled([0, 1, 2, 4]) == "a–ce"
    assert significance.spelled([25, 26]) == "za1"


@pytest.mark.parametrize("seed", range(20))
def test_two_systems_share_a_letter_exactly_when_they_do_not_differ(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 25))
    upper = np.triu(rng.random((size, size)) < rng.random(), 1)
    differing = upper | upper.T
    found = [set(groups) for groups in significance.letters(differing, rng.permutation(size).tolist())]
    shared = np.array([[bool(a & b) for b in found] for a in found])
    assert (shared == ~differing).all()


def test_topic_scores_are_read_once_and_kept_and_what_is_half_written_is_read_anew(tmp_path):
    root, cache = tmp_path / "results", tmp_path / "scores"
    for name, values in (("mine", [0.25, 1.0, 0.1]), ("yours", [0.5, 0.0, 1 / 3])):
        data = entry(name, {"sw": 0.5, "fi": 0.5})
        data["languages"]["sw"]["files"] = {"topics": save_topics(root, name, "sw", values)}
        save(root, data, name)

    def read():
        entries = next(c for c in board.load(root).collections if c.name == "tiny").measured
        reader = scores.ScoreReader(cache)
        reader.read_all(entries)
        assert [reader.read(entry, "fi") for entry in entries] == [None, None]
        found = [reader.read(entry, "sw") for entry in entries]
        assert found[0].qids is found[1].qids
        assert found[0].queries(["q0", "q2"]) == {"q0": "where", "q2": "where"}
        return [one.of("nDCG@10").tolist() for one in found]

    assert read() == [[0.25, 1.0, 0.1], [0.5, 0.0, 1 / 3]]
    kept = sorted(cache.iterdir())
    assert len(kept) == 2
    kept[0].write_bytes(kept[0].read_bytes()[:-3])
    kept[1].write_bytes(b"nothing")
    assert read() == [[0.25, 1.0, 0.1], [0.5, 0.0, 1 / 3]]
    assert read() == [[0.25, 1.0, 0.1], [0.5, 0.0, 1 / 3]]


def test_what_no_build_uses_any_more_is_dropped_from_the_cache(tmp_path):
    root, out, cache = tmp_path / "results", tmp_path / "public", tmp_path / ".public.cache"
    data = measured()
    save(root, data)
    site.build(root, out)
    kept = [path for path in cache.rglob("*") if path.is_file()]
    used, abandoned = next(path for path in kept if path.parent == cache / "scores"), cache / "memo" / "old.json"
    keeping.keep(abandoned, b"{}")
    for path in (used, abandoned):
        os.utime(path, (0, time.time() - keeping.UNUSED - 60))
    data["system"]["summary"] = "other words"
    save(root, data)
    site.build(root, out)
    assert used.exists()
    assert not abandoned.exists()


HEAD = b"qid\tnDCG@10\tquery\n"


@pytest.mark.parametrize("table", [HEAD + b"q0\t0.5\n", HEAD + b'q0\thigh\t"x"\n', HEAD + b"\xff"])
def test_a_table_that_is_none_is_told_and_the_old_site_stays(table, tmp_path):
    root, file = tmp_path / "results", tmp_path / "results" / "tiny" / "mine" / "sw-dev.topics.tsv.gz"
    save(root, measured(), "old")
    before = tree(site.build(root, tmp_path / "public").parent)
    data = entry("mine", {"sw": 0.5})
    record = save_topics(root, "mine", "sw", [0.5])
    file.write_bytes(packed := gzip.compress(table))
    record |= {"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}
    data["languages"]["sw"]["files"] = {"topics": record}
    save(root, data, "mine")
    with pytest.raises(DataError, match=r"sw-dev\.topics\.tsv\.gz"):
        site.build(root, tmp_path / "public")
    assert tree(tmp_path / "public") == before
    assert gc.isenabled()  # it is off while a site is built


def test_letters_come_from_topic_files_and_a_changed_file_is_an_error(tmp_path):
    root, rng = tmp_path / "results", np.random.default_rng(0)
    base = rng.random(60) * 0.5
    for name, values in (("best", base + 0.4), ("tied", rng.permutation(base) + 0.39), ("worse", base)):
        data = entry(name, {"sw": float(np.mean(values))})
        data["languages"]["sw"]["files"] = {"topics": save_topics(root, name, "sw", values.tolist())}
        save(root, data, name)
    save(root, entry("untested", {"sw": 0.1}), "untested")
    [group] = standing(root, tmp_path).groups
    marks = {row.name: row.marks["sw"] for row in group.rows}
    assert {name: mark.letters for name, mark in marks.items()} == {
        "best": "a", "tied": "a", "worse": "b", "untested": "",
    }  # fmt: skip
    assert [name for name, mark in marks.items() if mark.top] == ["best", "tied"]
    assert {name: row.marks["average"].letters for name, row in zip(marks, group.rows, strict=True)}["tied"] == "a"
    file = root / "tiny" / "tied" / "sw-dev.topics.tsv.gz"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(DataError, match="is not the file the result was recorded with"):
        site.build(root, tmp_path / "public")


# -- traits, addresses, downloads --------------------------------------------------------------------------------------


def test_family_size_and_licence_come_from_recipe_submission_or_name():
    def of(**system) -> traits.Traits:
        data = measured(system={"name": "x", "summary": "", **system})
        return traits.of(board.Entry(board.Result.model_validate(data), PROJECT, "x"))

    dense = {"name": "dense", "encoder": {"name": "transformer", "model": "me5-small"}}
    assert of(recipe={"retriever": {"name": "bm25"}}) == ("bm25", 0, "no model")
    assert of(recipe={"retriever": dense}) == ("dense", 118, "MIT")
    assert of(recipe={"retriever": dense, "training": {"epochs": 1}}).family == "dense, trained"
    both = {"name": "hybrid", "of": {"a": {"name": "bm25"}, "b": dense}}
    assert of(recipe={"retriever": both}) == ("hybrid", 118, "MIT")
    theirs = {"submitted_at": "2026-01-01", "runs": {}, "size": "1.5B parameters", "license": "Apache-2.0"}
    assert of(submission=theirs) == ("submitted", 1500, "Apache-2.0")
    assert of() == traits.UNKNOWN
    assert (traits.script("fa"), traits.resources("sw"), traits.resources("xx")) == ("Arabic", "low", "not known")


def test_downloads_hold_the_table_in_four_forms(tmp_path):
    root = tmp_path / "results"
    save(root, entry("a_b & c", {"sw": 0.5, "fi": 0.25}), "a")
    save(root, entry("=cmd|x", {"sw": 0.4}), "b")
    found = standing(root, tmp_path)
    rows = list(csv.DictReader(downloads.as_csv(found).splitlines()))
    assert [(row["system"], row["average_over"], row["average"], row["fi"]) for row in rows] == [
        ("a_b & c", "2", "0.375", "0.25"),
        ("'=cmd|x", "1", "0.4", ""),
    ]
    whole = json.loads(downloads.as_json(found))
    assert whole["systems"][0]["scores"]["sw"] == {"value": 0.5, "rank": 1}
    assert whole["systems"][1]["scores"]["average"] == {"value": 0.4}
    assert r"a\_b \& c & \textbf{0.375} & \textbf{0.250} & \textbf{0.500} \\" in downloads.as_latex(found)
    assert r"=cmd|x & -- & -- & 0.400 \\" in downloads.as_latex(found)
    assert r"| =cmd\|x | measured | – | – | 0.400 |" in downloads.as_markdown(found)


# -- building ----------------------------------------------------------------------------------------------------------


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
def test_a_malformed_result_stops_the_report_and_leaves_the_old_site(tmp_path, change, said):
    save(tmp_path / "results", measured())
    out = site.build(tmp_path / "results", tmp_path / "public").parent
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    save(tmp_path / "results", measured(**change), name="broken")
    with pytest.raises(DataError, match=said):
        site.build(tmp_path / "results", tmp_path / "public")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [".public.cache", "public", "results"]


def test_the_same_results_give_the_same_bytes_wherever_they_lie(tmp_path):
    found = []
    for name in ("one", "another"):
        save(tmp_path / name / "results", measured())
        out = site.build(tmp_path / name / "results", tmp_path / name / "public").parent
        found.append({p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert found[0].keys() == found[1].keys()
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []


def test_nothing_is_done_where_nothing_changed(tmp_path):
    path = save(tmp_path / "results", measured())
    page = site.build(tmp_path / "results", tmp_path / "public")
    made = page.stat().st_ino
    assert site.build(tmp_path / "results", tmp_path / "public").stat().st_ino == made
    path.write_text(path.read_text() + "\n")
    assert site.build(tmp_path / "results", tmp_path / "public").stat().st_ino != made


def tree(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_pages_of_collections_that_did_not_change_are_taken_over_and_nothing_differs_from_a_fresh_site(tmp_path):
    root, out = tmp_path / "results", tmp_path / "public"
    parent = {"name": "parent", "summary": "", "recipe": {"name": "parent", "retriever": {"name": "bm25"}}}
    recipe = {"name": "child", "extends": "parent", "retriever": {"name": "bm25", "k1": 2}}
    child = {"name": "child", "summary": "", "recipe": recipe}
    save(root, measured(), "mine", "tiny")
    save(root, measured(dataset="heir", system=child), "child", "heir")
    save(root, measured(dataset="other", system=parent), "parent", "other")
    site.build(root, out)
    before = {name: (out / name / "index.html").stat().st_ino for name in ("tiny", "heir", "other")}
    parent["recipe"]["retriever"]["k1"] = 1
    save(root, measured(dataset="other", system=parent), "parent", "other")
    site.build(root, out)
    made = {name for name, inode in before.items() if (out / name / "index.html").stat().st_ino != inode}
    assert made == {"other", "heir"}  # a page of heir shows what its recipe changes in other's
    assert tree(out) == tree(site.build(root, tmp_path / "anew" / "public").parent)


@pytest.mark.parametrize(
    "value", ["0.512", "<b>", "a&b", '"', "'", "", "é", Markup("<i>x</i>"), Markup("x") + "<", 3, True, 0.5, None]
)
def test_templates_escape_as_markupsafe_does(value):
    assert escaped(value) == escape(value)
    assert Templates(autoescape=True).from_string("{{ value }}").render(value=value) == escape(value)


def test_work_over_the_cores_is_that_of_one_process_and_its_errors_are_told():
    called: list[int] = []
    squares = parallel.each(lambda n: n * n, range(100), meanwhile=lambda: called.append(os.getpid()))
    assert squares == [n * n for n in range(100)]
    assert called == [os.getpid()]

    def refuse(number: int) -> None:
        raise DataError("is broken", where=str(number))

    with pytest.raises(DataError, match="is broken"):
        parallel.each(refuse, range(100))


def test_documents_are_pages_and_every_internal_link_leads_somewhere(tmp_path):
    save(tmp_path / "results", measured())
    out = site.build(tmp_path / "results", tmp_path / "public").parent
    assert all((out / f"{name}.html").is_file() for name in FRONT)
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
    with pytest.raises(UsageError, match="not empty and no site"):
        site.build(tmp_path / "results", tmp_path / "public")
    assert (tmp_path / "public" / "thesis.tex").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["public", "results"]


# -- serving -----------------------------------------------------------------------------------------------------------


@contextmanager
def serving(tmp_path, watch: bool):
    with Site(tmp_path / "results", tmp_path / "public", (), 0, watch) as server:
        thread = Thread(target=server.run, daemon=True)
        thread.start()
        yield server
        server.stop()
        thread.join(10)


def fetch(address: str, **headers: str) -> str:
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode("utf-8")


def test_serve_answers_this_machine_only_and_builds_again_when_results_change(tmp_path, monkeypatch):
    monkeypatch.setattr("mdrbench.site.engine.serving.PAUSE", 0.05)
    save(tmp_path / "results", measured())
    with serving(tmp_path, watch=True) as server:
        assert server.address.startswith("http://127.0.0.1:")
        assert "/reload.js" in fetch(server.address)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(server.address, Host="evil.example")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(f"{server.address}docs/")
        before = fetch(f"{server.address}.mdrbench-site")
        save(tmp_path / "results", measured(schema_version=9), name="broken")
        save(tmp_path / "results", measured(system={"name": "later", "summary": ""}), name="broken")
        deadline = time.monotonic() + 60
        while fetch(f"{server.address}.mdrbench-site") == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "later" in fetch(f"{server.address}tiny/index.html")
        with pytest.raises(SetupError, match="cannot be had"):
            Site(tmp_path / "results", tmp_path / "public", (), int(server.address.split(":")[2][:-1]), False)
