"""Our training loop against sentence-transformers' own trainer: same run, model, device, precision, batches and loss.

    python benchmarks/train.py MODEL_FOLDER --data FOLDER [--langs en,sw,zh] [--steps 4] [--precision fp32] [--layers 6]

Batches of 8 queries with a positive and 7 random negatives each; sentence-transformers trains with
MultipleNegativesRankingLoss at the same temperature. The first step warms up; the others are timed from its end to the
end of the last one, and the time that ours takes to tokenise ahead of training is added to it, while
sentence-transformers tokenises as it goes. The contenders take turns, ``--repeat`` rounds, and medians are printed.
``--layers`` keeps the first layers of the model only; ``--attention-dropout 0`` switches it off for both. A busy
machine slows both: CPU time tells more there than the clock, and with one thread (``--threads 1``) most.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mdrbench.core.types import Negative, TrainingGroup
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats import trec
from mdrbench.retrieval.encoders.transformer import Config
from mdrbench.training import Key, Material
from mdrbench.training.loop import train
from mdrbench.training.settings import Settings

QUERIES, NEGATIVES = 8, 7
TEMPERATURE = 0.02
LEARNING_RATE = 2e-6


Costs = tuple[float, float]
"""Seconds of all steps but the first: of the clock and of the process's CPUs."""


class Clock:
    """Notes clock and CPU time at the end of each step."""

    def __init__(self) -> None:
        self._ticks: list[Costs] = []

    def tick(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._ticks.append((time.perf_counter(), time.process_time()))

    def between(self) -> Costs:
        """From the end of the first step to the end of the last."""
        (start, start_cpu), (end, end_cpu) = self._ticks[0], self._ticks[-1]
        return end - start, end_cpu - start_cpu


class Steps:
    """Batches of one language each, languages in turn."""

    def __init__(self, data: dict[str, Material], steps: int):
        self._data, self._steps = data, steps

    def count(self) -> int:
        return self._steps

    def batch(self, n: int) -> list[Key]:
        langs = sorted(self._data)
        turn, at = divmod(n, len(langs))
        groups = self._data[langs[at]].groups
        return [(langs[at], groups[(turn * QUERIES + i) % len(groups)].qid) for i in range(QUERIES)]


def material(folder: Path, lang: str) -> Material:
    """The training queries of a language, with random passages of the corpus as their negatives."""
    data = MiraclFolder("benchmark", folder)
    passages = {p.docid: f"{p.title} {p.text}".strip() for p in data.passages(lang)}
    queries = trec.read_topics(data.topics_file(lang, "train"))
    dice, groups = random.Random(0), []
    for qid, grades in trec.read_qrels(data.qrels_file(lang, "train")).items():
        positives = tuple(docid for docid, grade in grades.items() if grade > 0)
        others = dice.sample(sorted(passages.keys() - set(positives)), NEGATIVES)
        groups.append(TrainingGroup(qid, positives[:1], tuple(Negative(d, 0.0, "mined", False) for d in others)))
    return Material(queries, groups, passages)


def shortened(folder: Path, layers: int | None, dropout: float | None, to: Path) -> Path:
    """A copy of the model with its first layers only, and with another attention dropout."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), local_files_only=True)
    inner = model[0].auto_model
    if layers:
        inner.encoder.layer = inner.encoder.layer[:layers]
        inner.config.num_hidden_layers = layers
    if dropout is not None:
        inner.config.attention_probs_dropout_prob = dropout
    model.save(str(to))
    return to


def ours(folder: Path, data: dict[str, Material], steps: int, precision: str, length: int) -> Callable[[], Costs]:
    """A training of our own."""
    encoder = Config(
        model=str(folder),
        pooling="mean",
        normalize=True,
        query_prefix="query: ",
        passage_prefix="passage: ",
        query_length=length,
        passage_length=length,
    )
    settings = Settings(
        learning_rate=LEARNING_RATE,
        temperature=TEMPERATURE,
        negatives=NEGATIVES,
        precision=precision,
        validation=0,
        save_every=10**9,
    )
    used = {key for n in range(steps) for key in Steps(data, steps).batch(n)}
    seen = {
        lang: part._replace(groups=[group for group in part.groups if (lang, group.qid) in used])
        for lang, part in data.items()
    }  # what is tokenised is what is trained on

    def run() -> Costs:
        clock = Clock()
        with tempfile.TemporaryDirectory() as out:
            facts = train(
                settings, folder, encoder, seen, Steps(data, steps), out=Path(out), progress=lambda *_: clock.tick()
            )
        return tuple(taken + facts["seconds"]["tokenise"] * (steps - 1) / steps for taken in clock.between())

    return run


def theirs(folder: Path, data: dict[str, Material], steps: int, precision: str, length: int) -> Callable[[], Costs]:
    """A training with sentence-transformers' trainer."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    rows: dict[str, list[str]] = {}
    for n in range(steps):
        for lang, qid in Steps(data, steps).batch(n):
            part = data[lang]
            group = next(group for group in part.groups if group.qid == qid)
            texts = {
                "anchor": "query: " + part.queries[qid],
                "positive": "passage: " + part.passages[group.positives[0]],
            }
            texts |= {f"negative_{i}": "passage: " + part.passages[x.docid] for i, x in enumerate(group.negatives)}
            for name, text in texts.items():
                rows.setdefault(name, []).append(text)
    dataset = Dataset.from_dict(rows)

    class Ticks(TrainerCallback):
        def __init__(self, clock: Clock):
            self.clock = clock

        def on_step_end(self, *_, **__):
            self.clock.tick()

    def run() -> Costs:
        model = SentenceTransformer(str(folder), local_files_only=True)
        model.max_seq_length = length
        clock = Clock()
        with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = SentenceTransformerTrainingArguments(
                output_dir=out,
                per_device_train_batch_size=QUERIES,
                max_steps=steps,
                learning_rate=LEARNING_RATE,
                warmup_steps=0.1,
                use_cpu=not torch.cuda.is_available(),  # else bf16 is refused without a GPU
                bf16=precision == "bf16",
                fp16=precision == "fp16",
                save_strategy="no",
                logging_steps=1,
                report_to="none",
                disable_tqdm=True,
                lr_scheduler_type="linear",
                dataloader_pin_memory=False,
            )
            loss = MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
            trainer = SentenceTransformerTrainer(
                model=model, args=arguments, train_dataset=dataset, loss=loss, callbacks=[Ticks(clock)]
            )
            trainer.train()
        return clock.between()

    return run


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--langs", default="en,sw,zh")
    parser.add_argument("--steps", type=int, default=4, help="two at least")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--length", type=int, default=256, help="tokens kept of a text")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--attention-dropout", type=float)
    parser.add_argument("--threads", type=int, help="of torch on the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    data = {lang: material(options.data, lang) for lang in options.langs.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        model = shortened(options.model, options.layers, options.attention_dropout, Path(folder))
        given = (model, data, options.steps, options.precision, options.length)
        contenders = {"mdrbench": ours(*given), "sentence-transformers": theirs(*given)}
        taken: dict[str, list[Costs]] = {name: [] for name in contenders}
        for _ in range(options.repeat):
            for name, run in contenders.items():
                taken[name].append(run())
                print("{}: {:.1f} s, CPU {:.1f} s".format(name, *taken[name][-1]), flush=True)
    print_table(taken, options.steps - 1, options.precision)


def print_table(taken: dict[str, list[Costs]], steps: int, precision: str) -> None:
    """One row a contender: medians of its runs."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    title = f"{steps} steps of {QUERIES} queries x {1 + NEGATIVES} passages, {precision}, {device}"
    rows = Table("", "examples/s", "s a step", "x theirs", "CPU s a step", "x theirs (CPU)", title=title)
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in taken.items()}
    theirs_seconds, theirs_cpu = medians["sentence-transformers"]
    for name, (seconds, cpu) in medians.items():
        cells = (steps * QUERIES / seconds, seconds / steps, theirs_seconds / seconds, cpu / steps, theirs_cpu / cpu)
        rows.add_row(name, *(f"{cell:.2f}" for cell in cells))
    Console(width=120).print(rows)


if __name__ == "__main__":
    main()
