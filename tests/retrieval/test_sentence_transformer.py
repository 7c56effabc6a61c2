"""The encoder that hands a folder to sentence-transformers, and adapters of the other encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.model_folders import copied, describe
from support.models import TEXTS

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.members import Member


def encoder(folder: Path, name: str = "sentence-transformer", **changes):
    return Member.of("encoders", {"name": name, "model": str(folder), "precision": "fp32", **changes}).build()


@pytest.fixture
def folder(tiny_model, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return copied(tiny_model, tmp_path / "model")


@pytest.mark.medium
def test_prompts_lengths_and_layers_are_those_of_the_folder_unless_set(folder):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm

    describe(folder, "Pooling", "LayerNorm", prompts={"query": "query : ", "document": ""})
    LayerNorm(dimension=32).save(str(folder / "2_LayerNorm"))
    model = SentenceTransformer(str(folder), device="cpu")
    with pytest.raises(DataError, match="layer 2 is LayerNorm"):  # which the other encoder does not apply
        encoder(folder, "transformer").conventions()
    mine = encoder(folder)
    assert mine.encode_queries(TEXTS) == pytest.approx(model.encode_query(TEXTS, normalize_embeddings=True), abs=1e-6)
    found = encoder(folder, query_prefix="seal : ", query_length=4, truncate_dim=8, normalize=False)
    model.max_seq_length = 4
    expected = model.encode(TEXTS, prompt="seal : ", truncate_dim=8)
    assert found.encode_queries(TEXTS) == pytest.approx(expected, abs=1e-6)
    assert found.encode_passages([], print).shape == (0, 8)
    assert {key: found.conventions()[key] for key in ("query_prefix", "query_length", "truncate_dim")} == {
        "query_prefix": "seal : ",
        "query_length": 4,
        "truncate_dim": 8,
    }


CODE = """
from sentence_transformers.base.modules import Normalize
class Doubled(Normalize):
    def forward(self, features, **_):
        features = super().forward(features)
        features["sentence_embedding"] = 2 * features["sentence_embedding"]
        return features
"""


def test_a_layer_of_the_models_own_runs_only_by_consent_to_its_revision(folder):
    describe(folder, "Pooling", "Normalize")
    rows = json.loads((folder / "modules.json").read_text())
    rows[2]["type"] = "doubled.Doubled"
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "doubled.py").write_text(CODE)
    with pytest.raises(UsageError, match="Python code of its own") as error:
        encoder(folder).conventions()
    revision = encoder(folder).files.revision
    assert f"trust_remote_code: {revision}" in error.value.mend
    with pytest.raises(UsageError, match="Python code of its own"):
        encoder(folder).encode_queries(TEXTS)
    trusted = encoder(folder, trust_remote_code=revision, normalize=False)
    assert np.linalg.norm(trusted.encode_queries(TEXTS), axis=1) == pytest.approx([2.0] * 4, abs=1e-5)
    assert trusted.conventions()["trust_remote_code"] == revision


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
def test_an_adapter_for_queries_changes_queries_alone(folder):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    describe(folder, "Pooling", "Normalize")
    plain = encoder(folder, "transformer")
    queries, passages = plain.encode_queries(TEXTS), plain.encode_passages(TEXTS, print)
    config = LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False)
    adapted = get_peft_model(AutoModel.from_pretrained(folder), config)
    adapted.save_pretrained(folder / "for_queries")
    mine = encoder(folder, "transformer", query_adapter="for_queries")
    assert mine.conventions()["query_adapter"] == "for_queries"
    assert np.abs(mine.encode_queries(TEXTS) - queries).max() > 0.001
    assert mine.encode_passages(TEXTS, print) == pytest.approx(passages, abs=1e-6)
    assert mine.files.revision != plain.files.revision
    with pytest.raises(DataError, match="there is no adapter in this folder"):
        encoder(folder, "transformer", query_adapter="other").encode_queries(TEXTS)
