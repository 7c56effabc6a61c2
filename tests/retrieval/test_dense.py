"""Dense retrieval on a tiny model with random weights, against sentence-transformers and numpy."""

from __future__ import annotations

import json
from contextlib import nullcontext
from itertools import islice

import numpy as np
import pytest
from support.models import TEXTS
from support.plans import planned_step

from mdrbench import recipe
from mdrbench.commands.run import run_plans
from mdrbench.core import environment
from mdrbench.core.errors import SetupError, StepError, UsageError
from mdrbench.core.members import Member
from mdrbench.core.store import Store
from mdrbench.core.types import Passage
from mdrbench.data.access import open_dataset
from mdrbench.pipeline import runner
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.retrieval import unpadded_bert, vectors
from mdrbench.retrieval.encoders import transformer
from mdrbench.retrieval.retrievers import dense


def config(model, **changes):
    settings = {"pooling": "mean", "normalize": True, "query_length": 32, "passage_length": 32, **changes}
    return {"name": "transformer", "model": str(model), "precision": "fp32", **settings}


def encoder(model, **changes) -> transformer.Transformer:
    return Member.of("encoders", config(model, **changes)).build()


def reference(folder, pooling="mean", normalize=True):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    modules = [Transformer(str(folder)), Pooling(32, pooling_mode=pooling), *([Normalize()] if normalize else [])]
    return SentenceTransformer(modules=modules, device="cpu")


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", True), ("mean", False), ("cls", True)])
@pytest.mark.parametrize("architecture", ["Bert", "XLMRoberta", "DistilBert"])
def test_embeddings_are_sentence_transformers(tiny_models, architecture, pooling, normalize):
    texts = [*TEXTS, "lake [PAD] seal", *TEXTS]  # several of a length, and a text that spells padding out
    folder = tiny_models[architecture]
    expected = reference(folder, pooling, normalize).encode(["query : " + text for text in texts], batch_size=1)
    mine = encoder(folder, pooling=pooling, normalize=normalize, query_prefix="query : ")
    assert mine.encode_queries(texts) == pytest.approx(expected, abs=1e-5)


def test_bert_and_its_relatives_run_without_padding_on_a_cpu(tiny_models):
    from transformers import AutoConfig, BertConfig

    assert {name: unpadded_bert.suits(AutoConfig.from_pretrained(folder)) for name, folder in tiny_models.items()} == {
        "Bert": True,
        "XLMRoberta": True,
        "DistilBert": False,
    }
    assert not unpadded_bert.suits(BertConfig(is_decoder=True))
    assert not unpadded_bert.suits(BertConfig(chunk_size_feed_forward=8))


@pytest.mark.skipif(not (environment.has_bf16()), reason="no bf16 on this machine")
@pytest.mark.parametrize("architecture", ["Bert", "DistilBert"])
def test_bf16_agrees_with_fp32(tiny_models, architecture):
    """Without padding and, for the second architecture, with it."""
    full, half = (encoder(tiny_models[architecture], precision=name) for name in ("fp32", "bf16"))
    assert half.without_padding == (architecture == "Bert" and environment.device() == "cpu")
    cosines = (full.encode_queries(TEXTS) * half.encode_queries(TEXTS)).sum(axis=1)
    assert cosines == pytest.approx(np.ones(len(TEXTS)), abs=1e-3)


@pytest.mark.wiki16
@pytest.mark.slow
def test_me5_small_gives_sentence_transformers_embeddings_of_real_passages(me5_small, wiki16_lite):
    from sentence_transformers import SentenceTransformer

    texts = [f"{p.title} {p.text}" for lang in ("en", "ja", "sw") for p in islice(wiki16_lite.passages(lang), 8)]
    theirs = SentenceTransformer(str(me5_small), device="cpu")
    expected = theirs.encode(texts, batch_size=4, prompt="passage: ")  # the prompt that the model's folder states
    found = encoder(me5_small, passage_length=512).encode_passages(texts, lambda done: None)
    assert found == pytest.approx(expected, abs=1e-5)


def test_embeddings_do_not_depend_on_batches_or_windows(tiny_model):
    whole = encoder(tiny_model).encode_queries(TEXTS * 5)
    small = encoder(tiny_model, batch_tokens=1).encode_queries(TEXTS * 5)
    windows = [encoder(tiny_model).encode_passages(TEXTS * n, lambda done: None) for n in (3, 2)]
    assert whole == pytest.approx(small, abs=1e-6)
    assert np.concatenate(windows) == pytest.approx(whole, abs=1e-6)


def test_the_size_of_a_batch_is_a_convention_if_it_changes_bits(tiny_model):
    """Without padding that is so in bf16. 512 tokens were once the only size, so they need no statement."""
    name = "batch_tokens_without_padding"
    bf16 = [
        encoder(tiny_model, precision="bf16", batch_tokens=size).conventions().get(name) for size in (99, 512, 8192)
    ]
    fp32 = [encoder(tiny_model, precision="fp32", batch_tokens=size).conventions().get(name) for size in (99, 8192)]
    assert (bf16, fp32) == ([99, None, 2048], [None, None])


@pytest.mark.medium
def test_a_batch_that_memory_does_not_hold_is_halved_and_the_result_says_so(tiny_models, tmp_path, monkeypatch):
    """The padded path on a CPU, with the error that torch raises when the memory of a GPU runs out."""
    import torch
    from transformers import DistilBertModel

    whole, sizes = DistilBertModel.forward, []

    def small(self, input_ids, **options):
        sizes.append(tuple(input_ids.shape))
        if input_ids.numel() > 128:
            raise torch.OutOfMemoryError
        return whole(self, input_ids=input_ids, **options)

    expected = encoder(tiny_models["DistilBert"]).encode_queries(TEXTS * 9)
    monkeypatch.setattr(DistilBertModel, "forward", small)
    halved = encoder(tiny_models["DistilBert"])
    assert halved.encode_queries(TEXTS * 9) == pytest.approx(expected, abs=1e-6)
    assert halved.facts()["batch_tokens"] < 8192
    assert sum(rows for rows, length in sizes if rows * length <= 128) == len(TEXTS) * 9

    store = Store(tmp_path / "store")
    name = write_recipe(tmp_path, tiny_models["DistilBert"])
    plan = plan_recipe(recipe.load(name), open_dataset("sample"), ["sw"], "dev", store, [])
    [(_, result)], error = run_plans([plan], store, tmp_path / "results", "mdrbench run", quiet=True)
    assert error is None
    conventions = result.languages["sw"].conventions
    assert conventions["batch_tokens"] == 8192
    assert conventions["batch_tokens_after_halving"] == min(
        store.find(*step.ref).facts["batch_tokens"] for step in plan.steps() if step.stage in ("index", "search")
    )


def test_texts_are_cut_at_the_stated_length(tiny_model):
    long, cut = "seal lake inari seal", "seal lake"
    mine = encoder(tiny_model, query_length=4, passage_length=32)  # [CLS] seal lake [SEP]
    assert mine.encode_queries([long]) == pytest.approx(mine.encode_queries([cut]), abs=1e-6)
    passages = mine.encode_passages([long, cut], lambda done: None)
    assert passages[0] != pytest.approx(passages[1], abs=1e-3)


def test_a_model_that_is_not_here_is_said_with_the_command_to_pull_it(tmp_path):
    with pytest.raises(SetupError, match="mdrbench models pull"):
        encoder("me5-large", source="hub").conventions()


def write_recipe(tmp_path, model, **retriever) -> str:
    path = tmp_path / "tiny.yaml"
    settings = {"name": "dense", "encoder": config(model), **retriever}
    path.write_text(f"summary: tiny\nretriever: {json.dumps(settings)}\n")
    return str(path)


def planned(maker, tmp_path, store, model, **retriever):
    loaded = recipe.load(write_recipe(tmp_path, model, **retriever))
    return plan_recipe(loaded, maker.whole(), ["en"], "dev", store, [])


def run(plan, store):
    executor = Member.of("executors", {"name": "local"}).build()
    return runner.run(plan.steps(), plan.targets(), store, executor, lambda planned: nullcontext(lambda event: None))


def test_a_run_is_the_inner_product_of_the_embeddings(maker, tmp_path, store, tiny_model):
    from mdrbench.formats import trec

    plan = planned(maker, tmp_path, store, tiny_model)
    outcome = run(plan, store)
    assert outcome.failures == {}
    mine = encoder(tiny_model)
    passages = list(maker.folder().passages("en"))
    matrix = mine.encode_passages([f"{p.title} {p.text}" for p in passages], lambda done: None)
    topics = trec.read_topics(maker.folder().topics_file("en", "dev"))
    scores = mine.encode_queries(list(topics.values())) @ matrix.astype(np.float16).astype(np.float32).T
    found = trec.read_run(outcome.artifacts[plan.by_language["en"].run.ref].path / "run.trec.gz")
    for qid, row in zip(topics, scores, strict=True):
        order = np.argsort(-row)
        assert [hit.docid for hit in found[qid]] == [passages[i].docid for i in order]
        assert [hit.score for hit in found[qid]] == pytest.approx(row[order].tolist(), abs=1e-5)
    facts = outcome.artifacts[plan.by_language["en"].evaluate.ref].manifest["lineage"]["search"]["facts"]
    conventions = facts["conventions"]
    assert conventions["model_source"] == "local"
    assert conventions["model_revision"].startswith("sha256:")
    assert (conventions["pooling"], conventions["precision"], conventions["dim"]) == ("mean", "fp32", 32)


def test_an_interrupted_encoding_goes_on_after_the_last_whole_shard(maker, tmp_path, store, tiny_model, monkeypatch):
    plan = planned(maker, tmp_path, store, tiny_model, shard_size=1)
    honest = vectors.write_shard

    def fails_on_the_third(folder, number, docids, matrix, precision):
        if number == 2:
            raise StepError("the power went out")
        honest(folder, number, docids, matrix, precision)

    with monkeypatch.context() as patch:
        patch.setattr(vectors, "write_shard", fails_on_the_third)
        assert "the power went out" in str(next(iter(run(plan, store).failures.values())))
    assert [p.docid for p in maker.folder().passages("en")] == ["1#0", "1#1", "2#0"]
    index = run(plan, store).artifacts[plan.by_language["en"].run.ref].manifest["lineage"]["index"]
    assert (index["facts"]["indexed"], index["facts"]["resumed_after"]) == (3, 2)
    shards = list(vectors.shards(store.find(*planned_step(plan, "index").ref).path / "index"))
    assert [shard.docids for shard in shards] == [["1#0"], ["1#1"], ["2#0"]]


def test_a_passage_without_a_title_is_its_text_alone(tiny_model, tmp_path):
    retriever = dense.Dense(dense.Config(encoder=config(tiny_model)))
    retriever.index("en", iter([Passage("1#0", "", "seal"), Passage("1#1", "lake", "seal")]), tmp_path, print)
    [shard] = vectors.shards(tmp_path)
    rows = np.load(shard.path).astype(np.float32)
    expected = encoder(tiny_model).encode_queries(["seal", "lake seal"])
    assert rows == pytest.approx(expected, abs=1e-3)


def test_mistakes_in_the_encoder_are_reported_with_the_rest(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "summary: x\nretriever:\n  name: dense\n  shard_size: 0\n  encoder: {name: transformer, poling: cls}\n"
    )
    with pytest.raises(UsageError) as error:
        recipe.load(str(path))
    said = str(error.value)
    assert "retriever.shard_size (line 4)" in said
    assert "retriever.encoder.poling (line 5): unknown key; did you mean 'pooling'" in said
    assert "retriever.encoder.model (line 5): missing" in said


@pytest.mark.slow
def test_me5_small_beats_bm25_on_the_sample(me5_small, tmp_path, store):
    """The real model on real text: paraphrases that BM25 misses."""
    from mdrbench.commands.run import plan_all

    path = tmp_path / "e5.yaml"
    path.write_text(f"extends: me5-small\nsummary: x\nretriever: {{encoder: {{model: {me5_small}, source: auto}}}}\n")
    values = {}
    for name in ("bm25", str(path)):
        [plan] = plan_all([name], "sample", "sw", "dev", [], store)
        outcome = run(plan, store)
        assert outcome.failures == {}
        values[name] = outcome.artifacts[plan.average.ref].facts["scores"]["nDCG@10"]["value"]
    assert values[str(path)] > values["bm25"] + 0.1
