"""The settings of a training; the defaults are those of Huang et al. 2025 for encoders that were trained before."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from mdrbench.core.members import MemberConfig
from mdrbench.training.distillation import Distillation

RUN_ONLY = ("micro_batch", "gradient_checkpointing", "save_every", "keep", "log_every", "tensorboard")
"""Settings that cannot change what is learned, beyond the rounding of floating point."""

ADDED = ("distillation", "mask_margin", "curriculum", "with_replacement", "lora")
"""Settings that came later and change nothing where they are None; they are in no key then."""


class Lora(MemberConfig):
    """Low-rank adapters (Hu et al., ICLR 2022): only they are trained, and they are added to the weights at the end."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1, description="the adapters' output is scaled by alpha / rank")
    layers: tuple[str, ...] = Field(
        default=(), description="names of the linear layers that get one, such as q_proj; empty: all"
    )


class Settings(MemberConfig):
    """How to train. Batch size and epochs are the batches' affair (:class:`mdrbench.training.Batches`)."""

    learning_rate: float = Field(default=2e-6, gt=0)
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps in which the rate rises from 0")
    decay: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(
        default=0.0, ge=0, description="weight decay of AdamW, not on biases and norms; 0 is Adam"
    )
    max_grad_norm: float = Field(default=1.0, gt=0, description="gradients are clipped to this norm")
    temperature: float = Field(default=0.02, gt=0, description="softmax temperature; not given in the paper")
    similarity: Literal["cosine", "dot"] = "cosine"
    negatives: int = Field(default=7, ge=0, description="hard negatives drawn per query and step; 0: in-batch only")
    weights_on: Literal["negative", "example"] = Field(
        default="negative", description="a query's weight applies to its passages as negatives, or to its own loss"
    )
    attention_dropout: float | None = Field(default=None, ge=0, lt=1, description="None: the value of the model")
    lora: Lora | None = Field(default=None, description="train low-rank adapters in place of the weights")
    freeze_word_embeddings: bool = Field(default=False, description="keep the input embeddings unchanged")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    validation: float = Field(default=0.1, ge=0, lt=1, description="share of the queries held out")
    validate_every: int = Field(default=0, ge=0, description="steps between validations; 0: only after the last step")
    patience: int = Field(
        default=0, ge=0, description="stop after this many validations without a lower loss; 0: never"
    )
    distillation: Distillation | None = Field(default=None, description="learn the scores of `teacher`")
    mask_margin: float | None = Field(
        default=None, ge=0, description="leave out negatives that `teacher` scores above the positive less this margin"
    )
    curriculum: float | None = Field(
        default=None, gt=0, le=1, description="share of each query's negatives, easiest, that the first step may draw"
    )
    with_replacement: Literal[True] | None = Field(
        default=None, description="draw a query's negatives with replacement, as the paper's released code does"
    )
    seed: int = 0
    micro_batch: int = Field(
        default=0, ge=0, description="texts that pass through the model at once (gradient caching); 0: the whole batch"
    )
    gradient_checkpointing: bool = False
    save_every: int = Field(default=500, ge=1, description="steps between checkpoints")
    keep: int = Field(default=2, ge=1, description="checkpoints that are kept")
    log_every: int = Field(default=1, ge=1, description="steps between log lines")
    tensorboard: bool = False


def rate(step: int, steps: int, settings: Settings) -> float:
    """The share of the learning rate at a step counted from 0: linear warm-up, then the decay, to 0 after the last."""
    rising = math.ceil(settings.warmup * steps)
    if step < rising:
        return step / rising
    left = (steps - step) / max(1, steps - rising)
    if settings.decay == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    return left if settings.decay == "linear" else 1.0


def keyed(settings: Settings) -> dict[str, Any]:
    """Return the settings that can change what is learned, as JSON."""
    data = settings.model_dump(mode="json", include=set(Settings.model_fields), exclude=set(RUN_ONLY))
    return {key: value for key, value in data.items() if key not in ADDED or value is not None}
