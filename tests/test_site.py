from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from conftest import PROJECT
from test_results import measured

from mdrbench import leaderboard, mteb_results, site
from mdrbench.errors import DataError, UsageError
from mdrbench.languages import ALL
from mdrbench.results import Result


def save(root, data, name="mine", dataset="tiny"):
    path = root / dataset / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


class Page(HTMLParser):
    """The text of every table row, and all tags that were opened."""

    def __init__(self, text: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] = (self.rows[-1][-1] + data).strip()


def build(tmp_path) -> Page:
    return Page(site.build(tmp_path / "results", tmp_path / "public").read_text(encoding="utf-8"))


def test_measured_and_published_stand_side_by_side_and_are_told_apart(tmp_path):
    data = measured()
    data["system"]["recipe"] = {"published": {"systems": ["bm25"]}}
    save(tmp_path / "results", data)
    page = build(tmp_path)
    rows = page.rows
    mine = next(row for row in rows if row[0] == "mine")
    assert mine == ["mine", "–", "0.500"]
    after = rows[rows.index(mine) + 1 : rows.index(mine) + 3]
    assert "another collection than tiny" in after[0][0]
    assert after[1][0].startswith("bm25")
    assert after[1][2] == "0.383"  # Pyserini's BM25 on sw
    kinds = [attrs.get("class") for tag, attrs in page.tags if tag == "tbody"]
    assert set(kinds) == {"measured", "published"}


def test_on_miracl_itself_the_two_share_a_table_with_all_languages():
    result = Result.model_validate(measured(dataset="miracl"))
    published = leaderboard.load(PROJECT / "results", PROJECT / "results")[1]
    table = next(t for t in leaderboard.tables([result], published) if (t.split, t.measure) == ("dev", "nDCG@10"))
    assert table.languages == [*ALL, "de", "yo"]
    assert [row.name for row in table.measured] == ["mine"]
    assert len(table.published) == 40


def test_systems_are_ordered_by_coverage_before_average():
    def row(name: str, langs, value: float) -> Result:
        cell = {"nDCG@10": {"value": value}}
        languages = {lang: {"scores": cell} for lang in langs}
        average = {"label": "x", "languages": list(langs), "scores": cell}
        return Result.model_validate(
            measured(system={"name": name, "summary": ""}, languages=languages, averages=[average])
        )

    found = [row("few", ALL[:2], 0.9), row("low", ALL, 0.3), row("high", ALL, 0.4)]
    [table] = leaderboard.tables(found, [])
    assert [r.name for r in table.measured] == ["high", "low", "few"]
    assert [r.average_over for r in table.measured] == [16, 16, 2]


def test_hostile_names_are_inert_text(tmp_path):
    evil = "<script>alert(1)</script>"
    save(tmp_path / "results", measured(dataset=evil, system={"name": evil, "summary": evil, "overrides": [evil]}))
    page = build(tmp_path)
    assert "script" not in {tag for tag, _ in page.tags}
    assert any(evil in row[0] for row in page.rows if row)


def test_a_malformed_result_stops_the_report_and_leaves_the_old_site(tmp_path):
    save(tmp_path / "results", measured())
    build(tmp_path)
    before = (tmp_path / "public" / "index.html").read_bytes()
    save(tmp_path / "results", measured(schema_version=9), name="broken")
    with pytest.raises(DataError, match=r"broken\.json: schema version 9"):
        build(tmp_path)
    assert (tmp_path / "public" / "index.html").read_bytes() == before


def test_the_same_results_give_the_same_bytes_and_every_internal_link_leads_somewhere(tmp_path):
    save(tmp_path / "results", measured())
    first = site.build(tmp_path / "results", tmp_path / "public").read_bytes()
    page = build(tmp_path)
    assert (tmp_path / "public" / "index.html").read_bytes() == first
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    links = [attrs["href"] for tag, attrs in page.tags if tag in ("a", "link")]
    assert links
    for link in links:
        assert link[1:] in ids if link.startswith("#") else (tmp_path / "public" / link).is_file()


def test_a_folder_that_is_no_site_is_never_replaced(tmp_path):
    save(tmp_path / "results", measured())
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not empty and no site"):
        build(tmp_path)
    assert (tmp_path / "public" / "thesis.tex").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["public", "results"]


def test_figures_of_a_pool_are_never_beside_those_of_the_whole_corpus(tmp_path):
    """mteb's hard-negatives task has its own table; imported results keep the packaged figures in place."""

    def theirs(task: str, value: float) -> None:
        scores = {"hf_subset": "sw", "languages": ["swa-Latn"], "main_score": value}
        folder = tmp_path / "org__model" / "abc"
        folder.mkdir(parents=True, exist_ok=True)
        result = {"task_name": task, "dataset_revision": "d", "mteb_version": "2.1.0", "scores": {"dev": [scores]}}
        (folder / f"{task}.json").write_text(json.dumps(result))

    theirs("MIRACLRetrieval", 0.7)
    theirs("MIRACLRetrievalHardNegatives", 0.9)
    theirs("mdrbench-mine", 0.8)
    mteb_results.import_results([tmp_path / "org__model"], tmp_path / "results")
    site.build(tmp_path / "results", tmp_path / "public")
    measured, published = leaderboard.load(tmp_path / "results", PROJECT / "results")
    found = {
        t.dataset: t for t in leaderboard.tables(measured, published) if (t.split, t.measure) == ("dev", "nDCG@10")
    }
    assert list(found) == ["miracl", "mine", "miracl-hard-negatives"]
    assert [row.name for row in found["miracl-hard-negatives"].published] == ["org/model"]
    assert [row.cells["sw"].value for row in found["mine"].published] == [0.8]
    assert found["mine"].published_note == "Published figures, each with its source."
    [row] = [row for row in found["miracl"].published if row.name == "org/model"]
    assert (row.cells["sw"].value, row.origin) == (0.7, "mteb 2.1.0, MIRACLRetrieval at d, model revision abc")
    assert len(found["miracl"].published) == 41
