"""Copies of a tiny model with a change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

ST = "sentence_transformers.models."


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def edit_json(path: Path, **changes) -> None:
    value = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**value, **changes}))


def edit_weights(folder: Path, change) -> None:
    from safetensors.torch import load_file, save_file

    weights = change(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def describe(folder: Path, *layers: str, pooling: str = "mean", **described) -> None:
    """Write the files of sentence-transformers. ``layers`` follow the Transformer, each in its own folder."""
    rows = [{"idx": 0, "name": "0", "path": "", "type": f"{ST}Transformer"}]
    for number, kind in enumerate(layers, 1):
        rows.append({"idx": number, "name": str(number), "path": f"{number}_{kind}", "type": f"{ST}{kind}"})
        edit_json(folder / f"{number}_{kind}" / "config.json")
    (folder / "modules.json").write_text(json.dumps(rows))
    if "Pooling" in layers:
        edit_json(folder / "1_Pooling" / "config.json", embedding_dimension=32, pooling_mode=pooling)
    if described:
        edit_json(folder / "config_sentence_transformers.json", **described)


def add_dense(
    folder: Path, number: int, width: int, *, out: int, activation: str = "Tanh", pickled: bool = False
) -> None:
    """Write a linear layer with random weights to ``N_Dense``."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(number)
    weights = {"linear.weight": torch.randn(out, width), "linear.bias": torch.randn(out)}
    target = folder / f"{number}_Dense"
    edit_json(
        target / "config.json",
        in_features=width,
        out_features=out,
        bias=True,
        activation_function=f"torch.nn.modules.{'linear' if activation == 'Identity' else 'activation'}.{activation}",
    )
    if pickled:
        torch.save(weights, target / "pytorch_model.bin")
    else:
        save_file(weights, target / "model.safetensors")
