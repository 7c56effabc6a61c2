"""The command ``tune-generator``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson
from mdrbench.core.console import print_json, say

SHOWN_EVERY = 10  # steps


def tune_generator(
    model: Annotated[str, typer.Option(help="Causal language model: OWNER/NAME on the hub, or a folder.")],
    instructions: Annotated[Path, typer.Option(help="JSON Lines file with the keys instruction, input, output, lang.")],
    out: Annotated[Path, typer.Option(help="Folder for adapter, log and card. An interrupted run continues there.")],
    revision: Annotated[Optional[str], typer.Option(help="Commit, tag or branch on the hub [default: main].")] = None,
    rank: Annotated[int, typer.Option(help="Rank of the LoRA matrices: 8, 16, 32, 64, 128 or 256.")] = 8,
    alpha: Annotated[float, typer.Option(help="LoRA scales its update by alpha / rank.")] = 16,
    dropout: Annotated[float, typer.Option(help="Dropout before the LoRA matrices.")] = 0.05,
    epochs: Annotated[int, typer.Option(help="Passes over the instructions.")] = 5,
    lr: Annotated[float, typer.Option(help="Learning rate at the end of the warm-up.")] = 1e-3,
    warmup: Annotated[
        float, typer.Option(help="Share of the steps with a rising learning rate. It then falls as a cosine to 0.")
    ] = 0.1,
    batch_size: Annotated[int, typer.Option(help="Examples in a step.")] = 32,
    micro_batch: Annotated[int, typer.Option(help="Examples in memory at once. Does not change the result.")] = 4,
    max_length: Annotated[int, typer.Option(help="Longest example in tokens. Longer examples are left out.")] = 1024,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of adapter, order and dropout.")] = 0,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 100,
    merge: Annotated[
        bool, typer.Option("--merge", help="Also write the whole model with the adapter merged in.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tune the query generator with LoRA.

    Trains on instructions in many languages. Needs the extra mdrbench[generator].
    """
    from pydantic import ValidationError

    from mdrbench.core.errors import UsageError
    from mdrbench.training.generator import tuning as generator_tuning

    settings = {
        **{"model": model, "revision": revision, "rank": rank, "alpha": alpha, "dropout": dropout, "epochs": epochs},
        **{"learning_rate": lr, "warmup": warmup, "batch_size": batch_size, "micro_batch": micro_batch},
        **{"max_length": max_length, "precision": precision, "seed": seed, "save_every": save_every},
    }
    try:
        config = generator_tuning.Config.model_validate(settings)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors())
        raise UsageError(wrong, mend="see `mdrbench tune-generator --help`") from None

    def progress(step: int, steps: int, loss: float) -> None:
        if step % SHOWN_EVERY == 0 or step in (1, steps):
            say(f"step {step} of {steps}  loss {loss:.4f}")

    record = generator_tuning.tune(config, instructions, out, say, merge=merge, progress=progress)
    if as_json:
        print_json(record)
    else:
        print(f"{record['steps']} steps, loss by epoch {', '.join(f'{x:.4f}' for x in record['loss_by_epoch'])}")
        print(f"written: {out}/README.md says how to serve it")
