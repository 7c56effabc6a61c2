"""Instruction tuning of the generator: LoRA on all linear layers of a causal language model, one loop.

The "multilingual instruction fine-tuning" of Huang et al. 2025: rank 8, five epochs, learning rate 1e-3 on a cosine
with warm-up 0.1, over instructions of all languages mixed. The loss is taken on the output's tokens only, and every
step weighs its tokens alike, so that ``micro_batch`` changes memory and not the gradient. Batches, dropout and learning
rate depend on seed and step alone: a run that goes on from a checkpoint ends with the weights of one not stopped.

::

    OUT/adapter/         the LoRA adapter and the tokenizer, as peft and vLLM read them
    OUT/merged/          the whole model with the adapter merged in, if asked for
    OUT/README.md        model, data, and how to serve it
    OUT/log.jsonl        step, epoch, loss per token, learning rate, tokens
    OUT/tuning.json      settings, counts, losses, environment; written last
    OUT/checkpoint-N/    adapter and optimiser after N steps; the last one, while training goes on
"""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from mdrbench.core import environment, extras
from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.locks import file_lock
from mdrbench.core.store import file_sha256, key_of
from mdrbench.hub import loading, models
from mdrbench.training.generator import card as generator_card
from mdrbench.training.generator.instructions import Example, collate, described, encode, read_instructions

if TYPE_CHECKING:
    import torch

Say = Callable[[str], None]

RUN_ONLY = ("micro_batch", "save_every")

RECORD = "tuning.json"


class Config(BaseModel):
    """The model and the settings; the defaults are the paper's if it states them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str = Field(description="hub repository or a local folder")
    revision: str | None = Field(default=None, description="commit, tag or branch on the hub")
    source: Literal["auto", "hub", "local"] = "auto"
    rank: Literal[8, 16, 32, 64, 128, 256] = Field(
        default=8, description="rank of the LoRA matrices; vLLM serves these ranks"
    )
    alpha: float = Field(default=16, gt=0, description="LoRA's scale is alpha / rank; not given in the paper")
    dropout: float = Field(
        default=0.05, ge=0, lt=1, description="dropout before the LoRA matrices; not given in the paper"
    )
    epochs: int = Field(default=5, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps in which the rate rises from 0")
    batch_size: int = Field(default=32, ge=1, description="examples per step; not given in the paper")
    max_length: int = Field(default=1024, ge=8, description="tokens; longer examples are left out and counted")
    max_norm: float = Field(default=1.0, gt=0, description="gradients are clipped to this norm")
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    micro_batch: int = Field(default=4, ge=1, description="examples that pass through the model at once")
    save_every: int = Field(default=100, ge=1, description="steps between checkpoints")


def tune(
    config: Config,
    instructions: Path,
    out: Path,
    say: Say,
    *,
    merge: bool = False,
    progress: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> dict[str, Any]:
    """Train an adapter in ``out``, or continue its training; a finished one is returned as it is.

    Args:
        merge: also write the whole model with the adapter merged in.
        progress: called after each step with steps done, steps in all and the loss per token.

    Returns:
        What ``tuning.json`` holds.

    Raises:
        SetupError: peft is missing, or the model cannot be downloaded.
        DataError: the instructions or the model are not usable.
        UsageError: ``out`` holds a run with other settings, model or instructions.
    """
    _need_peft()
    rows = read_instructions(instructions)
    wanted = (config.model, config.revision, config.source, models.default_root())
    base = models.find(*wanted) or models.pull(*wanted, say)
    settings = _settings(config, base)
    sha256 = file_sha256(instructions)
    identity = key_of([settings | {"model": None}, sha256])  # the revision says which; a folder may move
    out.mkdir(parents=True, exist_ok=True)
    with file_lock(out / ".lock", on_wait=lambda: say(f"another process tunes into {out}; waiting")):
        if done := _finished(out, identity, merge):
            say(f"{out} is finished already: {done['steps']} steps")
            return done
        tokenizer = loading.load_tokenizer(base.path)
        examples, too_long = encode(rows, tokenizer, config.max_length, say)
        model = _with_lora(base, config)
        steps = _train(model, examples, config, identity, out, say, progress)
        record = {
            "format": 1,
            "identity": identity,
            "settings": settings,
            "model_source": base.source,
            "instructions": described(instructions, sha256, rows, too_long),
            "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "steps": steps,
            "loss_by_epoch": _loss_by_epoch(out / "log.jsonl"),
            "merged": merge,
            "peft": environment.package_version("peft"),
            "environment": environment.describe(),
        }
        _save(model, tokenizer, base, out, merge)
        _finish(record, out)
    return record


def _need_peft() -> None:
    try:
        import peft  # noqa: F401
    except ModuleNotFoundError:
        raise SetupError("peft is not installed", mend=f"run `{extras.command('generator')}`") from None


def _settings(config: Config, base: models.LocalModel) -> dict[str, Any]:
    """Return what decides the adapter, with the model's revision and the resolved precision."""
    settings = config.model_dump(mode="json", exclude={*RUN_ONLY, "source"})
    precision = environment.precision(config.precision)
    return settings | {"model": base.name, "revision": base.revision, "precision": precision, "dropout_by": "text"}


def _finished(out: Path, identity: str, merge: bool) -> dict[str, Any] | None:
    """Return the record of a finished run with this identity; a UsageError if the folder holds another run."""
    try:
        record: dict[str, Any] = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if record["identity"] != identity:
        raise _other_run(out)
    if merge and not record["merged"]:
        raise UsageError("the run is finished, without a merged model", where=str(out), mend="tune into another folder")
    return record


def _other_run(out: Path) -> UsageError:
    return UsageError(
        "the folder holds a run with another model, other settings or other instructions",
        where=str(out),
        mend="give another --out, or delete the folder",
    )


# -- training ----------------------------------------------------------------------------------------------------------


def _with_lora(base: models.LocalModel, config: Config) -> Any:
    """Return the model with LoRA on its linear layers (not the output layer); nothing else is trained."""
    import torch
    from peft import LoraConfig, get_peft_model

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[environment.precision(config.precision)]
    model = loading.load_model(base.path, "AutoModelForCausalLM", dtype=dtype)
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=cast(Any, config.alpha),  # peft takes fractions, and its type says whole numbers
        lora_dropout=config.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():  # peft asks for a property that transformers is about to rename
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return get_peft_model(model, lora).to(environment.device())


def rate(step: int, steps: int, warmup: float) -> float:
    """Return the share of the learning rate at a step: linear warm-up from 0, then half a cosine to 0."""
    rising = math.ceil(warmup * steps)
    if step < rising:
        return step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def batch_of(step: int, count: int, size: int, seed: int) -> tuple[int, list[int]]:
    """Return epoch and example numbers of a step: every epoch goes through all examples in its own order."""
    import torch

    epoch, at = divmod(step, math.ceil(count / size))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return epoch, order[at * size : (at + 1) * size]


def _train(
    model: Any,
    examples: list[Example],
    config: Config,
    identity: str,
    out: Path,
    say: Say,
    progress: Callable[[int, int, float], None],
) -> int:
    """Run the loop; return the number of steps."""
    import torch

    from mdrbench.training.dropout import text_seed

    steps = config.epochs * math.ceil(len(examples) / config.batch_size)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=0.0)
    first = _resume(model, optimizer, identity, out)
    if first:
        say(f"continuing after step {first} of {steps}")
    model.train()
    with open(out / "log.jsonl", "a", encoding="utf-8") as log:
        for step in range(first, steps):
            torch.manual_seed(config.seed + step)
            epoch, numbers = batch_of(step, len(examples), config.batch_size, config.seed)
            batch = [examples[i] for i in numbers]
            now = config.learning_rate * rate(step, steps, config.warmup)
            for group in optimizer.param_groups:
                group["lr"] = now
            seeds = [text_seed(config.seed, step, 0, at) for at in range(len(batch))]
            loss, tokens = _backward(model, batch, seeds, config.micro_batch)
            if not math.isfinite(loss):
                raise DataError(f"the loss is {loss} at step {step + 1}", where=str(out), mend="lower --lr")
            torch.nn.utils.clip_grad_norm_(weights, config.max_norm)
            optimizer.step()
            optimizer.zero_grad()
            entry = {"step": step + 1, "epoch": epoch + 1, "loss": loss, "lr": now, "tokens": tokens}
            log.write(json.dumps(entry) + "\n")
            if (step + 1) % config.save_every == 0 or step + 1 == steps:
                log.flush()
                _checkpoint(model, optimizer, step + 1, identity, out)
            progress(step + 1, steps, loss)
    return steps


def _backward(model: Any, batch: list[Example], seeds: list[int], micro_batch: int) -> tuple[float, int]:
    """Compute gradients of the mean loss over the batch's output tokens; return the loss and the number of tokens.

    Args:
        seeds: one for each example, from which its dropout follows.
    """
    import torch

    from mdrbench.training.dropout import TextDropout

    tokens = sum(len(example.ids) - example.start for example in batch)
    total = 0.0
    for start in range(0, len(batch), micro_batch):
        piece = batch[start : start + micro_batch]
        ids, mask, labels = collate(piece)
        device = next(model.parameters()).device
        lengths = [len(example.ids) for example in piece]
        with TextDropout(seeds[start : start + micro_batch], lengths, packed=False, device=device):
            output = model(input_ids=ids.to(device), attention_mask=mask.to(device))
        logits = output.logits[:, :-1].float()  # (B, L-1, V)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten().to(device), ignore_index=-100, reduction="sum"
        )
        torch.autograd.backward(loss / tokens)
        total += loss.item()
    return total / tokens, tokens


# -- on disk -----------------------------------------------------------------------------------------------------------


def _checkpoint(model: Any, optimizer: torch.optim.Optimizer, step: int, identity: str, out: Path) -> None:
    """Save adapter and optimiser after ``step`` steps, whole or not at all; remove older ones."""
    import torch
    from peft import get_peft_model_state_dict

    with _made_whole(out / f"checkpoint-{step}") as part:
        adapter = get_peft_model_state_dict(model, save_embedding_layers=False)
        torch.save({"identity": identity, "adapter": adapter, "optimizer": optimizer.state_dict()}, part / "state.pt")
    for older in out.glob("checkpoint-*"):
        if older.name != f"checkpoint-{step}":
            shutil.rmtree(older)


def _resume(model: Any, optimizer: torch.optim.Optimizer, identity: str, out: Path) -> int:
    """Load the last checkpoint into model and optimiser; return its number of steps, 0 if there is none."""
    import torch
    from peft import set_peft_model_state_dict

    steps = max((int(path.name.removeprefix("checkpoint-")) for path in out.glob("checkpoint-*")), default=0)
    if steps:
        path = out / f"checkpoint-{steps}" / "state.pt"
        state = torch.load(path, map_location=next(model.parameters()).device, weights_only=True)
        if state["identity"] != identity:
            raise _other_run(out)
        set_peft_model_state_dict(model, state["adapter"])
        optimizer.load_state_dict(state["optimizer"])
    kept = [entry for entry in _log(out / "log.jsonl") if entry["step"] <= steps]
    write_atomically(out / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in kept))
    return steps


def _log(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of the log; a killed run may have left half a line."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _loss_by_epoch(path: Path) -> list[float]:
    """Return the mean loss per token in each epoch."""
    loss: Counter[int] = Counter()
    tokens: Counter[int] = Counter()
    for entry in _log(path):
        loss[entry["epoch"]] += entry["loss"] * entry["tokens"]
        tokens[entry["epoch"]] += entry["tokens"]
    return [loss[epoch] / tokens[epoch] for epoch in sorted(tokens)]


def _save(model: Any, tokenizer: Any, base: models.LocalModel, out: Path, merge: bool) -> None:
    """Save adapter and tokenizer, and the merged model if asked for."""
    model.peft_config["default"].base_model_name_or_path = base.name
    with _made_whole(out / "adapter") as part:
        model.save_pretrained(part, save_embedding_layers=False)
        tokenizer.save_pretrained(part)
        (part / "README.md").unlink(missing_ok=True)  # peft's empty card
    if merge:
        with _made_whole(out / "merged") as part:
            model.merge_and_unload().save_pretrained(part)
            tokenizer.save_pretrained(part)


def _finish(record: dict[str, Any], out: Path) -> None:
    """Write the card and, last, the record; remove the checkpoints."""
    write_atomically(out / "README.md", generator_card.card(record))
    write_atomically(out / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    for checkpoint in out.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill; it gets its name when it is filled."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    yield part
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(part, folder)
