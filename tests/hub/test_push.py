"""Pushing models and results to a hub on this machine, through huggingface_hub itself."""

from __future__ import annotations

import json
import shutil

import pytest
from huggingface_hub import constants
from support.hub_server import FakeHub
from support.project import PROJECT

from mdrbench.commands import push
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.hub import models

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own call

MODEL = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b"{}",
    "model.safetensors": bytes(range(256)) * 40,
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "README.md": b"# tiny",
}
BESIDE = {"checkpoint/optimizer.bin": b"state", ".lock": b""}


@pytest.fixture
def fake(monkeypatch, tmp_path):
    fake = FakeHub()
    with fake.running():
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_TOKEN", fake.token)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # Xet needs servers of its own
        yield fake


@pytest.fixture
def folder(tmp_path):
    """A folder of a trained model, with a file of a checkpoint beside it."""
    for name, body in {**MODEL, **BESIDE}.items():
        path = tmp_path / "trained" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return tmp_path / "trained"


def test_a_pushed_model_can_be_pulled_at_the_commit_that_the_push_names(fake, folder, tmp_path):
    pushed = push.run(folder, "lab/tiny")
    assert {path: body for (_, path), body in fake.files.items()} == MODEL
    assert pushed == (f"{fake.url}/lab/tiny", fake.commits["lab/tiny"], 5, sum(map(len, MODEL.values())))
    assert fake.messages == ["Push trained"]
    pulled = models.pull("lab/tiny", pushed.commit, root=tmp_path / "models")
    assert pulled.revision == pushed.commit
    assert (pulled.path / "model.safetensors").read_bytes() == MODEL["model.safetensors"]


def test_results_become_a_data_set_and_a_second_push_changes_nothing_else(fake, tmp_path):
    shutil.copytree(PROJECT / "results" / "sample" / "bm25", tmp_path / "results" / "sample" / "bm25")
    shutil.copy(PROJECT / "results" / "sample" / "bm25.json", tmp_path / "results" / "sample")
    pushed = push.run(tmp_path / "results", "lab/results", message="BM25")
    assert pushed.url == f"{fake.url}/datasets/lab/results"
    assert pushed.files == 1 + 2 * 16
    assert json.loads(fake.files["lab/results", "sample/bm25.json"])["system"]["name"] == "bm25"
    fake.put("lab/results", "README.md", b"# ours")
    push.run(tmp_path / "results", "lab/results")
    assert fake.files["lab/results", "README.md"] == b"# ours"


def test_nothing_is_pushed_of_a_folder_without_a_model_or_with_a_changed_result(fake, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="neither a model nor a result"):
        push.run(tmp_path, "lab/x")
    (tmp_path / "sample").mkdir()
    text = (PROJECT / "results" / "sample" / "bm25.json").read_text()
    (tmp_path / "sample" / "bm25.json").write_text(text.replace('"bm25"', '"bm52"', 1))
    with pytest.raises(DataError, match="its seal does not match"):
        push.run(tmp_path, "lab/x")
    assert fake.files == {}


def test_a_wrong_token_a_missing_one_and_a_wrong_name_are_said(fake, folder, monkeypatch):
    with pytest.raises(UsageError, match="'a/b/c' is not the name of a repository"):
        push.run(folder, "a/b/c")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(SetupError, match=r"the hub refuses this token \(401\)"):
        push.run(folder, "lab/tiny")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(SetupError, match="no token of the hub"):
        push.run(folder, "lab/tiny")


def test_a_hub_that_keeps_other_bytes_is_found_out(fake, folder, monkeypatch):
    monkeypatch.setattr(fake, "sent", _Spoiling())
    with pytest.raises(DataError, match=r"the hub's model.safetensors at \w{40} is not the file here"):
        push.run(folder, "lab/tiny")


class _Spoiling(dict):
    """Objects that the hub's store damages."""

    def __setitem__(self, oid, body):
        super().__setitem__(oid, body[:-1])


def test_a_damaged_run_or_a_link_out_of_the_folder_is_not_pushed(tmp_path):
    folder = tmp_path / "results" / "sample"
    shutil.copytree(PROJECT / "results" / "sample" / "bm25", folder / "bm25")
    shutil.copy(PROJECT / "results" / "sample" / "bm25.json", folder)
    (tmp_path / "private.txt").write_text("not meant for anybody")
    (folder / "notes.txt").symlink_to(tmp_path / "private.txt")
    with pytest.raises(DataError, match="a link to a file outside the folder"):
        push.contents(tmp_path / "results")
    (folder / "notes.txt").unlink()
    assert len(push.contents(tmp_path / "results")[1]) == 1 + 2 * 16
    run = folder / "bm25" / "sw-dev.run.trec.gz"
    run.write_bytes(run.read_bytes()[:-1])
    with pytest.raises(DataError, match="is not the file the result was recorded with"):
        push.contents(tmp_path / "results")
