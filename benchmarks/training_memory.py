"""The memory of each process of a training, and what of it its data take.

    python benchmarks/training_memory.py FOLDER [--queries 10000] [--negatives 30] [--processes 2]

Writes corpora of made-up words in four languages with the lengths of MIRACL's passages (benchmarks/simulated_miracl),
31 passages for each training query, draws negatives at random and trains a BERT of one layer for two steps: once with
50 queries of each language, once with all. It prints the most anonymous memory of each process, sampled 20 times a
second: what a process holds for itself, without the pages of files that it maps. The difference between the two
trainings is that of their data.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "simulated_miracl"))
from write_corpora import passages, write_model

from mdrbench import recipe
from mdrbench.commands.run import run_steps
from mdrbench.core.store import Store
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.pipeline.plan import plan_recipe

LANGS = ["en", "ru", "te", "zh"]
FEW = 50

RECIPE = """\
summary: a training of two steps on random negatives
retriever:
  name: dense
  encoder: {{name: transformer, model: {model}, source: local, pooling: mean, normalize: true, query_length: 64,
    passage_length: 256, precision: fp32}}
negatives:
  mining: {{name: random, k: {negatives}, depth: {negatives}}}
training:
  {{domains: {{name: none}}, steps: 2, batch_size: 8, negatives: 7, attention_dropout: 0, precision: fp32,
    processes: {processes}, validation: 0}}
"""


def write_language(root: Path, lang: str, queries: int, negatives: int) -> None:
    """Write a corpus, a training split with one positive a query, and a development split of ten."""
    rng = np.random.default_rng([3, *lang.encode()])
    folder = root / f"miracl-corpus/miracl-corpus-v1.0-{lang}"
    folder.mkdir(parents=True, exist_ok=True)
    topics, qrels = [], []
    with gzip.open(folder / "docs-0.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as file:
        for number, passage in enumerate(passages(lang, queries * (negatives + 1))):
            file.write(json.dumps(passage, ensure_ascii=False) + "\n")
            if number % (negatives + 1) == 0:
                words = passage["text"].rstrip(".").split()
                topics.append(f"{number}\t{' '.join(rng.choice(words, min(6, len(words))).tolist())}")
                qrels.append(f"{number}\tQ0\t{passage['docid']}\t1")
    for split, rows in (("train", slice(None)), ("dev", slice(10))):
        for kind, lines in (("topics", topics), ("qrels", qrels)):
            path = root / f"miracl/miracl-v1.0-{lang}/{kind}/{kind}.miracl-v1.0-{lang}-{split}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines[rows]), encoding="utf-8")


def run(folder: Path, changes: list[str], stage: str) -> None:
    """Make the steps of a stage and all before them."""
    store = Store(folder / "store")
    chosen = recipe.load(str(folder / "memory.yaml"), changes)
    plan = plan_recipe(chosen, MiraclFolder("simulated", folder / "data"), LANGS, "dev", store, [])
    [target] = [step for step in plan.training if step.stage == stage]
    store.remove(*target.ref)
    outcome = run_steps(plan.steps(), [target], store, quiet=True)
    if outcome.failures:
        raise SystemExit(str(next(iter(outcome.failures.values()))))
    if stage == "train":
        print(json.dumps(outcome.artifacts[target.ref].facts["texts"]), flush=True)


def memory_of(pid: int) -> dict[int, tuple[str, int]]:
    """Return the processes below ``pid`` and itself: what each does, and its anonymous memory in kB."""
    parents, found = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line)
                words = (entry / "cmdline").read_text().replace("\0", " ")
            except (OSError, ValueError):
                continue
            if not words:
                continue  # it has ended
            parents[int(entry.name)] = int(status["PPid"])
            rank = "training_processes" in words and "torch.distributed.run" not in words
            kind = "training process" if rank else "launcher" if "torch.distributed.run" in words else "command"
            found[int(entry.name)] = kind, int(status.get("RssAnon", "0 kB").split()[0])

    def below(one: int) -> bool:
        while one in parents and one != pid:
            one = parents[one]
        return one == pid

    return {one: found[one] for one in found if below(one)}


def measured(folder: Path, changes: list[str], stage: str) -> dict[str, list[float]]:
    """Run a stage in a process of its own; return the peaks of its processes in MB by kind."""
    process = multiprocessing.get_context("spawn").Process(target=run, args=(folder, changes, stage))
    process.start()
    peaks: dict[int, int] = defaultdict(int)
    kinds: dict[int, str] = {}
    while process.is_alive():
        for pid, (kind, kilobytes) in memory_of(process.pid or 0).items():
            kinds[pid] = kind
            peaks[pid] = max(peaks[pid], kilobytes)
        time.sleep(0.05)
    if process.exitcode:
        raise SystemExit(f"the run of {stage} ended with code {process.exitcode}")
    found: dict[str, list[float]] = defaultdict(list)
    for pid, kind in kinds.items():
        if kind != "command" or pid == process.pid:
            found[kind].append(peaks[pid] * 1024 / 1e6)
    return found


def main() -> None:
    """Write data and model if they are missing, then measure a few queries and all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--negatives", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    folder = given.folder.absolute()
    if not (folder / "model").exists():
        for lang in LANGS:
            write_language(folder / "data", lang, given.queries // len(LANGS), given.negatives)
        write_model(folder / "model", LANGS, positions=256)
    text = RECIPE.format(model=folder / "model", negatives=given.negatives, processes=given.processes)
    (folder / "memory.yaml").write_text(text)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    measured(folder, [], "label")
    for name, changes in ((f"{FEW} queries a language", [f"training.queries_per_language={FEW}"]), ("all queries", [])):
        for kind, peaks in sorted(measured(folder, changes, "train").items()):
            print(f"{name}: {kind}: {', '.join(f'{peak:.0f}' for peak in sorted(peaks))} MB", flush=True)


if __name__ == "__main__":
    main()
