"""Who is ranked with whom, ranks, letters, published figures, and the tables as downloads."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from support.project import PROJECT
from support.results import measured
from support.site_pages import Parsed, model, save, save_topics, scored

from mdrbench import site
from mdrbench.commands.mteb import imported
from mdrbench.core.errors import DataError
from mdrbench.core.languages import ALL
from mdrbench.results import Result
from mdrbench.site.model import properties
from mdrbench.site.model.collection import Entry, read_collections
from mdrbench.site.model.properties import SystemProperties
from mdrbench.site.pages import downloads


def leaderboard(root, tmp_path, dataset="tiny"):
    boards = model(root, tmp_path / "cache").leaderboards
    return next(b["nDCG@10"] for c, b in boards.items() if (c.name, c.split) == (dataset, "dev"))


# -- who is ranked with whom -------------------------------------------------------------------------------------------


def test_systems_that_lack_a_language_of_the_average_are_listed_without_a_rank_on_it(tmp_path):
    for name, langs, value in (("few", ALL[:2], 0.9), ("low", ALL, 0.3), ("high", ALL, 0.4)):
        save(tmp_path / "results", scored(name, dict.fromkeys(langs, value)), name)
    [group] = leaderboard(tmp_path / "results", tmp_path).groups
    assert group.label == "16-language average"
    assert [(row.name, row.complete, row.scores["average"].rank) for row in group.rows] == [
        ("high", True, 1),
        ("low", True, 2),
        ("few", False, None),
    ]
    assert [row.scores["ar"].rank for row in group.rows] == [2, 3, 1]
    page = Parsed(site.build(tmp_path / "results", tmp_path / "public").parent / "tiny" / "index.html")
    assert page.row("few")[1] == "0.900 of 2 only"


def test_equal_scores_share_a_rank(tmp_path):
    for name, value in (("a", 0.5), ("b", 0.5), ("c", 0.4)):
        save(tmp_path / "results", scored(name, {"sw": value}), name)
    [group] = leaderboard(tmp_path / "results", tmp_path).groups
    assert [(row.name, row.scores["sw"].rank) for row in group.rows] == [("a", 1), ("b", 1), ("c", 3)]


def test_other_depths_and_other_corpora_are_groups_of_their_own(tmp_path):
    def with_corpus(name: str, fingerprint: str, value: float) -> dict:
        data = scored(name, {"sw": value})
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
    found = leaderboard(root, tmp_path).groups
    assert [[(row.name, row.scores["sw"].rank) for row in group.rows] for group in found] == [
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
    shown = {c.name: c for c in read_collections(tmp_path / "results")[0] if c.split == "dev"}
    assert list(shown) == ["miracl", "mine", "miracl-hard-negatives"]
    assert [e.name for e in shown["miracl-hard-negatives"].entries] == ["org/model"]
    assert shown["mine"].entries[0].cell("sw", "nDCG@10").value == 0.8
    [row] = [
        row for g in leaderboard(tmp_path / "results", tmp_path, "miracl").groups for row in g.rows if "org" in row.name
    ]
    assert row.scores["sw"].cell.value == 0.7
    assert row.source == "mteb 2.1.0, MIRACLRetrieval at d, model revision abc"


# -- published figures -------------------------------------------------------------------------------------------------


def test_measured_and_published_rows_of_miracl_are_apart_and_cover_all_languages(tmp_path):
    save(tmp_path / "results", scored("mine", {"sw": 0.5}, dataset="miracl"), dataset="miracl")
    found = leaderboard(tmp_path / "results", tmp_path, "miracl")
    assert found.languages == [*ALL, "de", "yo"]
    ours, theirs = found.groups
    assert [(row.name, row.scores["sw"].rank) for row in ours.rows] == [("mine", 1)]
    assert (ours.measured, theirs.measured, theirs.title) == (True, False, "Published")
    assert (theirs.rows[0].name, theirs.rows[0].scores["average"].rank) == ("BGE + boosted", 1)


def test_publications_that_differ_are_marked_with_every_figure_and_reprints_share_a_row(tmp_path):
    found = leaderboard(PROJECT / "results", tmp_path, "miracl")
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
    marked = [(r.name, lang) for r in group.rows for lang, score in r.scores.items() if score.disputed]
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


def test_letters_come_from_topic_files_and_a_changed_file_is_an_error(tmp_path):
    root, rng = tmp_path / "results", np.random.default_rng(0)
    base = rng.random(60) * 0.5
    for name, values in (("best", base + 0.4), ("tied", rng.permutation(base) + 0.39), ("worse", base)):
        data = scored(name, {"sw": float(np.mean(values))})
        data["languages"]["sw"]["files"] = {"topics": save_topics(root, name, "sw", values.tolist())}
        save(root, data, name)
    save(root, scored("untested", {"sw": 0.1}), "untested")
    [group] = leaderboard(root, tmp_path).groups
    marks = {row.name: row.scores["sw"] for row in group.rows}
    assert {name: mark.letters for name, mark in marks.items()} == {
        "best": "a", "tied": "a", "worse": "b", "untested": "",
    }  # fmt: skip
    assert [name for name, mark in marks.items() if mark.top] == ["best", "tied"]
    assert {name: row.scores["average"].letters for name, row in zip(marks, group.rows, strict=True)}["tied"] == "a"
    file = root / "tiny" / "tied" / "sw-dev.topics.tsv.gz"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(DataError, match=r"tied/sw-dev\.topics\.tsv\.gz"):
        site.build(root, tmp_path / "public")


# -- properties, downloads ---------------------------------------------------------------------------------------------


def test_family_size_and_licence_come_from_recipe_submission_or_name():
    def of(**system) -> SystemProperties:
        data = measured(system={"name": "x", "summary": "", **system})
        return properties.of_system(Entry(Result.model_validate(data), PROJECT, "x"))

    dense = {"name": "dense", "encoder": {"name": "transformer", "model": "me5-small"}}
    assert of(recipe={"retriever": {"name": "bm25"}}) == ("bm25", 0, "no model")
    assert of(recipe={"retriever": dense}) == ("dense", 118, "MIT")
    assert of(recipe={"retriever": dense, "training": {"epochs": 1}}).family == "dense, trained"
    both = {"name": "hybrid", "of": {"a": {"name": "bm25"}, "b": dense}}
    assert of(recipe={"retriever": both}) == ("hybrid", 118, "MIT")
    theirs = {"submitted_at": "2026-01-01", "runs": {}, "size": "1.5B parameters", "license": "Apache-2.0"}
    assert of(submission=theirs) == ("submitted", 1500, "Apache-2.0")
    assert of() == properties.UNKNOWN
    assert (properties.script("fa"), properties.resources("sw"), properties.resources("xx")) == (
        "Arabic",
        "low",
        "not known",
    )


def test_downloads_hold_the_table_in_four_forms(tmp_path):
    root = tmp_path / "results"
    save(root, scored("a_b & c", {"sw": 0.5, "fi": 0.25}), "a")
    save(root, scored("=cmd|x", {"sw": 0.4}), "b")
    found = leaderboard(root, tmp_path)
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
