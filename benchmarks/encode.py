"""Our encoder against SentenceTransformer.encode: same run, device, precisions and passages.

    python benchmarks/encode.py MODEL_FOLDER --data FOLDER [--langs sw,en] [--passages 100] [--precision fp32,bf16]

MODEL_FOLDER is a checkpoint in sentence-transformers' layout; both take its pooling and normalisation. The contenders
take turns, ``--repeat`` rounds, and medians are printed. A machine busy with other things slows all of them: CPU time
tells more there than the clock, and with one thread (``--threads 1``) it tells most. Peak memory is the whole
process's, sampled (on a GPU: torch's own count). "Of peak" counts the multiplications of the layers and of attention
over real tokens only. On a GPU the peak is the card's; on a CPU it is the rate of the bare matrix product of the widest
layer in the same precision, on every thread, measured before each language. Several precisions are compared with the
best of sentence-transformers in any of them; differences are from our first one. With the default settings a run takes
under five minutes on two cores for mE5-small.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer

from mdrbench.core.members import Member
from mdrbench.data.miracl_layout import MiraclFolder

DENSE_BF16_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L4": 121.0, "L40S": 362.0, "A10": 125.0}
"""Peak of a card without sparsity, from the makers' data sheets (SXM where there are several)."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Memory:
    """The peak memory of a block in MiB: torch's on a GPU, else the process's, sampled every 20 ms."""

    def __enter__(self) -> Memory:
        gc.collect()
        self._done = threading.Event()
        self._rss, self._process = 0, psutil.Process()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self._rss = max(self._rss, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak = (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else self._rss) / 2**20


def texts_of(folder: Path, langs: list[str], number: int) -> list[str]:
    """``number`` passages spread evenly over each language's corpus, languages one after the other."""
    texts = []
    for lang in langs:
        data = MiraclFolder("benchmark", folder)
        step = max(1, sum(1 for _ in data.passages(lang)) // number)
        texts += [f"{p.title} {p.text}" for p in islice(data.passages(lang), 0, step * number, step)]
    return texts


def our_encoder(folder: str, reference: SentenceTransformer, precision: str):
    """The encoder with the pooling and normalisation that the checkpoint names."""
    kinds = {type(module).__name__: module for module in reference}
    settings = {"model": folder, "precision": precision, "pooling": kinds["Pooling"].pooling_mode}
    lengths = {"query_length": reference.max_seq_length, "passage_length": reference.max_seq_length}
    given = {"name": "transformer", "normalize": "Normalize" in kinds, **settings, **lengths}
    return Member.of("encoders", given).build()


def flops(config, lengths: list[int]) -> float:
    """Multiplications and additions of a BERT-like encoder: linear layers by token, attention by pair of tokens."""
    width, inner = config.hidden_size, config.intermediate_size
    a_token = 2 * (4 * width * width + 2 * width * inner)
    return config.num_hidden_layers * sum(n * a_token + 4 * n * n * width for n in lengths)


OURS = "mdrbench"


class Contender(NamedTuple):
    """Who encodes, and in which precision."""

    name: str
    precision: str


Encode = Callable[[list[str]], np.ndarray]


class Cost(NamedTuple):
    """Of one contender: medians of wall-clock and of the process's CPU seconds, peak memory in MiB, embeddings."""

    seconds: float
    cpu: float
    memory: float
    embeddings: np.ndarray


def measure(contenders: dict[Contender, Encode], texts: list[str], repeat: int) -> dict[Contender, Cost]:
    """What each contender takes for the texts; they take turns, each after a few texts that load its model."""
    taken: dict[Contender, list[tuple[float, float, float]]] = {name: [] for name in contenders}
    embeddings = {}
    for _ in range(repeat):
        for name, encode in contenders.items():
            encode(texts[:8])
            with Memory() as memory:
                start, cpu = time.perf_counter(), time.process_time()
                embeddings[name] = encode(texts)
                seconds = time.perf_counter() - start, time.process_time() - cpu
            taken[name].append((*seconds, memory.peak))
    columns = {name: list(zip(*rows, strict=True)) for name, rows in taken.items()}
    return {
        name: Cost(statistics.median(wall), statistics.median(cpu), max(memory), embeddings[name])
        for name, (wall, cpu, memory) in columns.items()
    }


def product_tflops(config, precision: str, seconds: float = 1.0) -> float:
    """The rate of the bare product of 512 tokens with the widest layer, on every thread at once, one product each."""
    threads = torch.get_num_threads()
    tokens, width, inner = 512, config.hidden_size, config.intermediate_size

    def multiply(_: int) -> int:
        torch.set_num_threads(1)
        a, b = (torch.randn(*shape).to(DTYPES[precision]) for shape in ((tokens, width), (width, inner)))
        done, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            torch.mm(a, b)
            done += 1
        return done

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        products = sum(pool.map(multiply, range(threads)))
    taken = time.perf_counter() - start
    torch.set_num_threads(threads)
    return products * 2 * tokens * width * inner / taken / 1e12


def peak_tflops(stated: float | None, config, precision: str) -> float | None:
    """Return the peak rate: the option, or what is known of this card. On a CPU it is the rate of a matrix product."""
    if stated:
        return stated
    if not torch.cuda.is_available():
        return product_tflops(config, precision)
    name = torch.cuda.get_device_name().replace("-", " ").split()
    return next((value for card, value in DENSE_BF16_TFLOPS.items() if card in name), None)


def table(title: str, found: dict[Contender, Cost], lengths: list[int], work: float, peaks: dict[str, float]) -> Table:
    """One row a contender; ours first."""
    best = min(cost.seconds for contender, cost in found.items() if contender.name != OURS)
    first = next(iter(found.values())).embeddings
    columns = ("passages/s", "tokens/s", "CPU ms/passage", "peak MiB", "x best ST", "lowest cosine", "max difference")
    rows = Table("", *columns, title=title)
    if peaks:
        rows.add_column("of peak")
    for contender, cost in found.items():
        cells = [f"{len(lengths) / cost.seconds:.1f}", f"{sum(lengths) / cost.seconds:,.0f}"]
        cells += [f"{1000 * cost.cpu / len(lengths):.1f}", f"{cost.memory:,.0f}", f"{best / cost.seconds:.2f}"]
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(cost.embeddings, axis=1)
        cells.append(f"{((first * cost.embeddings).sum(axis=1) / norms).min():.6f}")
        cells.append(f"{np.abs(cost.embeddings - first).max():.1e}")
        if peaks:
            cells.append(f"{work / cost.seconds / peaks[contender.precision] / 1e12:.1%}")
        rows.add_row(f"{contender.name}, {contender.precision}", *cells)
    return rows


def main() -> None:
    """Print one table a language."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--langs", default="sw,en")
    parser.add_argument("--passages", type=int, default=100, help="of each language")
    parser.add_argument("--precision", default="fp32", help=f"one or several of {','.join(sorted(DTYPES))}")
    parser.add_argument("--batches", default="4,8", help="batch sizes of SentenceTransformer.encode")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--peak-tflops", type=float, help="of the GPU in these precisions, to show the share reached")
    parser.add_argument("--threads", type=int, help="of torch on the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    precisions = options.precision.split(",")
    references = {
        precision: SentenceTransformer(options.model, model_kwargs={"dtype": DTYPES[precision]}, local_files_only=True)
        for precision in precisions
    }
    reference = references[precisions[0]]
    encoders = {precision: our_encoder(options.model, reference, precision) for precision in precisions}
    device, prompt = encoders[precisions[0]].device, encoders[precisions[0]].settings.passage_prefix
    print(f"{options.model}, {options.precision}, {device}, {torch.get_num_threads()} threads")
    for lang in options.langs.split(","):
        texts = texts_of(options.data, [lang], options.passages)
        lengths = [
            len(ids)
            for ids in reference.tokenizer(texts, truncation=True, max_length=reference.max_seq_length)["input_ids"]
        ]
        contenders: dict[Contender, Encode] = {
            Contender(OURS, precision): partial(encoder.encode_passages, progress=lambda done: None)
            for precision, encoder in encoders.items()
        }
        for precision, theirs in references.items():
            for size in map(int, options.batches.split(",")):
                contenders[Contender(f"ST, batch {size}", precision)] = partial(
                    theirs.encode, batch_size=size, prompt=prompt
                )
        title = f"{lang}: {len(texts)} passages, {sum(lengths) / len(lengths):.0f} tokens on average"
        config = reference[0].auto_model.config
        stated = {name: peak_tflops(options.peak_tflops, config, name) for name in precisions}
        peaks = {name: peak for name, peak in stated.items() if peak}
        found = measure(contenders, texts, options.repeat)
        Console(width=140).print(table(title, found, lengths, flops(config, lengths), peaks))


if __name__ == "__main__":
    main()
