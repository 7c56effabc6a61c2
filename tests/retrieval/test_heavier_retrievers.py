"""What single vectors are compared with: cross-encoders, late interaction, learned sparse weights, and sums of them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support.models import TEXTS, save_random, save_tokenizer

from mdrbench import recipe
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.members import Member
from mdrbench.core.types import Hit, Passage
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.retrieval.retrievers.late_interaction import mean_max_sim

PASSAGES = [Passage(f"d{number}", "", text) for number, text in enumerate(TEXTS)]
TOPICS = {"q1": "where does the seal", "q2": "largest lake"}


def built(name: str, model: Path, **settings):
    return Member.of("retrievers", {"name": name, "model": str(model), "precision": "fp32", **settings}).build()


def searched(retriever, folder: Path, depth: int = 10):
    facts = retriever.index("en", iter(PASSAGES), folder, lambda done: None)
    assert facts["indexed"] == len(PASSAGES)
    return retriever.search("en", folder, TOPICS, depth)


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory) -> Path:
    import transformers

    folder = tmp_path_factory.mktemp("cross")
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=save_tokenizer(folder), num_labels=1, pad_token_id=0, **size)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def m3(tmp_path_factory) -> Path:
    """A tiny XLM-R with the two further heads of BGE-M3."""
    folder = save_random(tmp_path_factory.mktemp("m3"), "XLMRoberta")
    torch.manual_seed(1)
    torch.save(torch.nn.Linear(32, 1).state_dict(), folder / "sparse_linear.pt")
    torch.save(torch.nn.Linear(32, 32).state_dict(), folder / "colbert_linear.pt")
    return folder


# -- reranking ---------------------------------------------------------------------------------------------------------


def test_a_reranked_run_has_the_cross_encoders_order(cross_encoder, maker, store, tmp_path):
    from sentence_transformers import CrossEncoder

    from mdrbench.commands.run import run_plans
    from mdrbench.formats import trec

    text = f"summary: s\nretriever: {{name: rerank, of: bm25, depth: 3, model: {cross_encoder}, precision: fp32}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    plan = plan_recipe(recipe.load(str(tmp_path / "mine.yaml")), maker.whole(), ["en"], "dev", store, [])
    [(path, result)], error = run_plans([plan], store, tmp_path / "results", "mdrbench run mine", quiet=True)
    assert error is None
    entry = result.languages["en"]
    assert set(entry.steps) == {"corpus", "topics", "index", "search", "rerank", "evaluate"}
    assert entry.steps["index"].bytes > 1000
    assert entry.conventions["hits_of"]["retriever"] == "bm25"
    found = trec.read_run(path.parent / entry.files["run"].path)
    dataset = maker.whole()
    texts = {passage.docid: passage.joined(" ") for passage in dataset.passages("en")}
    topics = trec.read_topics(dataset.topics_file("en", "dev"))
    model = CrossEncoder(str(cross_encoder), device="cpu", max_length=512)
    for qid, hits in found.items():
        assert len(hits) <= 3
        pairs = [(topics[qid], texts[hit.docid]) for hit in hits]
        assert [hit.score for hit in hits] == pytest.approx(
            model.predict(pairs, activation_fn=torch.nn.Identity()).tolist() if pairs else [], abs=1e-5
        )
        assert all(a.score >= b.score for a, b in pairwise(hits))
    assert any(found.values())


def test_an_encoder_without_a_head_is_no_cross_encoder(tiny_model):
    retriever = built("rerank", tiny_model, of={"name": "bm25"})
    run = {"q1": [Hit("d0", 1.0)]}
    with pytest.raises(DataError, match="BertModel, which has no head that scores pairs"):
        retriever.rerank(TOPICS, run, {"d0": PASSAGES[0]}, lambda done, of: None)


def test_a_reranker_cannot_read_more_hits_than_a_hybrid_takes(cross_encoder):
    of = {"name": "hybrid", "depth": 50, "of": {"a": {"name": "bm25"}, "b": {"name": "bm25", "k1": 1.0}}}
    with pytest.raises(ValueError, match="depth is 100, but 'hybrid' takes 50 of each part"):
        built("rerank", cross_encoder, of=of)


# -- late interaction --------------------------------------------------------------------------------------------------


def by_hand(query: np.ndarray, passage: np.ndarray) -> float:
    return float((query @ passage.T).max(axis=1).mean())


def test_mean_of_the_greatest_inner_products(monkeypatch):
    from mdrbench.retrieval.retrievers import late_interaction

    rng = np.random.default_rng(0)
    queries = [rng.normal(size=(n, 8)).astype(np.float32) for n in (3, 1, 5)]
    passages = [rng.normal(size=(n, 8)).astype(np.float32) for n in (2, 7, 1, 4)]
    expected = np.array([[by_hand(query, passage) for passage in passages] for query in queries])
    lengths = np.array([len(passage) for passage in passages])
    for tokens, products in ((65_536, 10**8), (1, 1), (8, 30)):
        monkeypatch.setattr(late_interaction, "TOKENS", tokens)
        monkeypatch.setattr(late_interaction, "PRODUCTS", products)
        assert mean_max_sim(queries, np.concatenate(passages), lengths) == pytest.approx(expected, abs=1e-5)


def test_late_interaction_ranks_by_sentence_transformers_similarity(tmp_path):
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    torch.manual_seed(0)
    layer = Dense(32, 16, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings")
    modules = [
        Transformer(str(save_random(tmp_path / "plain", "Bert"))),
        *(layer, MultiVectorMask(), Normalize(module_input_name="token_embeddings")),
    ]
    model = MultiVectorEncoder(modules=modules, device="cpu")
    model.save(str(tmp_path / "model"))
    run = searched(built("late-interaction", tmp_path / "model"), tmp_path / "index")
    queries = model.encode_query(list(TOPICS.values()), convert_to_numpy=True)
    passages = model.encode_document(TEXTS, convert_to_numpy=True)
    for qid, query in zip(TOPICS, queries, strict=True):
        expected = {f"d{n}": by_hand(query, passage) for n, passage in enumerate(passages)}
        assert {hit.docid: hit.score for hit in run[qid]} == pytest.approx(expected, abs=2e-3)  # stored as float16
        assert [hit.docid for hit in run[qid]] == sorted(expected, key=expected.get, reverse=True)
    with pytest.raises(DataError, match="would draw one at random"):
        searched(built("late-interaction", tmp_path / "plain"), tmp_path / "other")


# -- learned sparse weights --------------------------------------------------------------------------------------------


def test_sparse_search_ranks_by_sentence_transformers_weights(tmp_path):
    import transformers
    from sentence_transformers import SparseEncoder

    folder = tmp_path / "splade"
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=save_tokenizer(folder), pad_token_id=0, initializer_range=0.5, **size)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    run = searched(built("sparse", folder), tmp_path / "index", depth=3)
    model = SparseEncoder(str(folder), device="cpu")
    expected = (
        model.encode_query(list(TOPICS.values())).to_dense() @ model.encode_document(TEXTS).to_dense().T
    ).numpy()
    for row, qid in zip(expected, TOPICS, strict=True):
        best = np.argsort(-row)[:3]
        assert [hit.docid for hit in run[qid]] == [f"d{n}" for n in best if row[n] > 0]
        assert [hit.score for hit in run[qid]] == pytest.approx([row[n] for n in best if row[n] > 0], rel=1e-4)


def test_the_heads_of_bge_m3_are_computed_as_its_authors_do(m3, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(m3), AutoModel.from_pretrained(m3).eval()
    heads = {name: torch.load(m3 / f"{name}_linear.pt") for name in ("sparse", "colbert")}

    def encoded(text: str) -> tuple[dict[int, float], np.ndarray]:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            hidden = model(ids).last_hidden_state[0]
            weights = torch.relu(torch.nn.functional.linear(hidden, *heads["sparse"].values()))[:, 0].tolist()
            vectors = torch.nn.functional.normalize(torch.nn.functional.linear(hidden[1:], *heads["colbert"].values()))
        by_token: dict[int, float] = {}
        for token, weight in zip(ids[0].tolist(), weights, strict=True):
            if token not in tokenizer.all_special_ids:
                by_token[token] = max(weight, by_token.get(token, 0.0))
        return by_token, vectors.numpy()

    sparse = searched(built("sparse", m3, head="bge-m3", query_length=32, passage_length=32), tmp_path / "sparse")
    late = searched(built("late-interaction", m3, head="bge-m3", passage_length=32), tmp_path / "late")
    passages = {passage.docid: encoded(passage.text) for passage in PASSAGES}
    for qid, text in TOPICS.items():
        weights, vectors = encoded(text)
        shared = {
            docid: sum(weight * other.get(token, 0.0) for token, weight in weights.items())
            for docid, (other, _) in passages.items()
        }
        assert {hit.docid: hit.score for hit in sparse[qid]} == pytest.approx(
            {docid: score for docid, score in shared.items() if score > 0}, rel=1e-4
        )
        expected = {docid: by_hand(vectors, other) for docid, (_, other) in passages.items()}
        assert {hit.docid: hit.score for hit in late[qid]} == pytest.approx(expected, abs=2e-3)


def test_an_interrupted_index_continues_after_its_last_whole_shard(m3, tmp_path):
    retriever = built("sparse", m3, head="bge-m3", passage_length=32, shard_size=2)
    run = searched(retriever, tmp_path / "index")
    (tmp_path / "index" / "shard-00001.json").unlink()
    facts = retriever.index("en", iter(PASSAGES), tmp_path / "index", lambda done: None)
    assert facts["resumed_after"] == 2
    assert retriever.search("en", tmp_path / "index", TOPICS, 10) == run


def test_code_of_the_models_own_needs_consent(m3, tmp_path):
    folder = save_random(tmp_path / "model", "XLMRoberta")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "own.Model"}}))
    for name in ("sparse", "late-interaction"):
        with pytest.raises(UsageError, match="Python code of its own"):
            built(name, folder).conventions("en")


# -- sums --------------------------------------------------------------------------------------------------------------


def test_a_sum_of_three_retrievers_has_a_weight_for_each():
    of = {label: {"name": "bm25", "k1": k1} for label, k1 in (("dense", 0.9), ("sparse", 1.0), ("multi", 1.1))}
    weights = {"dense": 1.0, "sparse": 0.3, "multi": 1.0}
    hybrid = Member.of("retrievers", {"name": "hybrid", "of": of, "weights": weights}).build()
    runs = {"dense": {"q": [Hit("a", 0.5)]}, "sparse": {"q": [Hit("a", 1.0), Hit("b", 2.0)]}, "multi": {"q": []}}
    assert hybrid.fuse(runs, 10) == {"q": [Hit("a", pytest.approx(0.8)), Hit("b", pytest.approx(0.6))]}
    with pytest.raises(ValueError, match="weights are for"):
        Member.of("retrievers", {"name": "hybrid", "of": of, "weights": {"dense": 1.0}})
