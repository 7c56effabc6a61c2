"""Low-rank adapters: only they are trained, and the checkpoint is a plain model with them added."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from support.models import TEXTS, save_random
from support.training import DATA, Plan, conventions, settings

from mdrbench.core.errors import DataError
from mdrbench.core.members import Member
from mdrbench.training.loop import train
from mdrbench.training.settings import Settings, keyed


def test_a_decoder_is_trained_through_adapters_of_the_chosen_layers(tmp_path):
    folder = save_random(tmp_path / "base", "Qwen3")
    how = conventions(folder, pooling="last-token")
    adapters = settings(lora={"rank": 2, "layers": ["q_proj", "v_proj"]}, gradient_checkpointing=True)
    facts = train(adapters, folder, how, DATA, Plan(3), out=tmp_path / "out")
    # two layers: q_proj is 32 to 32, v_proj 32 to 16; a rank costs its inputs and outputs
    assert facts["parameters"] == 2 * 2 * ((32 + 32) + (32 + 16))
    before = load_file(folder / "model.safetensors")
    after = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {f"layers.{n}.self_attn.{kind}_proj.weight" for n in (0, 1) for kind in ("q", "v")}
    trained = {"name": "transformer", "model": str(tmp_path / "out" / "model"), "precision": "fp32"}
    assert Member.of("encoders", trained).build().encode_queries(TEXTS).shape == (4, 32)


def test_layers_that_the_model_lacks_are_an_error_that_names_its_layers(tiny_model, tmp_path):
    with pytest.raises(DataError, match=r"no linear layer of the model has a name of training\.lora\.layers") as error:
        train(settings(lora={"layers": ["q_proj"]}), tiny_model, conventions(tiny_model), DATA, Plan(2), out=tmp_path)
    assert "choose among dense, key, query, value" in error.value.mend


def test_without_adapters_keys_stay_as_they_were():
    assert "lora" not in keyed(Settings())
    chosen = keyed(Settings(lora={"rank": 4}))
    assert chosen["lora"] == {"rank": 4, "alpha": 32, "layers": []}
