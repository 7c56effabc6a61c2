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
    assert row.source == "mteb 2.1.0"


# -- published figures -------------------------------------------------------------------------------------------------


def test_measured_and_published_rows_of_miracl_are_apart_and_cover_all_languages(tmp_path):
    save(tmp_path / "results", scored("mine", {"sw": 0.5}, dataset="miracl"), dataset="miracl")
    found = leaderboard(tmp_path / "results", tmp_path, "miracl")
    assert found.languages == [*ALL, "de", "yo"]
    ours, theirs = found.groups
    assert [(row.name, row.scores["sw"].rank) for row in ours.rows] == [("mine", 1)]
    assert (ours.measured, theirs.measured, theirs.title) == (True, False, "Published")
    assert (theirs.rows[0].name, theirs.rows[0].scores["average"].rank) == ("BGE + boosted", 1)


def test_a_published_system_has_one_row_with_its_sources_inside_and_disagreements_marked(tmp_path):
    save(tmp_path / "results", measured())
    [group] = leaderboard(tmp_path / "results", tmp_path, "miracl").groups
    rows = {row.name: row for row in group.rows}
    assert len(rows) == len(group.rows)
    bm25 = [rows["BM25 (Lucene)"], *rows["BM25 (Lucene)"].others]
    pyserini, paper = "Pyserini, miracl.yaml", "Huang et al. 2025, table 1"
    assert {row.source: row.scores["fa"].cell.value for row in bm25} == {
        f"{pyserini} (2.3.0)": 0.3568, f"{pyserini} (1.6.0)": 0.3334, paper: 0.333,
    }  # fmt: skip
    assert [lang for lang, score in bm25[0].scores.items() if score.disputed] == ["fa", "ko"]
    assert rows["mDPR"].scores["fr"].disputed
    assert [row.source for row in rows["mBERT + boosted"].others] == ["Huang et al. 2025, table 15"]


def test_figures_of_different_precision_rank_at_the_coarser_one(tmp_path):
    """Arabic BM25 is .4809 in Pyserini, mDPR .4993; the paper prints three decimals."""
    save(tmp_path / "results", measured())
    [group] = leaderboard(tmp_path / "results", tmp_path, "miracl").groups
    by_rank: dict[int, set[float]] = {}
    for row in group.rows:
        if (score := row.scores.get("ar")) is not None:
            by_rank.setdefault(score.rank, set()).add(round(score.cell.value, 3))
    assert all(len(values) == 1 for values in by_rank.values())
    assert [max(by_rank[rank]) for rank in sorted(by_rank)] == sorted(
        {value for values in by_rank.values() for value in values}, reverse=True
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
    base, kept = rng.random(60) * 0.5, {}
    for name, values in (("best", base + 0.4), ("tied", rng.permutation(base) + 0.39), ("worse", base)):
        data = scored(name, {"sw": float(np.mean(values))})
        data["languages"]["sw"]["files"] = {"topics": save_topics(root, name, "sw", values.tolist())}
        save(root, data, name)
        kept[name] = data
    save(root, scored("untested", {"sw": 0.1}), "untested")
    [group] = leaderboard(root, tmp_path).groups
    marks = {row.name: row.scores["sw"] for row in group.rows}
    assert {name: mark.letters for name, mark in marks.items()} == {
        "best": "a", "tied": "a", "worse": "b", "untested": "",
    }  # fmt: skip
    assert [name for name, mark in marks.items() if mark.top] == ["best", "tied"]
    assert {name: row.scores["average"].letters for name, row in zip(marks, group.rows, strict=True)}["tied"] == "a"
    assert group.family == "all pairs of the leaderboard’s systems in each column (3 pairs)"
    save(root, {**kept["worse"], "system": {"name": "copy", "summary": ""}}, "copy")
    changed = {"name": "best", "summary": "", "variant_of": "best", "overrides": ["seed=2"]}
    save(root, {**kept["best"], "system": changed}, "variant")
    [with_more] = leaderboard(root, tmp_path).groups
    assert with_more.family == group.family  # a copy and a variant are no part of the family
    assert [row.name for row in with_more.variants] == ["best seed=2"]
    assert {row.name: (row.scores["sw"].rank, row.scores["sw"].letters) for row in with_more.rows} == {
        "best": (1, "a"), "tied": (2, "a"), "worse": (3, "b"), "copy": (3, "b"), "untested": (4, ""),
    }  # fmt: skip
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
    assert of(recipe={"retriever": {"name": "bm25"}})[:3] == ("bm25", 0, "no model")
    assert of(recipe={"retriever": dense})[:3] == ("dense", 118, "mit")
    assert of(recipe={"retriever": dense, "training": {"epochs": 1}}).family == "dense, trained"
    both = {"name": "hybrid", "of": {"a": {"name": "bm25"}, "b": dense}}
    assert of(recipe={"retriever": both})[:3] == ("hybrid", 118, "mit")
    theirs = {"submitted_at": "2026-01-01", "runs": {}, "size": "1.5B parameters", "license": "Apache-2.0"}
    assert of(submission=theirs)[:3] == ("submitted", 1500, "Apache-2.0")
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
    latex = downloads.as_latex(found)
    assert r" & a\_b \& c & =cmd|x \\" in latex
    assert r"average & \textbf{.375} & -- \\" in latex
    assert r"sw & \textbf{.500} & .400 \\" in latex
    assert r"| =cmd\|x | measured | – | – | 0.400 |" in downloads.as_markdown(found)
