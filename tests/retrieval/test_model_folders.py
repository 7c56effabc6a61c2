"""The model that is measured is the model that is named: damaged, incomplete and contradicting folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.model_folders import add_dense, copied, describe, edit_json, edit_weights
from support.models import TEXTS, save_tokenizer
from support.training import DATA, Plan, conventions, settings

from mdrbench.core.errors import DataError, MdrbenchError, UsageError
from mdrbench.core.members import Member
from mdrbench.hub import loading
from mdrbench.retrieval.encoders import transformer
from mdrbench.training.loop import train


def encoder(folder: Path, **changes) -> transformer.Transformer:
    given = {"pooling": "mean", "normalize": True, "query_length": 32, "passage_length": 32, "precision": "fp32"}
    return Member.of("encoders", {"name": "transformer", "model": str(folder), **given, **changes}).build()


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    return copied(tiny_model, tmp_path / "model")


def saved(kind: str, to: Path, **sizes) -> Path:
    """A model of a class of transformers with random weights and the tests' tokenizer."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=save_tokenizer(to), **sizes)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(to)
    return to


def gpt2(to: Path) -> Path:
    """A decoder without a padding token."""
    special = {"bos_token_id": 2, "eos_token_id": 3}
    folder = saved("GPT2", to, n_embd=32, n_layer=2, n_head=2, n_positions=64, **special)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    del tokenizer["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


# -- weights -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_lacks_a_layer_is_refused_in_encoding_and_in_training(folder, tmp_path):
    edit_weights(folder, lambda weights: {name: value for name, value in weights.items() if "layer.1." not in name})
    with pytest.raises(DataError, match=r"lacks 16 weights: encoder\.layer\.1\..* and 13 more") as error:
        encoder(folder).encode_queries(TEXTS)
    assert error.value.where == str(folder)
    with pytest.raises(DataError, match="lacks 16 weights"):
        train(settings(), folder, conventions(folder), DATA, Plan(2), out=tmp_path / "out")
    with pytest.raises(DataError, match="lacks 16 weights"):
        loading.check_weights(folder, "BertModel")


def test_a_weight_that_the_configuration_has_no_place_for_is_refused(folder):
    edit_weights(folder, lambda weights: {**weights, "encoder.layer.2.output.dense.bias": torch.zeros(32)})
    with pytest.raises(DataError, match=r"no place for 1 weight: encoder\.layer\.2\.output\.dense\.bias"):
        encoder(folder).encode_queries(TEXTS)


def test_the_pooler_and_the_head_of_a_language_model_are_not_needed(folder, tmp_path):
    expected = encoder(folder).encode_queries(TEXTS)
    edit_weights(folder, lambda weights: {name: w for name, w in weights.items() if "pooler" not in name})
    assert np.array_equal(encoder(folder).encode_queries(TEXTS), expected)
    edit_weights(
        folder,
        lambda weights: (
            {f"bert.{name}": value for name, value in weights.items()}
            | {"cls.predictions.bias": torch.zeros(3), "bert.embeddings.position_ids": torch.arange(512)[None]}
        ),
    )
    edit_json(folder / "config.json", architectures=["BertForMaskedLM"])
    assert np.array_equal(encoder(folder).encode_queries(TEXTS), expected)


def break_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def drop_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def deepen(folder: Path) -> None:
    (folder / "config.json").write_text('{"a":' * 200_000 + "1" + "}" * 200_000)  # Python 3.13 reads 5,000


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (break_weights, "the model cannot be loaded"),
        (drop_tokenizer, "the folder holds no tokenizer"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": '),
            r"config\.json: the file cannot be read",
        ),
        (lambda folder: (folder / "config.json").write_text("[]"), r"config\.json: the file holds no JSON object"),
        (
            lambda folder: (folder / "modules.json").write_text('[{"idx": 0}]'),
            r"modules\.json: the file cannot be read",
        ),
        (deepen, r"config\.json: the file cannot be read"),
        (lambda folder: edit_json(folder / "config.json", model_type="no-such-model"), "cannot be loaded"),
        (lambda folder: edit_json(folder / "config.json", hidden_size=48), "cannot be loaded"),
        (lambda folder: edit_json(folder / "config.json", vocab_size=9), "cannot be loaded"),
    ],
)
def test_damaged_folders_are_a_data_error_that_names_the_folder(folder, damage, problem):
    damage(folder)
    with pytest.raises(DataError, match=problem) as error:
        encoder(folder).encode_queries(TEXTS)
    assert str(folder) in error.value.where
    assert error.value.mend


def test_a_tokenizer_of_another_model_is_refused(folder):
    edit_weights(
        folder, lambda w: {**w, "embeddings.word_embeddings.weight": w["embeddings.word_embeddings.weight"][:9]}
    )
    edit_json(folder / "config.json", vocab_size=9)
    with pytest.raises(DataError, match="gives the token 20, but the model has embeddings for 9 tokens"):
        encoder(folder).encode_queries(TEXTS)


# -- layers and conventions --------------------------------------------------------------------------------------------


@pytest.mark.medium
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "weighted-mean", "last-token"])
@pytest.mark.parametrize("architecture", ["Bert", "DistilBert"])
def test_a_described_folder_gives_sentence_transformers_embeddings(tiny_models, tmp_path, architecture, pooling):
    """Both paths, with and without padding; two linear layers, one of them pickled."""
    from sentence_transformers import SentenceTransformer

    folder = copied(tiny_models[architecture], tmp_path / "model")
    theirs = {"weighted-mean": "weightedmean", "last-token": "lasttoken"}.get(pooling, pooling)
    describe(folder, "Pooling", "Dense", "Dense", "Normalize", pooling=theirs)
    add_dense(folder, 2, 32, out=24)
    add_dense(folder, 3, 24, out=16, activation="Identity", pickled=True)
    texts = [*TEXTS, "", "🦭 lake", "seal " * 60]
    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = 32
    mine = encoder(folder, pooling=pooling)
    assert mine.dim == 16
    assert mine.conventions()["dense_layers"] == ["2_Dense", "3_Dense"]
    assert mine.without_padding == (architecture == "Bert")
    assert mine.encode_queries(texts) == pytest.approx(model.encode(texts, batch_size=1), abs=1e-5)
    assert mine.encode_queries(texts) == pytest.approx(model.encode(texts, batch_size=8), abs=1e-5)


def test_layers_that_are_not_applied_are_refused_by_name(folder, tmp_path):
    describe(folder, "Pooling", "LayerNorm")
    with pytest.raises(DataError, match="layer 2 is LayerNorm, which mdrbench does not apply"):
        encoder(folder).conventions()
    describe(folder, "Pooling", "Normalize", "Dense")
    with pytest.raises(DataError, match="layer 3 is Dense"):
        encoder(folder).conventions()
    describe(folder, "Normalize")
    with pytest.raises(DataError, match="no layer Pooling"):
        encoder(folder).conventions()
    describe(folder, "Pooling", pooling="mean_sqrt_len_tokens")
    with pytest.raises(DataError, match="pooling by mean_sqrt_len_tokens is not applied"):
        encoder(folder).conventions()
    describe(folder, "Pooling", "Dense")
    add_dense(folder, 2, 32, out=16)
    edit_json(folder / "2_Dense" / "config.json", activation_function="my.module.Special")
    with pytest.raises(DataError, match="the activation Special is not applied"):
        encoder(folder).encode_queries(TEXTS)
    with pytest.raises(UsageError, match="training does not support the linear layer 2_Dense"):
        train(settings(), folder, conventions(folder), DATA, Plan(2), out=tmp_path / "out")


def test_a_recipe_that_contradicts_the_folder_must_say_so(folder):
    describe(folder, "Pooling", "Normalize", pooling="cls", prompts={"query": "find: ", "document": ""})
    with pytest.raises(UsageError) as error:
        encoder(folder, normalize=False, query_prefix="", passage_prefix="passage: ").conventions()
    for part in ("pooling is 'mean', the model says 'cls'", "normalize is False, the model says True"):
        assert part in error.value.message
    for part in ("query_prefix is '', the model says 'find: '", "passage_prefix is 'passage: ', the model says ''"):
        assert part in error.value.message
    assert "overrides_model: [pooling, normalize, query_prefix, passage_prefix]" in error.value.mend
    assert "overrides_model" not in encoder(folder, pooling="cls", query_prefix="find: ").conventions()
    meant = encoder(folder, query_prefix="find: ", overrides_model=["pooling"])
    assert meant.conventions()["overrides_model"] == ["pooling"]
    assert len(meant.encode_queries(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize(
    ("described", "stated"),
    [
        ({"prompts": {"query": "", "document": ""}}, False),  # what sentence-transformers writes for any model
        ({"prompts": {"query": None}, "default_prompt_name": None}, False),
        ({"prompts": {"passage": "p: "}}, True),
        ({"prompts": {"all": "x: "}, "default_prompt_name": "all"}, True),
        ({"prompts": {"classification": "x: "}}, False),
    ],
)
def test_prompts_that_a_folder_states(folder, described, stated):
    describe(folder, "Pooling", **described)
    if stated:
        with pytest.raises(UsageError, match="passage_prefix"):
            encoder(folder, passage_prefix="passage: ").conventions()
    else:
        encoder(folder, passage_prefix="passage: ").conventions()


def test_older_folders_name_their_pooling_by_flags(folder):
    describe(folder, "Pooling")
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    with pytest.raises(UsageError, match="the model says 'cls'"):
        encoder(folder).conventions()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}')
    with pytest.raises(DataError, match="pooling by cls and mean is not applied"):
        encoder(folder).conventions()


def test_a_recipe_may_leave_all_conventions_to_the_folder(folder):
    from sentence_transformers import SentenceTransformer

    describe(folder, "Pooling", "Normalize", pooling="lasttoken", prompts={"query": "query : ", "document": ""})
    edit_json(folder / "sentence_bert_config.json", max_seq_length=9)
    mine = transformer.Transformer(transformer.Config(model=str(folder), precision="fp32"))
    expected = {"pooling": "last-token", "normalize": True, "query_prefix": "query : ", "passage_prefix": ""}
    assert expected | {"query_length": 9, "passage_length": 9} == {
        name: mine.conventions()[name] for name in (*expected, "query_length", "passage_length")
    }
    model = SentenceTransformer(str(folder), device="cpu")
    texts = [*TEXTS, "seal " * 30]
    assert mine.encode_queries(texts) == pytest.approx(model.encode_query(texts), abs=1e-5)
    assert mine.encode_passages(texts, print) == pytest.approx(model.encode_document(texts), abs=1e-5)


def test_a_convention_that_nobody_states_is_asked_for(folder):
    with pytest.raises(UsageError, match="neither the recipe nor the model's files state pooling"):
        transformer.Transformer(transformer.Config(model=str(folder))).conventions()
    given = {"model": str(folder), "pooling": "cls"}
    with pytest.raises(UsageError, match="neither the recipe nor the model's files state normalize"):
        transformer.Transformer(transformer.Config(**given)).conventions()
    found = transformer.Transformer(transformer.Config(**given, normalize=False)).conventions()
    assert (found["query_length"], found["query_prefix"]) == (512, "")


def test_a_sentence_about_the_task_replaces_the_models_own_in_the_prompt(folder):
    prompt = "Instruct: Given a web search query, retrieve passages\nQuery:"
    describe(folder, "Pooling", prompts={"query": prompt, "document": ""})
    task = {"model": str(folder), "task": "find lakes", "precision": "fp32"}
    found = transformer.Transformer(transformer.Config(**task))
    assert found.conventions()["query_prefix"] == "Instruct: find lakes\nQuery:"
    plain = transformer.Transformer(transformer.Config(model=str(folder), precision="fp32"))
    assert plain.conventions()["query_prefix"] == prompt
    assert np.abs(found.encode_queries(TEXTS) - plain.encode_queries(TEXTS)).max() > 0.01
    assert np.array_equal(found.encode_passages(TEXTS, print), plain.encode_passages(TEXTS, print))
    same = transformer.Config(**task, query_prefix="Instruct: {task}\nQuery:")
    assert transformer.Transformer(same).conventions()["query_prefix"] == "Instruct: find lakes\nQuery:"
    other = transformer.Config(**task, query_prefix="{task}? ")
    with pytest.raises(UsageError, match=r"query_prefix is 'find lakes\? ', the model says 'Instruct: find lakes"):
        transformer.Transformer(other).conventions()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"task": "find lakes"}, "'' has no place for it"),
        ({"query_prefix": "Instruct: {task}\nQuery: "}, "has a place for a sentence about the task, and none is given"),
    ],
)
def test_a_task_and_a_place_for_it_need_each_other(folder, given, problem):
    with pytest.raises(UsageError, match=problem):
        encoder(folder, **given).conventions()


def test_truncated_embeddings_are_those_of_sentence_transformers(folder, tmp_path):
    from sentence_transformers import SentenceTransformer

    describe(folder, "Pooling", "Normalize")
    mine = encoder(folder, truncate_dim=8)
    theirs = SentenceTransformer(str(folder), device="cpu", truncate_dim=8)
    theirs.max_seq_length = 32
    assert mine.encode_queries(TEXTS) == pytest.approx(theirs.encode(TEXTS, normalize_embeddings=True), abs=1e-5)
    assert (mine.dim, mine.conventions()["truncate_dim"]) == (8, 8)
    assert "truncate_dim" not in encoder(folder).conventions()
    assert encoder(folder, truncate_dim=32).settings.truncate_dim == 32
    with pytest.raises(UsageError, match="truncate_dim is 33, but an embedding has 32 dimensions"):
        encoder(folder, truncate_dim=33).conventions()
    edit_json(folder / "config_sentence_transformers.json", truncate_dim=16)
    assert encoder(folder).encode_queries(TEXTS).shape == (4, 16)
    with pytest.raises(UsageError, match="training does not truncate"):
        train(settings(), folder, mine.settings, DATA, Plan(2), out=tmp_path / "out")


def test_case_and_length_are_as_the_folder_says(folder):
    describe(folder, "Pooling")
    edit_json(folder / "sentence_bert_config.json", do_lower_case=True)
    mine = encoder(folder)
    assert np.array_equal(mine.encode_queries(["A LAKE"]), mine.encode_queries(["a lake"]))
    edit_json(folder / "tokenizer_config.json", model_max_length=11)
    alone = transformer.Transformer(transformer.Config(model=str(folder))).conventions()
    assert alone["passage_length"] == 11


# -- lengths, padding, decoders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "longest"), [("Bert", 512), ("XLMRoberta", 511), ("DistilBert", 512)])
def test_a_length_above_the_models_positions_is_refused_when_planned(tiny_models, architecture, longest):
    folder = tiny_models[architecture]  # the padding token of the tests' XLMRoberta is 0
    encoder(folder, passage_length=longest).conventions()
    for name in ("query_length", "passage_length"):
        with pytest.raises(UsageError, match=f"{name} is {longest + 1}, but the model has positions for {longest}"):
            encoder(folder, **{name: longest + 1}).conventions()
    assert encoder(folder, passage_length=longest).encode_passages(["seal " * 600], print).shape == (1, 32)


def test_a_length_without_room_for_the_text_is_refused(tiny_model):
    with pytest.raises(UsageError, match="query_length is 2, and 2 tokens are the tokenizer's own"):
        encoder(tiny_model, query_length=2).encode_queries(TEXTS)


def causal(to: Path) -> Path:
    """A decoder with rotary positions, as Qwen3 embeddings have."""
    return saved(
        "Qwen3", to, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize("make", [gpt2, causal])
@pytest.mark.parametrize("pooling", ["mean", "last-token"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_decoder_gives_the_same_embedding_alone_and_in_any_batch(tmp_path, make, pooling, side):
    folder = make(tmp_path / "model")
    edit_json(folder / "tokenizer_config.json", padding_side=side)
    mine = encoder(folder, pooling=pooling)
    alone = np.concatenate([mine.encode_queries([text]) for text in TEXTS])
    assert mine.encode_queries(TEXTS) == pytest.approx(alone, abs=1e-6)
    assert np.linalg.norm(alone[0] - alone[1]) > 0.01
    with pytest.raises(UsageError, match="its first token does not see the rest") as error:
        encoder(folder, pooling="cls").encode_queries(TEXTS)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("pooling", ["mean", "last-token"])
def test_decoders_give_sentence_transformers_embeddings(tmp_path, pooling):
    from sentence_transformers import SentenceTransformer

    folder = causal(tmp_path / "model")
    edit_json(folder / "tokenizer_config.json", padding_side="left")
    describe(folder, "Pooling", "Normalize", pooling=pooling.replace("-", ""))
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=2)
    assert encoder(folder, pooling=pooling).encode_queries(TEXTS) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("architecture", ["Bert", "XLMRoberta", "DistilBert"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_tokenizer_that_pads_on_the_left_changes_nothing(tiny_models, tmp_path, architecture, pooling):
    folder = copied(tiny_models[architecture], tmp_path / "model")
    expected = encoder(folder, pooling=pooling).encode_queries(TEXTS)
    edit_json(folder / "tokenizer_config.json", padding_side="left")
    assert encoder(folder, pooling=pooling).encode_queries(TEXTS) == pytest.approx(expected, abs=1e-6)


def test_an_encoder_with_a_decoder_is_refused(tmp_path):
    folder = saved("T5", tmp_path / "t5", d_model=32, num_layers=1, d_kv=16, d_ff=32, num_heads=2)
    with pytest.raises(DataError, match="'t5' is an encoder with a decoder") as error:
        encoder(folder).encode_queries(TEXTS)
    assert error.value.exit_code == 3


def test_a_text_without_any_token_is_a_vector_of_zeros(tmp_path):
    folder = gpt2(tmp_path / "model")
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**content, "post_processor": None}))
    found = encoder(folder).encode_queries(["seal", "", "lake"])
    assert np.array_equal(found[1], np.zeros(32, dtype=np.float32))
    assert np.linalg.norm(found[[0, 2]], axis=1) == pytest.approx([1, 1])


# -- code of the model's own -------------------------------------------------------------------------------------------

CODE = """
from transformers import BertModel
class Doubled(BertModel):
    def forward(self, *words, **settings):
        found = super().forward(*words, **settings)
        found.last_hidden_state = found.last_hidden_state * 2
        return found
"""


def test_a_models_own_code_runs_only_by_consent_to_its_revision(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    plain = encoder(folder, normalize=False).encode_queries(TEXTS)
    (folder / "own.py").write_text(CODE)
    edit_json(folder / "config.json", auto_map={"AutoModel": "own.Doubled"})
    with pytest.raises(UsageError, match="Python code of its own") as error:
        encoder(folder).conventions()
    revision = encoder(folder).files.revision
    assert f"trust_remote_code: {revision}" in error.value.mend
    native = encoder(folder, normalize=False, overrides_model=["auto_map"])
    assert np.array_equal(native.encode_queries(TEXTS), plain)
    assert native.conventions()["overrides_model"] == ["auto_map"]
    trusted = encoder(folder, normalize=False, trust_remote_code=revision)
    assert trusted.conventions()["trust_remote_code"] == revision
    assert trusted.encode_queries(TEXTS) == pytest.approx(2 * plain, abs=1e-5)
    (folder / "own.py").write_text(CODE + "# changed\n")
    with pytest.raises(UsageError, match="allows the code of revision"):
        encoder(folder, trust_remote_code=revision).conventions()
    with pytest.raises(MdrbenchError, match="training does not run a model's own Python code"):
        train(settings(), folder, conventions(folder), DATA, Plan(2), out=tmp_path / "out")


def test_consent_without_code_and_code_of_another_repository_are_refused(folder):
    with pytest.raises(UsageError, match="no code of its own"):
        encoder(folder, trust_remote_code="main").conventions()
    edit_json(folder / "config.json", auto_map={"AutoModel": "other/repo--own.Doubled"})
    revision = encoder(folder).files.revision
    with pytest.raises(UsageError, match="lies in another repository \\(other/repo\\)"):
        encoder(folder, trust_remote_code=revision).conventions()
