from __future__ import annotations

import pytest
from support.comparisons import Html, record, sample
from support.results import sealed
from support.site_pages import model, rendered

from mdrbench.evaluation import measures
from mdrbench.site.pages import language

FI = "sample/languages/fi.html"


pytestmark = pytest.mark.usefixtures("own_store")


@pytest.fixture
def root(tmp_path):
    for name, skill in (("weak", 0.0), ("good", 0.6), ("better", 0.7)):
        record(tmp_path / "results", name, skill)
    return tmp_path / "results"


def pages(root, tmp_path):
    return rendered(root, tmp_path / "cache", language.pages)


def ndcg(root, name, lang="fi"):
    kept, queries = measures.read_topic_scores(root / f"sample/{name}/{lang}-dev.topics.tsv.gz")
    return {qid: row["nDCG@10"] for qid, row in kept.items()}, queries


def test_systems_are_ranked_in_the_language_and_ties_look_like_ties(root, tmp_path):
    page = Html(pages(root, tmp_path)[FI])
    here = next(c for c in model(root, tmp_path / "cache").collections if c.name == "sample")
    values = {entry.name: entry.cell("fi", "nDCG@10").value for entry in here.measured}
    rows = [row for row in page.rows if row and row[0] in values]
    assert [row[0] for row in rows] == sorted(values, key=lambda name: -values[name])
    assert [row[1] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert row[2].startswith(f"{values[row[0]]:.3f}")
    letters = {row[0]: row[2].split()[1] for row in rows}
    assert letters["good"] == letters["better"] == "a"
    assert letters["weak"] == "b"


def test_the_statistics_are_those_of_the_data(root, tmp_path):
    words = Html(pages(root, tmp_path)[FI]).words.split("\n")
    passages = sum(1 for _ in sample().passages("fi"))
    assert f"Passages{passages}" in words
    assert "Topics12" in words


def test_topics_are_listed_by_mean_and_by_spread(root, tmp_path):
    page = Html(pages(root, tmp_path)[FI])
    each = [ndcg(root, name) for name in ("better", "good", "weak")]
    queries = each[0][1]
    values = {qid: [found[qid] for found, _ in each] for qid in queries}
    hardest = min(sorted(values), key=lambda qid: sum(values[qid]) / 3)
    spread = max(max(v) - min(v) for v in values.values())
    rows = [row for row in page.rows if len(row) == 3 and row[0] != "Query"]
    first = rows[0]
    [qid] = [qid for qid in queries if first[0] == f"{queries[qid]} {qid}"]
    assert max(values[qid]) - min(values[qid]) == spread
    assert first[1] == f"{sum(values[qid]) / 3:.3f}"
    listed = [row[0] for row in rows]
    assert listed[language.TOPICS] == f"{queries[hardest]} {hardest}"  # the list after that of the spread


def test_texts_carry_language_and_direction_and_every_language_is_a_click_away(root, tmp_path):
    page = Html(pages(root, tmp_path)["sample/languages/ar.html"])
    queries = [attrs for tag, attrs in page.tags if tag == "bdi" and attrs.get("lang") == "ar"]
    assert len(queries) >= language.TOPICS
    assert {attrs["dir"] for attrs in queries} == {"rtl"}
    assert "../../sample/languages/fi.html" in {attrs.get("href") for tag, attrs in page.tags if tag == "a"}


def test_a_published_collection_has_pages_with_what_is_known(root, tmp_path):
    made = pages(root, tmp_path)
    page = Html(made["miracl/languages/th.html"])
    miracl = next(c for c in model(root, tmp_path / "cache").collections if c.folder == "miracl/")
    best = max(cell.value for entry in miracl.entries if (cell := entry.cell("th", "nDCG@10")))
    rows = [row for row in page.rows if len(row) > 3 and row[1] == "1"]
    assert rows
    assert {row[2] for row in rows} == {f"{best:.3f}"}
    assert "Hardest" not in page.words
    assert "miracl/languages/yo.html" in made


def test_systems_on_other_passages_are_not_ranked_together(root, tmp_path):
    import json

    path = root / "sample/good.json"
    data = json.loads(path.read_text())
    data["languages"]["fi"]["dataset"]["fingerprint"] = "another"
    path.write_text(json.dumps(sealed(data)))
    page = Html(pages(root, tmp_path)[FI])
    ranks = {row[0]: row[1] for row in page.rows if row and row[0] in ("good", "better", "weak")}
    assert ranks == {"better": "1", "weak": "2", "good": "1"}


def test_the_overview_names_the_best_of_each_language(root, tmp_path):
    page = Html(pages(root, tmp_path)["sample/languages/index.html"])
    row = next(row for row in page.rows if row[0].startswith("Finnish"))
    best = max(("better", "good", "weak"), key=lambda name: sum(ndcg(root, name)[0].values()))
    assert row[6] == f"{best} not significantly different from 1 other"
    assert row[3] == "12"


def test_scores_of_many_systems_are_summed_up_for_readers(root, tmp_path, monkeypatch):
    monkeypatch.setattr(language, "NAMED", 2)
    page = Html(pages(root, tmp_path)[FI])
    scores = {name: ndcg(root, name)[0] for name in ("better", "good", "weak")}
    queries = ndcg(root, "weak")[1]
    said = {row[0].rsplit(" ", 1)[1]: row[2] for row in page.rows if len(row) == 3 and row[0] != "Query"}
    assert set(said) <= set(queries)
    for qid, words in said.items():
        values = {name: found[qid] for name, found in scores.items()}
        low, high = min(values.values()), max(values.values())
        assert words.startswith(f"3 systems, median {sorted(values.values())[1]:.3f}, lowest {low:.3f} (")
        assert f"highest {high:.3f} (" in words
        assert values[words.rsplit("(", 1)[1].rstrip(")")] == high
