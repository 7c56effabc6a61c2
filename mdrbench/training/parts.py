"""The parts of a training before its first step: accelerator, data, model, optimiser, and their identity."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mdrbench.core import devices, environment
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.store import file_sha256, key_of
from mdrbench.hub import loading
from mdrbench.training import Batches, EncoderSettings, Key, held_out
from mdrbench.training.data import Examples, weights_of
from mdrbench.training.model import Encoder
from mdrbench.training.settings import Settings, keyed
from mdrbench.training.teacher import Teacher
from mdrbench.training.token_files import TrainingData

Weights = Callable[[Key], float] | Mapping[Key, float] | None

VERSION = 2
"""Raise it when the same settings give other weights."""


def accelerator_of(settings: Settings) -> tuple[Any, str]:
    """Return the accelerator and the precision; ``auto`` is bf16 if the device computes in it, else fp32."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    precision = environment.precision(settings.precision)
    if precision == "fp16" and environment.device() == "cpu":
        raise SetupError("fp16 needs a GPU", mend="use precision: auto")
    AcceleratorState._reset_state()  # a process may train twice, in two precisions; the process group stays
    return Accelerator(mixed_precision="no" if precision == "fp32" else precision), precision


class Parts:
    """Everything that a step needs, on one process."""

    def __init__(
        self,
        accelerator: Any,
        precision: str,
        settings: Settings,
        model_folder: Path,
        encoder: EncoderSettings,
        data: TrainingData,
        batches: Batches,
        weights: Weights,
        teacher: Teacher | None = None,
        apart: set[Key] | None = None,
    ):
        import torch

        self.accelerator, self.precision, self.settings, self.batches = accelerator, precision, settings, batches
        self.data, self.teacher = data, _needed(teacher, settings)
        self.examples = Examples(
            data,
            settings.negatives,
            settings.seed,
            settings.curriculum,
            batches.count(),
            with_replacement=bool(settings.with_replacement),
        )
        self.held_out = held_out(data.keys, settings.validation, settings.seed) if apart is None else apart
        self.trained = [key for key in data.keys if key not in self.held_out]
        self.weights = _weights(weights, self.trained)
        batch_identity = self._check_batches()
        self.tokenizer = loading.load_tokenizer(model_folder)
        self.encoder = Encoder(
            model_folder,
            encoder,
            accelerator.device,
            precision,
            settings.attention_dropout,
            settings.gradient_checkpointing,
            settings.freeze_word_embeddings,
            settings.lora,
            settings.seed,
        )
        self.optimizer = accelerator.prepare(
            torch.optim.AdamW(
                self.encoder.groups(settings.weight_decay),
                lr=settings.learning_rate,
                fused=accelerator.device.type in ("cpu", "cuda"),
            )
        )
        self.conventions = {name: getattr(encoder, name) for name in EncoderSettings.__annotations__}
        self.identity = key_of(
            {
                "version": VERSION,
                "settings": keyed(settings),
                "encoder": self.conventions,
                "precision": precision,
                "model": [[p.name, file_sha256(p)] for p in _model_files(model_folder)],
                "texts": data.sha256["texts"],
                "groups": data.sha256["groups"],
                "weights": _sha256(sorted(self.weights.items())),
                "batches": batch_identity,
                **({} if self.teacher is None else {"teacher": self.teacher.sha256()}),
            }
        )

    def _check_batches(self) -> str:
        """Return a hash of all batches; their queries must have groups and must not be held out."""
        digest = hashlib.sha256()
        for step in range(self.batches.count()):
            keys = self.batches.batch(step)
            if not keys:
                raise DataError(f"the batch of step {step} is empty")
            for key in keys:
                self.examples.row(key, step)
                if key in self.held_out:
                    raise UsageError(
                        f"step {step} asks for query '{key[1]}' ({key[0]}), which is held out for validation",
                        mend="make the batches without `held_out`, or set validation: 0",
                    )
            digest.update(repr(list(keys)).encode())
        return digest.hexdigest()

    def facts(self, base: str) -> dict[str, Any]:
        """Return what was trained, and on which data."""
        import torch

        device = self.accelerator.device
        negatives = self.data.negatives
        few = sum(len(negatives[self.data.rows[key]]) < self.settings.negatives for key in self.trained)
        return {
            "format": 1,
            "identity": self.identity,
            "base": base,
            "settings": self.settings.model_dump(mode="json"),
            "encoder": self.conventions,
            "dim": self.encoder.model.config.hidden_size,
            "parameters": sum(p.numel() for p in self.encoder.parameters()),
            "queries": dict(sorted(Counter(lang for lang, _ in self.trained).items())),
            "held_out": len(self.held_out),
            "queries_short_of_negatives": few,
            "texts": {"queries": len(self.data.queries), "passages": len(self.data.passages)},
            "precision": self.precision,
            "without_padding": self.encoder.packed,
            "dropout": "by text" if self.encoder.dropout_by_text else "by pass",
            "threads": torch.get_num_threads(),
            "processes": self.accelerator.num_processes,
            "device": devices.found().text if device.type != "cpu" else "cpu",
            "versions": {name: environment.package_version(name) for name in ("torch", "transformers", "accelerate")},
        }


def _needed(teacher: Teacher | None, settings: Settings) -> Teacher | None:
    """Return the teacher if a setting uses it; raise a UsageError if one does and there is none."""
    users = [name for name in ("distillation", "mask_margin") if getattr(settings, name) is not None]
    if users and teacher is None:
        raise UsageError(f"training.{users[0]} needs a teacher", mend="name a retriever under training.teacher")
    return teacher if users else None


def _weights(weights: Weights, keys: Iterable[Key]) -> dict[Key, float]:
    """Return the weight of each query; empty if all count the same."""
    if weights is None:
        return {}
    return weights_of(keys, weights if callable(weights) else lambda key: weights.get(key, math.nan))


def _model_files(folder: Path) -> list[Path]:
    """Return the files that decide the model's output: configuration and weights."""
    return sorted([folder / "config.json", *folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")])


def _sha256(rows: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()
