from __future__ import annotations

import json
import shutil

import pytest
from support.comparisons import Html, record, sample
from support.folders import FolderMaker
from support.site_pages import model, rendered

import mdrbench
from mdrbench.core.errors import DataError, UsageError
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures
from mdrbench.formats import trec
from mdrbench.site.cache import Cache
from mdrbench.site.model import comparisons, passages
from mdrbench.site.model.collection import read_collections
from mdrbench.site.pages import browser_data, charts, compare, compare_charts

PAGE = "sample/compare/one--two.html"


pytestmark = pytest.mark.usefixtures("own_store")


@pytest.fixture
def root(tmp_path):
    record(tmp_path / "results", "one", 0.2)
    record(tmp_path / "results", "two", 0.6)
    return tmp_path / "results"


def collection(root, name="sample"):
    return next(c for c in read_collections(root)[0] if c.name == name)


def compared(root, tmp_path):
    """The first comparison of the sample's systems, or None."""
    shown = model(root, tmp_path / "cache")
    pairs = next(pairs for collection, pairs in shown.comparisons.items() if collection.name == "sample")
    return pairs[0] if pairs else None


def pages(root, tmp_path, *data: str):
    return rendered(root, tmp_path / "cache", compare.pages, data=data)


def test_the_numbers_are_those_of_mdrbench_compare(root, tmp_path):
    expected = mdrbench.compare(root / "sample/one.json", root / "sample/two.json", top=7)
    for _ in range(2):  # computed, then kept
        pair = compared(root, tmp_path)
        for own, theirs in zip(pair.languages, expected.languages, strict=True):
            assert (own.lang, own.test, own.mark) == (theirs.lang, theirs.test, theirs.mark)
            assert own.p_corrected == pytest.approx(theirs.p_corrected, rel=1e-12)
        assert pair.average == pytest.approx(expected.average, rel=1e-12)
        assert pair.average_label == expected.average_label
        assert pair.moved(7) == expected.moved
    assert pair.macro["nDCG@10"][2] == pair.average
    assert pair.macro["MRR@10"][0] == pytest.approx(pair.a.average("MRR@10")[1].value)


def test_the_page_shows_them(root, tmp_path):
    pair = compared(root, tmp_path)
    page = Html(pages(root, tmp_path)[PAGE])
    for lang, row in zip(("Arabic", "Finnish"), pair.languages, strict=True):
        t = row.test
        shown = next(cells for cells in page.rows if cells and cells[0] == lang and len(cells) == 11)
        assert shown[1:4] == ["12", f"{t.mean_a:.4f}", f"{t.mean_b:.4f}"]
        assert shown[4].rstrip("*") == f"{t.difference:+.4f}".replace("-", "\u2212")
        assert shown[6:9] == [str(t.wins), str(t.ties), str(t.losses)]
        assert shown[9:] == [f"{p:.4f}" for p in (t.p, t.p)]  # one pair: nothing to correct
    assert "mdrbench compare sample/one sample/two" in page.words


def test_few_systems_have_a_page_a_pair_and_many_one_with_the_best_bm25_and_their_parent(root, tmp_path):
    for n in range(6):
        record(root, f"more{n}", 0.1, langs=["fi"])
    assert len(comparisons.choose_pairs(collection(root))) == 28
    record(root, "bm25", 0.1)
    record(root, "child", 0.1, recipe={"extends": "more0"})
    found = {(a.slug, b.slug) for a, b in comparisons.choose_pairs(collection(root))}
    assert ("one", "two") in found  # two has the best average
    assert ("bm25", "more3") in found
    assert ("child", "more0") in found
    assert ("more1", "more2") not in found
    assert len(found) == 9 + 8 + 1  # with the best, with bm25 (once with the best already), with the parent


def test_unlike_is_not_compared(root, tmp_path):
    other = tmp_path / "sample"
    shutil.copytree(sample().root / "miracl", other / "miracl")
    shutil.copytree(sample().root / "miracl-corpus", other / "miracl-corpus")
    shard = MiraclFolder("sample", other).corpus_files("fi")[0]
    shard.write_bytes(shard.read_bytes().replace(b'"text": "', b'"text": "x', 1))
    record(root, "two", 0.6, data=MiraclFolder("sample", other))
    assert compared(root, tmp_path) is None
    made = pages(root, tmp_path)
    assert PAGE not in made
    listed = json.loads(made["sample/compare/data/systems.js"].removeprefix("mdrbenchCompare(...").removesuffix(");\n"))
    keys = [listed[2]["systems"][slug]["topics"] for slug in ("one", "two")]
    assert keys[0]["ar"] == keys[1]["ar"]
    assert keys[0]["fi"] != keys[1]["fi"]


def test_topic_scores_that_are_gone_make_no_page_and_changed_ones_stop_the_build(root, tmp_path):
    kept = root / "sample/two/fi-dev.topics.tsv.gz"
    data = kept.read_bytes()
    kept.unlink()
    assert compared(root, tmp_path) is None
    kept.write_bytes(data[:-1] + b"\x01")
    with pytest.raises(DataError, match=r"fi-dev\.topics\.tsv\.gz"):
        compared(root, tmp_path)


def test_the_topics_behind_a_difference_show_judgments_texts_and_both_rankings(root, tmp_path):
    pair = compared(root, tmp_path)
    moved = pair.moved(1)[0]
    qrels = trec.read_qrels(sample().qrels_file(moved.lang, "dev"))[moved.qid]
    page = Html(pages(root, tmp_path)[PAGE])
    texts = {p.docid: p for p in sample().passages(moved.lang)}
    for docid, grade in qrels.items():
        assert docid in page.words
        assert " ".join(texts[docid].text.split())[:60] in " ".join(page.words.split())
        assert grade in (0, 1)
    assert {"positive", "judged 0", "unjudged"} <= {line.strip() for line in page.words.splitlines()}
    arabic = [attrs for tag, attrs in page.tags if attrs.get("lang") == "ar" and tag == "p"]
    assert arabic
    assert {attrs["dir"] for attrs in arabic} == {"rtl"}


def test_a_run_that_was_changed_stops_the_build(root, tmp_path):
    kept = root / "sample/two/ar-dev.run.trec.gz"
    kept.write_bytes(kept.read_bytes()[:-1] + b"\x01")
    with pytest.raises(
        DataError, match=r"ar-dev\.run\.trec\.gz: this file differs from the one that the result was recorded with"
    ):
        pages(root, tmp_path)


def test_without_the_data_docids_are_shown_and_how_to_get_the_texts(tmp_path):
    data = FolderMaker(tmp_path / "tiny").whole("en")
    for name, skill in (("one", 0.0), ("two", 0.9)):
        record(tmp_path / "results", name, skill, langs=["en"], data=data)
    made = pages(tmp_path / "results", tmp_path)
    page = Html(made["tiny/compare/one--two.html"])
    assert "mdrbench report --data PATH" in page.words
    assert "1#1" in page.words
    assert "ringed seal of Saimaa" not in page.words
    made = pages(tmp_path / "results", tmp_path, str(data.root))
    assert "ringed seal of Saimaa" in made["tiny/compare/one--two.html"]


def test_a_data_set_that_is_not_the_recorded_one_is_refused(tmp_path):
    maker = FolderMaker(tmp_path / "tiny")
    data = maker.whole("en")
    record(tmp_path / "results", "one", 0.0, langs=["en"], data=data)
    shown, cache = read_collections(tmp_path / "results")[0], Cache(tmp_path / "cache")
    passages.open_data(shown, [str(data.root)], cache)
    maker.split("qrels", "q1\tQ0\t1#1\t1\nq2\tQ0\t1#0\t0\n", "en")
    with pytest.raises(DataError, match=r"qrels.*differs from the one that the results of 'en' \(dev\)"):
        passages.open_data(shown, [str(data.root)], cache)
    other = FolderMaker(tmp_path / "other").whole("en")
    with pytest.raises(UsageError, match="no result was measured on data set 'other'"):
        passages.open_data(shown, [str(other.root)], cache)


def test_a_corpus_is_read_once_and_only_for_passages_not_read_before(tmp_path, monkeypatch):
    data = FolderMaker(tmp_path / "tiny").whole("en")
    record(tmp_path / "results", "one", 0.0, langs=["en"], data=data)
    entry = collection(tmp_path / "results", "tiny").entries[0]
    source = passages.PresentData((data,), Cache(tmp_path / "cache")).find(entry.result, "en")
    assert source.excerpts(["1#1", "nowhere"])["1#1"].title == "Saimaa"
    monkeypatch.setattr(MiraclFolder, "numbered_passages", lambda *_: pytest.fail("read again"))
    assert list(source.excerpts(["1#1", "nowhere"])) == ["1#1"]


EVIL = "<script>alert(1)</script>"
BIDI = "\u202eevil\u2066"


def test_hostile_texts_are_inert(tmp_path):
    passages = [
        {"docid": f"<b>{n}</b>", "title": f"{EVIL}{BIDI}", "text": f'"><img src=x onerror=alert({n})>{EVIL}{BIDI}'}
        for n in range(3)
    ]
    maker = FolderMaker(tmp_path / "tiny")
    maker.corpus("fa", passages)
    maker.split("topics", f"q<1>\t{EVIL}</textarea>{BIDI}\nq2\t]]>{EVIL}\u2028\n", "fa")
    maker.split("qrels", "q<1>\tQ0\t<b>1</b>\t1\nq2\tQ0\t<b>2</b>\t1\n", "fa")
    for name, skill in (("one", 0.0), ("two", 0.95)):
        record(tmp_path / "results", name, skill, langs=["fa"], data=maker.folder())
    made = pages(tmp_path / "results", tmp_path, str(maker.root))
    page = Html(made["tiny/compare/one--two.html"])
    assert not {"img", "textarea"} & {tag for tag, _ in page.tags}
    assert all("src" in attrs for tag, attrs in page.tags if tag == "script")
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]
    assert EVIL in page.words
    for path, text in made.items():
        if path.startswith("tiny/") and path.endswith(".js"):
            assert "<" not in text
            assert "\u2028" not in text
    before = made["tiny/compare/one--two.html"].split(BIDI)[:-1]
    assert before
    for text in before:  # every one stands in an element that isolates its direction
        assert text.rfind("<bdi") > text.rfind("</bdi>")


def test_two_builds_give_the_same_bytes(root, tmp_path):
    assert pages(root, tmp_path / "anew") == pages(root, tmp_path)


def test_the_browsers_scores_are_the_topics_to_four_digits(root, tmp_path):
    made = pages(root, tmp_path)
    text = made["sample/compare/data/one.js"]
    kind, slug, found = json.loads(text.removeprefix("mdrbenchCompare(...").removesuffix(");\n"))
    assert (kind, slug) == ("scores", "one")
    expected, _ = measures.read_topic_scores(root / "sample/one/fi-dev.topics.tsv.gz")
    for measure in measures.DEFAULT:
        assert [v / browser_data.STEPS for v in found["fi"][measure]] == [
            round(expected[qid][measure], 4) for qid in sorted(expected)
        ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("one two three", "one two"),
        ("no_space_at_all", "no_space_"),
        ("กกกกกกกกก่ก", "กกกกกกกก"),  # the mark stays with its letter
        ("short", "short"),
    ],
)
def test_texts_are_cut_between_words_or_whole_characters(text, kept):
    assert passages.shorten(text, 9) == kept


def test_a_single_measured_system_and_published_ones_have_no_page_for_pairs(tmp_path):
    record(tmp_path / "results", "one", 0.1)
    assert [path for path in pages(tmp_path / "results", tmp_path) if path.endswith(".html")] == []


# -- charts ------------------------------------------------------------------------------------------------------------


def test_a_pair_is_drawn_by_the_template_from_places_in_the_drawing(root, tmp_path):
    pair = compared(root, tmp_path)
    drawn = compare_charts.dumbbell(pair)
    rows = {name: values for name, *values in drawn.rows}
    for row in drawn.rows_drawn:
        assert min(row.a, row.b) >= 0
        assert max(row.a, row.b) <= drawn.width
        a, b = map(float, rows[row.label][:2])
        assert (row.a < row.b) == (a < b)
    assert [label for _, label in drawn.ticks][-1] == "1.0"
    scatter = compare_charts.scatter(pair)
    assert sum(dots.path.count("M") for dots in scatter.dots) == len(scatter.rows)
    page = pages(root, tmp_path)[PAGE]
    assert page.count('r="3.9"') == len(pair.languages)
    assert page.count('role="img"') == 2 + len(pair.languages)  # each drawing has words
    assert not list((tmp_path / "cache").glob("chart-*"))  # Vega-Lite drew nothing


def test_a_scale_gives_places_in_pixels():
    assert [charts.Scale(0.5, 1, 300)(value) for value in (0.5, 0.75, 1)] == [0, 150, 300]
    assert charts.Scale(0, 1, 100, upwards=True)(0.123456) == 87.7
