"""A million passages through the real command line: time, peak memory of each stage, and a kill -9 in mid-encoding.

    python benchmarks/million.py [--passages 1000000] [--compare 100000]

Writes synthetic corpora in MIRACL's layout and a tiny BERT with random weights into a temporary folder. The smaller
corpus is run twice, once undisturbed and once killed in mid-encoding and started again: the run files must be equal.
The larger one is killed and started again too. Memory is the process's resident set, sampled every 50 ms; it should
not grow from the smaller corpus to the larger.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from itertools import islice, product
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

STAGES = ("corpus", "index", "topics", "search", "evaluate", "average")  # in the order in which a run makes them
SHARD = 16_384
TOPICS = 100
PASSAGES_A_FILE = 100_000


class Peaks(NamedTuple):
    """What one call of the command took: seconds, and the peak resident set in MiB while each stage was made."""

    seconds: float
    memory: dict[str, float]


def words() -> list[str]:
    """4,096 made-up words of two to four syllables."""
    syllables = [a + b for a, b in product("bdfgklmnprstvz", "aeiou")]
    rng = random.Random(0)
    return sorted({"".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in range(4_400)})[:4_096]


def write_model(folder: Path) -> None:
    """A checkpoint of two layers of width 64 with random weights, and a WordPiece tokenizer of the made-up words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words()]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    BertModel(BertConfig(vocab_size=len(pieces), pad_token_id=0, max_position_embeddings=64, **size)).save_pretrained(
        folder
    )


def write_data(root: Path, number: int) -> None:
    """A corpus of ``number`` passages of 8 to 24 words, and topics that are the openings of some of them."""
    rng, vocabulary = random.Random(1), words()
    corpus = root / "miracl-corpus" / "miracl-corpus-v1.0-en"
    corpus.mkdir(parents=True)
    topics, qrels = [], []
    every = number // TOPICS
    lines = ((i, rng.choices(vocabulary, k=rng.randint(8, 24))) for i in range(number))
    for part in range(-(-number // PASSAGES_A_FILE)):
        with open(corpus / f"docs-{part}.jsonl", "w", encoding="utf-8") as file:
            for i, text in islice(lines, PASSAGES_A_FILE):
                record = {"docid": f"{i // 8}#{i % 8}", "title": text[0], "text": " ".join(text)}
                file.write(json.dumps(record) + "\n")
                if i % every == 0:
                    topics.append(f"{i}\t{' '.join(text[:6])}\n")
                    qrels.append(f"{i}\tQ0\t{record['docid']}\t1\n")
    for kind, content in (("topics", topics), ("qrels", qrels)):
        path = root / "miracl" / "miracl-v1.0-en" / kind / f"{kind}.miracl-v1.0-en-dev.tsv"
        path.parent.mkdir(parents=True)
        path.write_text("".join(content), encoding="utf-8")


def write_recipe(path: Path, model: Path) -> None:
    """A dense recipe over the tiny model; YAML reads JSON."""
    lengths = {"query_length": 32, "passage_length": 32}
    encoder = {"name": "transformer", "model": str(model), "pooling": "mean", "normalize": True, "precision": "fp32"}
    retriever = {"name": "dense", "shard_size": SHARD, "encoder": {**encoder, **lengths}}
    path.write_text(json.dumps({"summary": "tiny random encoder", "retriever": retriever}), encoding="utf-8")


def stage_of(cache: Path) -> str:
    """The stage being made: the first one without an artifact."""
    return next((stage for stage in STAGES if not any((cache / "artifacts" / stage).glob("*/manifest.json"))), "record")


def run(recipe: Path, data: Path, cache: Path, kill_at: int | None = None) -> Peaks:
    """One call of ``mdrbench run``; killed with SIGKILL once that many shards are finished."""
    options = ["--data", str(data), "--langs", "en", "--cache", str(cache), "--results", str(cache / "results")]
    command = [sys.executable, "-m", "mdrbench", "run", str(recipe), *options, "--quiet"]
    peaks: dict[str, float] = {}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            stage, memory = stage_of(cache), watched.memory_info().rss / 2**20
            peaks[stage] = max(peaks.get(stage, 0.0), memory)
            if kill_at and len([*cache.glob("unfinished/*/index/shard-*.json")]) >= kill_at:
                process.kill()
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        said = process.stdout.read()
    if process.returncode != (-9 if kill_at else 0):
        sys.exit(f"the command ended with {process.returncode}: {said}")
    return Peaks(seconds, peaks)


def run_file(cache: Path) -> bytes:
    """The run, uncompressed."""
    [path] = cache.glob("artifacts/search/*/run.trec.gz")
    return gzip.decompress(path.read_bytes())


def index_facts(cache: Path) -> dict:
    """What the index stage stated."""
    [path] = cache.glob("artifacts/index/*/manifest.json")
    return json.loads(path.read_text(encoding="utf-8"))["facts"]


def killed_and_resumed(recipe: Path, data: Path, cache: Path, number: int) -> list[Peaks]:
    """Kill a run when half of its shards are there, and run it again."""
    half = max(1, number // SHARD // 2)
    attempts = [run(recipe, data, cache, kill_at=half), run(recipe, data, cache)]
    facts = index_facts(cache)
    print(
        f"{number:,} passages: killed after {attempts[0].seconds:.0f} s with {half} shards, went on after "
        f"{facts['resumed_after']:,} passages, {facts['indexed']:,} in the index"
    )
    if not half * SHARD <= facts["resumed_after"] < number or facts["indexed"] != number:
        sys.exit("the second attempt did not go on where the first was killed")
    return attempts


def main() -> None:
    """Run all three and print a table of time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--compare", type=int, default=100_000)
    options = parser.parse_args()
    rows: dict[str, list[Peaks]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model")
        write_recipe(folder / "tiny.yaml", folder / "model")
        small, large = options.compare, options.passages
        for number in {small, large}:
            write_data(folder / str(number), number)
        recipe = folder / "tiny.yaml"
        rows[f"{small:,}"] = [run(recipe, folder / str(small), folder / "whole")]
        rows[f"{small:,}, killed"] = killed_and_resumed(recipe, folder / str(small), folder / "killed", small)
        if run_file(folder / "whole") != run_file(folder / "killed"):
            sys.exit("the run file after the kill differs from the undisturbed one")
        print("the run file is the undisturbed run's, byte for byte")
        rows[f"{large:,}, killed"] = killed_and_resumed(recipe, folder / str(large), folder / "large", large)
    table = Table("passages", "seconds", *STAGES, title="seconds (of each attempt) and peak memory in MiB by stage")
    for label, attempts in rows.items():
        peaks = [max(a.memory.get(stage, 0.0) for a in attempts) for stage in STAGES]
        seconds = " + ".join(f"{a.seconds:.0f}" for a in attempts)
        table.add_row(label, seconds, *(f"{peak:,.0f}" if peak else "-" for peak in peaks))
    Console().print(table)


if __name__ == "__main__":
    main()
