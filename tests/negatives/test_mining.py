"""The mining strategies: their rules on worked examples, their properties, and sentence-transformers' miner."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mdrbench.core import registry
from mdrbench.core.errors import StepError
from mdrbench.core.members import Member
from mdrbench.core.types import Hit

ENCODER = {"name": "transformer", "pooling": "mean", "normalize": True, "query_length": 8, "passage_length": 8}
ENCODERS = {label: {"name": "dense", "encoder": {**ENCODER, "model": label}} for label in "ab"}
OWN = Member.of("retrievers", {"name": "dense", "encoder": {**ENCODER, "model": "m"}})


@cache
def member_class(name: str):
    return registry.source("mining", name).load()


def miner(name: str, **settings):
    found = member_class(name)
    return found(found.spec.config(**settings))


def names(hits: list[Hit]) -> str:
    return " ".join(hit.docid for hit in hits)


RANKING = [Hit("a", 0.9), Hit("b", 0.75), Hit("c", 0.7), Hit("d", 0.6), Hit("e", 0.5), Hit("f", 0.5), Hit("g", -0.2)]


@pytest.mark.parametrize(
    ("name", "settings", "reference", "kept"),
    [
        ("topk", {"k": 3}, None, "a b c"),
        ("topk", {}, None, "a b c d e f g"),
        ("shifted", {"n": 2, "k": 3}, None, "c d e"),
        ("shifted", {"n": 5, "k": 30}, None, "f g"),
        ("shifted", {"n": 10}, None, ""),
        ("shifted", {"n": 0, "k": 1}, None, "a"),
        ("absolute", {}, None, "e f g"),  # a score of exactly t is left out
        ("absolute", {"t": 0.75, "k": 2}, None, "c d"),
        ("absolute", {"t": -0.5}, None, ""),
        ("margin-pos", {}, 0.8, "d e f g"),
        ("margin-pos", {"m": 0.25, "k": 1}, 1.0, "c"),
        ("margin-pos", {"m": 0}, 0.7, "d e f g"),
        ("perc-pos", {}, 0.8, "c d e f g"),
        ("perc-pos", {"p": 0.5}, 1.0, "g"),
        ("perc-pos", {"p": 0.5}, -0.1, "g"),  # below -0.15; p * score would be -0.05
        ("perc-pos", {"p": 0.5}, -0.2, ""),
        ("perc-pos", {"p": 1}, 0.7, "d e f g"),
        ("bm25", {"k": 2}, None, "a b"),
        ("random", {"k": 2}, None, "a b"),
        ("ensemble", {"of": ENCODERS, "depth": 3}, None, "a b c d e f g"),
    ],
)
def test_worked_examples(name, settings, reference, kept):
    assert names(miner(name, **settings).select(RANKING, reference)) == kept


def test_the_defaults_are_the_best_settings_published():
    configs = {name: member_class(name).spec.config for name in registry.members("mining") if name != "ensemble"}
    found = {name: config().model_dump() for name, config in configs.items()}
    common = {"k": 30, "depth": 100}
    assert found == {
        "topk": common,
        "shifted": {**common, "n": 10},
        "absolute": {**common, "t": 0.6},
        "margin-pos": {**common, "reference": "best", "m": 0.15},
        "perc-pos": {**common, "reference": "best", "p": 0.9},
        "bm25": common,
        "random": {"k": 30, "depth": 40},
    }
    assert member_class("ensemble").spec.config(of=ENCODERS).depth == 40


@pytest.mark.parametrize("name", ["topk", "shifted", "absolute", "margin-pos", "perc-pos"])
def test_rankings_of_the_recipes_own_retriever(name):
    assert miner(name).retriever(OWN) == OWN


def test_what_a_strategy_asks_for():
    asked = {name: miner(name, k=7, depth=50) for name in ("topk", "shifted", "absolute", "bm25", "random")}
    assert {(m.depth, m.keep, m.reference) for m in asked.values()} == {(50, 7, None)}
    assert {miner(name).reference for name in ("margin-pos", "perc-pos")} == {"best"}
    assert {miner(name, reference="worst").reference for name in ("margin-pos", "perc-pos")} == {"worst"}
    whole = miner("ensemble", of=ENCODERS, depth=20)
    assert (whole.depth, whole.keep, whole.reference) == (20, None, None)


def test_bm25_has_its_own_ranking_and_random_has_none():
    ranked = miner("bm25").retriever(OWN)
    assert ranked.settings == {"name": "bm25", "k1": 0.9, "b": 0.4, "title_separator": "\n", "thai": "auto"}
    assert miner("random").retriever(OWN) is None


def test_the_ensembles_retriever_has_the_strategys_settings():
    equal = miner("ensemble", of=ENCODERS).retriever(OWN)
    assert equal == Member.of("retrievers", {"name": "ensemble", "of": ENCODERS})
    settings = {"of": ENCODERS, "weights": {"a": 2, "b": 0.5}, "projection": {"dim": 256, "seed": 1}}
    assert miner("ensemble", **settings).retriever(OWN) == Member.of("retrievers", {"name": "ensemble", **settings})


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("topk", {"k": 101}, "k = 101 is more than depth = 100"),
        ("topk", {"k": 0}, "greater than or equal to 1"),
        ("topk", {"n": 3}, "Extra inputs are not permitted"),
        ("shifted", {"n": 80}, "n \\+ k = 110 is more than depth = 100"),
        ("shifted", {"n": -1}, "greater than or equal to 0"),
        ("absolute", {"t": math.nan}, "finite number"),
        ("absolute", {"t": math.inf}, "finite number"),
        ("absolute", {"reference": "best"}, "Extra inputs are not permitted"),
        ("margin-pos", {"m": -0.1}, "greater than or equal to 0"),
        ("margin-pos", {"m": math.inf}, "finite number"),
        ("margin-pos", {"reference": "first"}, "'best' or 'worst'"),
        ("perc-pos", {"p": 0}, "greater than 0"),
        ("perc-pos", {"p": 1.1}, "less than or equal to 1"),
        ("perc-pos", {"p": math.nan}, "finite number"),
        ("random", {"depth": 10}, "k = 30 is more than depth = 10"),
        ("ensemble", {}, "Field required"),
        ("ensemble", {"of": {}}, "at least 1 item"),
        ("ensemble", {"of": {"a": {"name": "bm25"}}}, "'a' is not a dense retriever"),
        ("ensemble", {"of": ENCODERS, "weights": {"a": 1}}, "weights are for \\['a'\\], the parts are \\['a', 'b'\\]"),
        ("ensemble", {"of": ENCODERS, "weights": {"a": 0, "b": 1}}, "greater than 0"),
        ("ensemble", {"of": ENCODERS, "projection": {"dim": 0}}, "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_errors(name, settings, said):
    with pytest.raises(ValidationError, match=said):
        miner(name, **settings)


@pytest.mark.parametrize("name", ["margin-pos", "perc-pos"])
@pytest.mark.parametrize("reference", [None, math.nan, -math.inf])
def test_a_positive_without_a_score_is_an_error_and_not_an_empty_set(name, reference):
    with pytest.raises(StepError, match="score of the positive is"):
        miner(name).select(RANKING, reference)


SCORES = st.floats(min_value=-1, max_value=1, width=32)
RUNS = st.lists(SCORES, max_size=60).map(
    lambda scores: [Hit(f"d{i}", score) for i, score in enumerate(sorted(scores, reverse=True))]
)


def rules(data, reference):
    """A strategy with drawn settings, and its threshold: a negative scores below it."""
    k = data.draw(st.integers(1, 60), label="k")
    t = data.draw(SCORES, label="t")
    m = data.draw(st.floats(0, 2), label="m")
    p = data.draw(st.floats(0, 1, exclude_min=True), label="p")
    return data.draw(
        st.sampled_from(
            [
                (miner("topk", k=k), math.inf),
                (miner("bm25", k=k), math.inf),
                (miner("random", k=k, depth=60), math.inf),
                (miner("absolute", k=k, t=t), t),
                (miner("margin-pos", k=k, m=m), reference - m),
                (miner("perc-pos", k=k, p=p), reference - abs(reference) * (1 - p)),
            ]
        )
    )


@given(candidates=RUNS, reference=SCORES, data=st.data())
def test_what_is_kept_is_the_best_k_of_what_the_rule_allows_in_the_runs_order(candidates, reference, data):
    strategy, threshold = rules(data, reference)
    before = list(candidates)
    kept = strategy.select(candidates, reference)
    allowed = [hit for hit in candidates if hit.score < threshold]
    assert kept == allowed[: strategy.keep]
    assert candidates == before


@given(candidates=RUNS, reference=SCORES, low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_wider_margin_never_keeps_what_a_narrower_one_leaves_out(candidates, reference, low, high):
    low, high = sorted((low, high))
    for name, key, strict, loose in (("margin-pos", "m", high, low), ("perc-pos", "p", low, high)):
        if key == "p" and strict == 0:
            continue
        few = miner(name, k=100, **{key: strict}).select(candidates, reference)
        many = miner(name, k=100, **{key: loose}).select(candidates, reference)
        assert {*few} <= {*many}


@given(candidates=RUNS, n=st.integers(0, 40), k=st.integers(1, 60))
def test_shifting_is_top_k_without_the_first_n(candidates, n, k):
    kept = miner("shifted", n=n, k=k).select(candidates, None)
    assert kept == miner("topk", k=100).select(candidates, None)[n : n + k]


# -- sentence-transformers on the same scores -------------------------------------------------------------------------

QUERIES, PASSAGES, DIM = 12, 60, 8


@pytest.fixture(scope="module")
def words():
    """A sentence-transformers model with one random vector a word, and those vectors normalised."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = [*(f"q{i}" for i in range(QUERIES)), *(f"p{i}" for i in range(PASSAGES))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="q0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(vocabulary), DIM)).astype(np.float32)
    weights[1] = -weights[QUERIES : QUERIES + 6].mean(axis=0)  # q1's positives score below zero
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    return model, model.encode(vocabulary, normalize_embeddings=True)


def positives_of(query: int) -> list[int]:
    return [0, 3] if query == 1 else [7 + query, *([30 + query] if query % 3 == 0 else [])]


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("topk", {"k": 5}, {"num_negatives": 5}),
        ("shifted", {"n": 4, "k": 5}, {"num_negatives": 5, "range_min": 4}),
        ("absolute", {"k": 8, "t": 0.2}, {"num_negatives": 8, "max_score": 0.2}),
        ("margin-pos", {"k": 40, "m": 0.1, "reference": "worst"}, {"num_negatives": 40, "absolute_margin": 0.1}),
        ("perc-pos", {"k": 40, "p": 0.8, "reference": "worst"}, {"num_negatives": 40, "relative_margin": 0.2}),
    ],
)
def test_negatives_are_those_of_sentence_transformers(words, name, settings, theirs, capsys):
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    model, vectors = words
    pairs = [(f"q{q}", f"p{p}") for q in range(QUERIES) for p in positives_of(q)]
    dataset = Dataset.from_dict({"query": [q for q, _ in pairs], "answer": [p for _, p in pairs]})
    corpus = [f"p{i}" for i in range(PASSAGES)]
    mined = mine_hard_negatives(
        dataset, model, corpus=corpus, range_max=PASSAGES - 2, output_format="labeled-list", verbose=False, **theirs
    )
    expected = {row["query"]: row["answer"][1:] for row in mined}
    strategy = miner(name, **settings)
    kept = {}
    for query in range(QUERIES):
        scores = vectors[QUERIES:] @ vectors[query]
        positive = positives_of(query)
        order = [i for i in np.argsort(-scores) if i not in positive]
        hits = [Hit(f"p{i}", float(scores[i])) for i in order]
        kept[f"q{query}"] = [hit.docid for hit in strategy.select(hits, float(scores[positive].min()))]
    assert {query: docids for query, docids in kept.items() if docids} == expected
    assert len(expected) > 3
