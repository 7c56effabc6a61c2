from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import planned_step

from mdrbench import recipe
from mdrbench.core.errors import UsageError
from mdrbench.core.types import Hit
from mdrbench.formats import trec
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.retrieval import fusion

BM25 = {"q1": [Hit("a", 12.5), Hit("b", 11.0), Hit("c", 3.25)], "q2": [Hit("x", 2.0)], "q3": []}
DENSE = {"q1": [Hit("c", 71.5), Hit("a", 70.0), Hit("d", 69.0)], "q2": [], "q3": []}


def test_interpolation_adds_raw_scores_and_counts_what_a_run_lacks_as_zero():
    fused = fusion.interpolate([BM25, DENSE], [0.5, 0.5], depth=3)
    assert fused["q1"] == [Hit("a", 41.25), Hit("c", 37.375), Hit("d", 34.5)]
    assert fused["q2"] == [Hit("x", 1.0)]
    assert fused["q3"] == []


def test_reciprocal_rank_fusion_depends_on_ranks_alone():
    fused = fusion.reciprocal_rank([BM25, DENSE], k=60, depth=2)
    assert [hit.docid for hit in fused["q1"]] == ["a", "c"]
    assert fused["q1"][0].score == pytest.approx(1 / 61 + 1 / 62, rel=1e-7)
    louder = {"q1": [Hit(docid, score * 100) for docid, score in BM25["q1"]]}
    assert fusion.reciprocal_rank([louder, DENSE], k=60, depth=2)["q1"] == fused["q1"]


runs = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-400, 400).map(lambda n: n / 8), min_size=1).map(
        lambda scores: trec.ranked(Hit(docid, score) for docid, score in scores.items())
    ),
    min_size=1,
)


def fused_by_pyserini(one, two, folder, way) -> dict[str, dict[str, float]]:
    from pyserini import fusion as theirs
    from pyserini.trectools import TrecRun

    read = []
    for number, run in enumerate((one, two)):
        path = folder / f"{number}.trec"
        rows = [f"{q} Q0 {d} {r} {s:.9g} t\n" for q, hits in run.items() for r, (d, s) in enumerate(hits, 1)]
        path.write_text("".join(rows))
        read.append(TrecRun(str(path)))
    data = way(theirs, read).run_data
    return {q: dict(zip(part["docid"], part["score"], strict=True)) for q, part in data.groupby("topic")}


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore")
@given(one=runs, two=runs)
@settings(deadline=None, max_examples=40)
def test_scores_are_those_of_pyserinis_fusion(one, two, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for ours, way in (
        (
            fusion.interpolate([one, two], [0.3, 0.7], 1000),
            lambda theirs, read: theirs.interpolation(read, alpha=0.3, depth=1000, k=1000),
        ),
        (
            fusion.reciprocal_rank([one, two], 60, 1000),
            lambda theirs, read: theirs.reciprocal_rank_fusion(read, rrf_k=60, depth=1000, k=1000),
        ),
    ):
        expected = fused_by_pyserini(one, two, folder, way)
        assert {q: dict(hits) for q, hits in ours.items()} == {
            q: pytest.approx(scores, rel=1e-6, abs=1e-6) for q, scores in expected.items()
        }


def load(tmp_path, text: str, *changes: str):
    path = tmp_path / "two.yaml"
    path.write_text("summary: two\n" + text)
    return recipe.load(str(path), list(changes))


def test_a_hybrid_shares_the_artifacts_of_the_recipes_it_is_made_of(maker, store, tmp_path):
    folder = maker.whole()
    two = load(tmp_path, "retriever: {name: hybrid, of: {lucene: bm25, steep: {name: bm25, k1: 2.0, b: 0.4}}}\n")
    plan = plan_recipe(two, folder, ["en"], "dev", store, [])
    alone = plan_recipe(recipe.load("bm25", ["search.depth=1000"]), folder, ["en"], "dev", store, [])
    assert planned_step(plan, "index").key == planned_step(alone, "index").key  # k1 and b need no other index
    searches = [step.key for step in plan.by_language["en"].steps if step.stage == "search"]
    assert len(searches) == 2
    assert alone.by_language["en"].run.key in searches
    assert plan.by_language["en"].run.stage == "fuse"


def test_the_parts_can_be_changed_one_by_one(tmp_path):
    found = load(tmp_path, "retriever: {name: hybrid, of: [bm25, mdpr]}\n", "retriever.of.bm25.k1=1.7")
    assert found.retriever.settings["of"]["bm25"]["k1"] == 1.7
    assert found.retriever.settings["of"]["mdpr"]["encoder"]["pooling"] == "cls"
    assert found.retriever.config.alpha == 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{name: hybrid, of: [bm25]}", "at least 2"),
        ("{name: hybrid, of: [bm25, bm52]}", "unknown recipe 'bm52'"),
        ("{name: hybrid, of: [bm25, bm25]}", "two parts are called the same"),
        ("{name: hybrid, of: {a: bm25, b: bm25, c: bm25}}", "interpolation takes exactly two parts"),
        ("{name: hybrid, of: {a: bm25, b: {name: bm25, k2: 1}}}", "retriever.of.b.k2"),
        ("{name: hybrid, of: {a: bm25, b: {name: bm26}}}", "retriever.of.b.name"),
        ("{name: hybrid}", "retriever.of (line 2): missing"),
    ],
)
def test_a_wrong_hybrid_is_said(tmp_path, text, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        load(tmp_path, f"retriever: {text}\n")


def test_recipes_that_name_each_other_are_an_error(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        text = f"summary: s\nretriever: {{name: hybrid, of: {{x: bm25, y: {tmp_path / other}.yaml}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(UsageError, match="in a circle"):
        recipe.load(str(tmp_path / "a.yaml"))


def test_a_hybrid_runs_from_end_to_end(maker, store, tmp_path):
    from mdrbench.commands.run import run_plans

    two = load(tmp_path, "retriever: {name: hybrid, of: {a: bm25, b: {name: bm25, k1: 2.0}}}\n")
    plan = plan_recipe(two, maker.whole(), ["en"], "dev", store, [])
    [(path, result)], error = run_plans([plan], store, tmp_path / "results", "mdrbench run two", quiet=True)
    assert error is None
    entry = result.languages["en"]
    assert set(entry.steps) == {"corpus", "topics", "index", "a/search", "b/search", "fuse", "evaluate"}
    assert entry.conventions["fusion"] == "interpolation"
    assert entry.conventions["parts"]["b"]["k1"] == 2.0
    assert entry.conventions["java"]
    a, b = (store.find(*plan.by_language["en"].steps[n].ref) for n in (3, 4))
    by_hand = two.retriever.build().fuse(
        {"a": trec.read_run(a.path / "run.trec.gz"), "b": trec.read_run(b.path / "run.trec.gz")}, 100
    )
    assert trec.read_run(path.parent / entry.files["run"].path) == by_hand
