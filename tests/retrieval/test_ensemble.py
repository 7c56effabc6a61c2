from __future__ import annotations

import numpy as np
import pytest
from support.models import TEXTS
from support.plans import planned_step

from mdrbench import recipe
from mdrbench.core.members import Member
from mdrbench.core.types import Passage
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.retrieval import vectors

TOPICS = {"q1": "the largest lake", "q2": "ringed seal"}
PASSAGES = [Passage(f"{n}#0", "", text) for n, text in enumerate([*TEXTS, "fresh water", "in finland", "seal lake"])]


def part(folder, pooling="mean", normalize=True, **more):
    encoder = {
        "name": "transformer",
        "model": str(folder),
        "precision": "fp32",
        "pooling": pooling,
        "normalize": normalize,
        "query_length": 32,
        "passage_length": 32,
    }
    return {"name": "dense", "encoder": encoder, **more}


@pytest.fixture
def parts(tiny_models):
    return {"a": part(tiny_models["Bert"]), "b": part(tiny_models["XLMRoberta"], "cls", False, shard_size=3)}


@pytest.fixture
def indexes(parts, tmp_path):
    places = {label: tmp_path / label for label in parts}
    for label, settings in parts.items():
        Member.of("retrievers", settings).build().index("en", PASSAGES, places[label], lambda done: None)
    return places


def cosines(settings, index) -> np.ndarray:
    """Shape (topics, passages), from the stored embeddings."""
    queries = Member.of("retrievers", settings).build().encode(TOPICS)
    passages = np.concatenate(list(vectors.blocks(index)))
    norms = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(passages, axis=1)
    return queries @ passages.T / norms


def test_the_score_is_the_weighted_sum_of_cosines(parts, indexes):
    weights = {"a": 2.0, "b": 0.5}
    ensemble = Member.of("retrievers", {"name": "ensemble", "of": parts, "weights": weights}).build()
    expected = sum(weight * cosines(parts[label], indexes[label]) for label, weight in weights.items())
    run = ensemble.search("en", indexes, TOPICS, 4)
    for row, (qid, hits) in zip(expected, run.items(), strict=True):
        best = np.argsort(-row)[:4]
        assert [hit.docid for hit in hits] == [PASSAGES[i].docid for i in best], qid
        assert [hit.score for hit in hits] == pytest.approx(row[best].tolist(), abs=1e-6)
    pairs = {"q2": ["0#0", "6#0"], "q1": ["3#0"]}
    scores = ensemble.score("en", indexes, TOPICS, pairs)
    assert scores["q2"] == pytest.approx({"0#0": expected[1, 0], "6#0": expected[1, 6]}, abs=1e-6)
    assert scores["q1"] == pytest.approx({"3#0": expected[0, 3]}, abs=1e-6)


def test_one_encoder_with_equal_weights_ranks_as_it_does_alone(parts, indexes):
    alone = Member.of("retrievers", parts["a"]).build().search("en", indexes["a"], TOPICS, 5)
    single = Member.of("retrievers", {"name": "ensemble", "of": {"a": parts["a"]}}).build()
    together = single.search("en", {"a": indexes["a"]}, TOPICS, 5)
    assert {q: [h.docid for h in hits] for q, hits in together.items()} == {
        q: [h.docid for h in hits] for q, hits in alone.items()
    }


def test_a_projection_is_seeded(parts, indexes):
    def scores(seed):
        settings = {"name": "ensemble", "of": parts, "projection": {"dim": 512, "seed": seed}}
        return Member.of("retrievers", settings).build().search("en", indexes, TOPICS, 7)

    assert scores(1) == scores(1) != scores(2)
    plain = Member.of("retrievers", {"name": "ensemble", "of": parts}).build().search("en", indexes, TOPICS, 7)
    projected = {hit.docid: hit.score for hit in scores(1)["q1"]}
    assert {h.docid: h.score for h in plain["q1"]} == pytest.approx(projected, abs=0.15)  # cosines are roughly kept


def test_an_ensemble_shares_the_indexes_of_the_recipes_it_is_made_of(maker, store, parts, tmp_path):
    paths = {}
    for label, settings in parts.items():
        paths[label] = tmp_path / f"{label}.yaml"
        paths[label].write_text(f"summary: {label}\nretriever: {settings}\n")
    both = tmp_path / "both.yaml"
    both.write_text(f"summary: both\nretriever: {{name: ensemble, of: {{a: {paths['a']}, b: {paths['b']}}}}}\n")
    folder = maker.whole()
    plan = plan_recipe(recipe.load(str(both)), folder, ["en"], "dev", store, [])
    alone = {
        planned_step(plan_recipe(recipe.load(str(path)), folder, ["en"], "dev", store, []), "index").key
        for path in paths.values()
    }
    assert {step.key for step in plan.by_language["en"].steps if step.stage == "index"} == alone
    assert plan.by_language["en"].run.inputs.keys() == {"index a", "index b", "topics"}


def test_settings_of_a_run_alone_change_no_key(maker, store, parts, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"summary: a\nretriever: {parts['a']}\n")
    folder = maker.whole()

    def keys(*changes):
        found = recipe.load(str(path), list(changes))
        return found.digest, [s.key for s in plan_recipe(found, folder, ["en"], "dev", store, []).steps()]

    assert keys("retriever.shard_size=7", "retriever.encoder.batch_tokens=99") == keys()
    assert keys("retriever.encoder.passage_length=7") != keys()
    hnsw, wider = keys("retriever.index.name=hnsw"), keys("retriever.index.name=hnsw", "retriever.index.ef_search=300")
    assert hnsw[1][:4] == wider[1][:4]  # corpus, index, structure, topics
    assert hnsw[1][4] != wider[1][4]
    assert hnsw[1][1] == keys()[1][1]
