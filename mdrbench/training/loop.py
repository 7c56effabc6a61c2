"""Train a dense encoder: one loop on accelerate, on one process or on several that train as one.

A step draws a positive and hard negatives for each query of its batch, embeds the queries in one pass and all
passages in another, takes the contrastive loss over the whole batch, and AdamW follows its gradient. Everything
random depends on seed, step and text, so a training that was killed and continues from its checkpoint ends with the
same weights.

::

    OUT/model/           the encoder in sentence-transformers' layout, with its card
    OUT/training.json    settings, counts, losses, times; written last
    OUT/log.jsonl        steps and validations
    OUT/tokens/          while training goes on (:mod:`mdrbench.training.token_files`)
    OUT/checkpoints/     while training goes on (:mod:`mdrbench.training.checkpoints`)
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import StepError
from mdrbench.core.locks import file_lock
from mdrbench.training import (
    Batches,
    EncoderSettings,
    Key,
    Material,
    caching,
    checkpoints,
    export,
    processes,
    token_files,
)
from mdrbench.training.data import Batch
from mdrbench.training.distillation import distilled
from mdrbench.training.dropout import text_seed
from mdrbench.training.exposure import exposure
from mdrbench.training.losses import contrastive, similarities
from mdrbench.training.masking import masked
from mdrbench.training.parts import Parts, Weights, accelerator_of
from mdrbench.training.settings import Settings, rate
from mdrbench.training.teacher import Teacher
from mdrbench.training.token_files import TrainingData

Say = Callable[[str], None]
Progress = Callable[[int, int, float], None]

RECORD = "training.json"

TOKENS = "tokens"
"""The folder of the token files."""


def train(
    settings: Settings,
    model_folder: Path,
    encoder: EncoderSettings,
    data: Mapping[str, Material] | TrainingData,
    batches: Batches,
    weights: Weights = None,
    *,
    teacher: Teacher | None = None,
    apart: set[Key] | None = None,
    out: Path,
    base: str | None = None,
    say: Say = lambda text: None,
    progress: Progress = lambda step, steps, loss: None,
) -> dict[str, Any]:
    """Train an encoder in ``out``, or continue its training; a finished training is returned as it is.

    Args:
        model_folder: a transformer with its tokenizer.
        data: language -> texts and groups, which the first process writes to token files for all; or such files
            (:mod:`mdrbench.training.token_files`). The queries that :func:`mdrbench.training.held_out` names for
            ``settings.validation`` and ``settings.seed`` are kept for validation.
        batches: of the other queries.
        weights: of each query, by (language, qid); 1 if None.
        teacher: gives the scores for ``settings.distillation`` and ``settings.mask_margin``.
        apart: the queries kept for validation; None: those that ``settings`` name.
        base: the model's name on the card; the folder's name if None.
        progress: called by the first process after each step with steps done, steps in all and the loss.

    Returns:
        What ``training.json`` holds.

    Raises:
        DataError: texts, groups, weights or batches do not fit together.
        UsageError: ``out`` holds another training, or a batch holds a query that is held out.
        SetupError: the precision does not work here.
        StepError: a loss is not a finite number (the error names the batch), or a checkpoint cannot be read.
    """
    accelerator, precision = accelerator_of(settings)
    first = accelerator.is_main_process
    out.mkdir(parents=True, exist_ok=True)
    lock = file_lock(out / ".lock", on_wait=lambda: say(f"another process trains into {out}; waiting"))
    with lock if first else nullcontext(), _opened(data, out / TOKENS, model_folder, encoder, accelerator) as opened:
        parts = Parts(accelerator, precision, settings, model_folder, encoder, opened, batches, weights, teacher, apart)
        record, checkpoint = processes.of_first((_record(out), checkpoints.newest(out)), accelerator.num_processes)
        if (facts := _finished(record, parts.identity, out)) is None:
            trained = _Loop(parts).train(
                out, checkpoint, say if first else _silent, progress if first else lambda step, steps, loss: None
            )
            facts = parts.facts(base or model_folder.name) | trained
            if first:
                export.write(out / "model", parts.encoder, parts.tokenizer, encoder, facts)
                write_atomically(out / RECORD, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
                shutil.rmtree(out / "checkpoints", ignore_errors=True)
        elif first:
            say(f"{out} is finished already: {facts['steps']} steps")
        accelerator.wait_for_everyone()
    return facts


@contextmanager
def _opened(
    data: Mapping[str, Material] | TrainingData,
    folder: Path,
    model_folder: Path,
    encoder: EncoderSettings,
    accelerator: Any,
) -> Iterator[TrainingData]:
    """Open the token files of a training; the first process writes them for all, and removes them at the end."""
    if isinstance(data, TrainingData):
        yield data
        return
    if accelerator.is_main_process:
        token_files.write(folder, model_folder, encoder, data.items())
    accelerator.wait_for_everyone()
    try:
        yield TrainingData.open(folder)
    finally:
        if accelerator.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)


def _silent(text: str) -> None:
    """Ignore messages of the other processes."""


def _record(out: Path) -> dict[str, Any] | None:
    """Return the record of a finished training; None if there is none."""
    try:
        facts: dict[str, Any] = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return facts


def _finished(facts: dict[str, Any] | None, identity: str, out: Path) -> dict[str, Any] | None:
    """Return the record of a finished training with this identity; a UsageError if it is of another one."""
    if facts is not None and facts["identity"] != identity:
        raise checkpoints.other_run(out)
    return facts


class _Loop:
    """The steps over the parts of a training."""

    def __init__(self, parts: Parts):
        self.parts, self.settings, self.accelerator = parts, parts.settings, parts.accelerator
        self.encoder, self.optimizer = parts.encoder, parts.optimizer

    def train(self, out: Path, checkpoint: int | None, say: Say, progress: Progress) -> dict[str, Any]:
        """Run all steps, or those after the checkpoint of a step; return their facts."""
        steps = self.parts.batches.count()
        done, seconds, validations = self._resume(out, checkpoint)
        if done:
            say(f"continuing after step {done} of {steps}")
        log = checkpoints.Log(out, done, self.settings.tensorboard, say, self.accelerator.is_main_process)
        start = time.perf_counter() - seconds
        meter = _Meter(self.accelerator.device)
        try:
            while done < steps and not _stop(validations, self.settings.patience):
                entry = self._step(done, steps, meter)
                done += 1
                if done % self.settings.log_every == 0 or done == steps:
                    log.write("train", {"step": done, **entry, **meter.read()})
                if self.parts.held_out and _due(done, steps, self.settings.validate_every):
                    validations.append({"step": done, "loss": self._validate()})
                    log.write("validation", validations[-1])
                    self._keep_best(out, validations)
                if done % self.settings.save_every == 0 and done < steps:
                    self._save(out, done, time.perf_counter() - start, validations)
                progress(done, steps, entry["loss"])
        finally:
            log.close()
        kept = done
        if self.settings.patience and validations:
            kept = min(validations, key=lambda entry: entry["loss"])["step"]
            self.encoder.model.load_state_dict(checkpoints.best(out, kept, self.accelerator.device))
        return {
            "steps": done,
            "planned_steps": steps,
            "kept_step": kept,
            "validation": validations,
            "exposure": exposure(self.parts.trained, map(self.parts.batches.batch, range(done))),
            "seconds": {"tokenise": self.parts.data.seconds, "train": time.perf_counter() - start},
        }

    def _step(self, step: int, steps: int, meter: _Meter) -> dict[str, Any]:
        """Take one step of the optimiser; return loss, learning rate and the norm of the gradient before clipping."""
        import torch

        settings = self.settings
        batch = self.parts.examples.draw(step, self.parts.batches.batch(step))
        lr = settings.learning_rate * rate(step, steps, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        torch.manual_seed(text_seed(settings.seed, step, -1, 0))  # for what models draw beside dropout
        self.encoder.model.train()
        sides = self._sides(batch, step)
        gradients = caching.cached if settings.micro_batch else caching.plain
        loss = gradients(
            self.encoder.embed, sides, self._empty(), self._loss(batch, weighted=True), self.accelerator.backward
        ).item()
        if not math.isfinite(loss):
            raise _not_finite("loss", loss, step, batch, self.parts.precision)
        parameters = self.encoder.parameters()
        processes.add_gradients(parameters, self.accelerator.num_processes)
        norm = float(self.accelerator.clip_grad_norm_(parameters, settings.max_grad_norm))
        if not math.isfinite(norm) and self.accelerator.scaler is None:  # with a scaler the step is skipped
            raise _not_finite("norm of the gradient", norm, step, batch, self.parts.precision)
        self.optimizer.step()
        self.optimizer.zero_grad()
        meter.count(len(batch.keys), sum(len(row) for side in sides for row in side.rows))
        return {"loss": loss, "lr": lr, "grad_norm": norm if math.isfinite(norm) else None}

    def _sides(self, batch: Batch, step: int) -> list[caching.Side]:
        """Return queries and passages of this process, with their passes through the model."""
        own = batch.shares(self.accelerator.num_processes)[self.accelerator.process_index]
        rows = [
            [self.parts.data.queries[row] for row in batch.queries[own[0]]],
            [self.parts.data.passages[row] for row in batch.passages[own[1]]],
        ]
        seeds = [
            [text_seed(self.settings.seed, step, side, at) for at in range(share.start, share.stop)]
            for side, share in enumerate(own)
        ]
        return [
            caching.Side(texts, self.encoder.pieces(texts, self.settings.micro_batch), of_texts)
            for texts, of_texts in zip(rows, seeds, strict=True)
        ]

    def _empty(self) -> Any:
        import torch

        return torch.zeros(0, self.encoder.model.config.hidden_size, device=self.accelerator.device)

    def _loss(self, batch: Batch, weighted: bool) -> caching.Loss:
        """Return the loss of the whole batch as a function of this process's embeddings of queries and passages.

        A validation is not ``weighted``: it has no weights and no teacher.
        """
        import torch

        device, settings = self.accelerator.device, self.settings
        shares = batch.shares(self.accelerator.num_processes)
        rank = self.accelerator.process_index
        targets = torch.tensor(batch.targets, device=device)
        left_out, scores = self.parts.examples.ignored(batch), None
        if weighted and self.parts.teacher is not None:
            taught = self.parts.teacher.scores(batch.queries, batch.passages)
            if settings.mask_margin is not None:
                left_out |= masked(taught, batch.targets, settings.mask_margin)
            scores = torch.from_numpy(taught).to(device)
        ignored = torch.from_numpy(left_out).to(device)
        chosen = {}
        if weighted and self.parts.weights:
            values = torch.tensor([self.parts.weights[key] for key in batch.keys], device=device)
            on_negatives = settings.weights_on == "negative"
            chosen = {"negative_weights": values[batch.owners()]} if on_negatives else {"example_weights": values}

        def loss(embeddings: list[torch.Tensor]) -> torch.Tensor:
            sizes = [[part.stop - part.start for part in side] for side in zip(*shares, strict=True)]
            queries, passages = (processes.joint(own, size, rank) for own, size in zip(embeddings, sizes, strict=True))
            value = contrastive(
                queries,
                passages,
                targets,
                ignored,
                temperature=settings.temperature,
                similarity=settings.similarity,
                **chosen,
            )
            if scores is None or (taught_by := settings.distillation) is None:
                return value
            found = similarities(queries, passages, settings.similarity)
            taught_loss = distilled(
                found, scores, targets, ignored, settings=taught_by, temperature=settings.temperature
            )
            return (1 - taught_by.weight) * value + taught_by.weight * taught_loss

        return loss

    # -- validation and checkpoints ---------------------------------------------------------------------------------

    def _validate(self) -> float:
        """Return the mean loss of the held-out queries, unweighted, without dropout, with the same draws each time."""
        import torch

        size = len(self.parts.batches.batch(0))
        total = 0.0
        self.encoder.model.eval()
        with torch.no_grad():
            for lang in sorted({lang for lang, _ in self.parts.held_out}):
                keys = sorted(key for key in self.parts.held_out if key[0] == lang)
                for at in range(0, len(keys), size):
                    batch = self.parts.examples.draw(-1, keys[at : at + size])
                    embeddings = [
                        side.in_order([self.encoder.embed(*texts) for texts in side.passes()], self._empty())
                        for side in self._sides(batch, -1)
                    ]
                    total += self._loss(batch, weighted=False)(embeddings).item() * len(batch.keys)
        return total / len(self.parts.held_out)

    def _keep_best(self, out: Path, validations: list[dict[str, Any]]) -> None:
        best = min(validations, key=lambda entry: entry["loss"])
        if self.settings.patience and best is validations[-1] and self.accelerator.is_main_process:
            checkpoints.save_best(out, best["step"], self.encoder.model.state_dict())
        self.accelerator.wait_for_everyone()

    def _save(self, out: Path, step: int, seconds: float, validations: list[dict[str, Any]]) -> None:
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        state = {
            "identity": self.parts.identity,
            "step": step,
            "seconds": seconds,
            "validations": validations,
            "model": self.encoder.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
        }
        checkpoints.save(out, state, self.settings.keep)

    def _resume(self, out: Path, checkpoint: int | None) -> tuple[int, float, list[dict[str, Any]]]:
        """Load the checkpoint of a step; return steps done, their seconds, and validations."""
        if checkpoint is None:
            return 0, 0.0, []
        state = checkpoints.load(out, checkpoint, self.parts.identity, self.accelerator.device)
        self.encoder.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        return state["step"], state["seconds"], state["validations"]


class _Meter:
    """Queries and tokens per second since the last reading: queries of all processes, tokens of this one."""

    def __init__(self, device: Any):
        self._device = device
        self._queries = self._tokens = 0
        self._start = time.perf_counter()

    def count(self, queries: int, tokens: int) -> None:
        """Add the counts of a step."""
        self._queries += queries
        self._tokens += tokens

    def read(self) -> dict[str, float]:
        """Return rates since the last reading, and the peak memory in bytes: the GPU's, else the process's."""
        import torch

        now = time.perf_counter()
        seconds = max(now - self._start, 1e-9)
        if self._device.type in ("cuda", "xpu"):
            memory = torch.accelerator.max_memory_allocated(self._device)
        else:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        rates = {"examples_per_second": self._queries / seconds, "tokens_per_second": self._tokens / seconds}
        self._queries = self._tokens = 0
        self._start = now
        return {**rates, "memory": memory}


def _due(done: int, steps: int, every: int) -> bool:
    """Whether to validate after ``done`` steps."""
    return done == steps or (every > 0 and done % every == 0)


def _stop(validations: list[dict[str, Any]], patience: int) -> bool:
    """Whether the last ``patience`` validations brought no lower loss."""
    losses = [entry["loss"] for entry in validations]
    return bool(patience and losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


def _not_finite(what: str, value: float, step: int, batch: Batch, precision: str) -> StepError:
    by_language: dict[str, list[str]] = {}
    for lang, qid in batch.keys:
        by_language.setdefault(lang, []).append(qid)
    named = "; ".join(f"{lang}: {' '.join(qids)}" for lang, qids in by_language.items())
    return StepError(
        f"the {what} is {value} at step {step + 1}, in the batch of the queries {named}",
        mend="look at these texts, or lower learning_rate"
        + ("" if precision == "fp32" else ", or use precision: fp32"),
    )
