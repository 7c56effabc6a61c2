"""Hostile inputs with the exit code that each must end with; add a row for every input that once went wrong."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support import model_folders
from support.models import save_tokenizer


class Hostile(NamedTuple):
    """An input: ``make`` writes it into an empty folder and returns the words of the command to run there."""

    name: str
    code: int
    make: Callable[[Path], tuple[str, ...]]


def collection(folder: Path, **changed: str | bytes) -> tuple[str, ...]:
    """Write a small collection in MIRACL's layout; ``corpus``, ``topics`` and ``qrels`` replace a file's content."""
    root = folder / "col"
    passages = [{"docid": f"{n}#0", "title": "Lake", "text": f"Lake number {n} is deep."} for n in range(4)]
    files: dict[str, tuple[Path, str | bytes]] = {
        "corpus": (
            root / "miracl-corpus" / "miracl-corpus-v1.0-en" / "docs-0.jsonl.gz",
            "".join(json.dumps(passage) + "\n" for passage in passages),
        ),
        "topics": (_split(root, "topics"), "q1\tdeep lake\nq2\tlake 3\n"),
        "qrels": (_split(root, "qrels"), "q1\tQ0\t1#0\t1\nq2\tQ0\t3#0\t1\n"),
    }
    for name, (path, content) in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted = changed.get(name, content)
        data = wanted.encode() if isinstance(wanted, str) else wanted
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return ("run", "bm25", "--data", str(root), "--langs", "en", "--quiet")


def _split(root: Path, kind: str) -> Path:
    return root / "miracl" / "miracl-v1.0-en" / kind / f"{kind}.miracl-v1.0-en-dev.tsv"


def data(**changed: str | bytes) -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a collection with a changed file."""
    return lambda folder: collection(folder, **changed)


def recipe(text: str | bytes) -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a recipe file."""

    def make(folder: Path) -> tuple[str, ...]:
        path = folder / "mine.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return ("show", str(path))

    return make


def experiment(text: str) -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a declared experiment."""

    def make(folder: Path) -> tuple[str, ...]:
        (folder / "mine.yaml").write_text("summary: x\ndata: sample\nlanguages: [sw]\n" + text)
        return ("experiment", "mine.yaml", "--status")

    return make


def result(text: str | bytes) -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a result file."""

    def make(folder: Path) -> tuple[str, ...]:
        path = folder / "results" / "sample" / "mine.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return ("verify", "results", "--quiet")

    return make


def shard(make: Callable[[Path], object], name: str = "docs-1.jsonl") -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a collection with a second shard that ``make`` creates."""

    def add(folder: Path) -> tuple[str, ...]:
        command = collection(folder)
        make(next((folder / "col").rglob("docs-0*")).parent / name)
        return command

    return add


def submitted(run: str | bytes, *options: str, **changed: str | bytes) -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a run file that is handed in."""

    def make(folder: Path) -> tuple[str, ...]:
        collection(folder, **changed)
        (folder / "mine.run").write_bytes(run.encode() if isinstance(run, str) else run)
        return ("submit", "en=mine.run", "--system", "mine", "--data", "col", "--quiet", *options)

    return make


def ranking(line: str) -> str:
    """Return a run of the small collection: each topic ranks all four passages."""
    ranks = [(qid, n) for qid in ("q1", "q2") for n in range(4)]
    return "".join(line.format(qid=qid, docid=f"{n}#0", rank=n + 1, score=4 - n) + "\n" for qid, n in ranks)


def save_model(target: Path, kind: str) -> Path:
    """Write a tiny model of a kind of transformers with random weights; return its folder."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    target.mkdir()
    config = getattr(transformers, f"{kind}Config")(vocab_size=save_tokenizer(target), **SIZES[kind])
    getattr(transformers, f"{kind}Model")(config).save_pretrained(target)
    return target


def model(
    change: Callable[[Path], object] = lambda folder: None, kind: str = "Bert", **settings: Any
) -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a tiny model of a kind of transformers with something changed, and a recipe that runs it."""

    def make(folder: Path) -> tuple[str, ...]:
        target = save_model(folder / "model", kind)
        change(target)
        encoder = {"name": "transformer", "model": str(target), "pooling": "mean", "normalize": True}
        encoder |= {"query_length": 32, "passage_length": 32, "precision": "fp32", **settings}
        recipe = {"summary": "tiny", "retriever": {"name": "dense", "encoder": encoder}}
        (folder / "mine.yaml").write_text(json.dumps(recipe))
        return ("run", "mine.yaml", *collection(folder)[2:])

    return make


BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIZES: dict[str, dict[str, Any]] = {
    "Bert": BERT | {"max_position_embeddings": 64},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "bos_token_id": 2, "eos_token_id": 3},
    "T5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
}


def without_layer(folder: Path) -> None:
    """Take the last layer out of a model's weights."""
    model_folders.edit_weights(folder, lambda weights: {k: v for k, v in weights.items() if "layer.1." not in k})


def with_layer(kind: str) -> Callable[[Path], None]:
    """Return a change that lists a further layer in ``modules.json``."""
    return lambda folder: model_folders.describe(folder, "Pooling", kind)


def without_padding(folder: Path) -> None:
    """Take the padding token from a tokenizer."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "pad_token"}))


def in_file(name: str, content: bytes) -> Callable[[Path], object]:
    """Return a change that overwrites a file of a folder."""
    return lambda folder: (folder / name).write_bytes(content)


def words(*words: str) -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a command that needs no file."""
    return lambda folder: words


PASSAGE = '{"docid": "1#0", "title": "", "text": %s}\n'

INPUTS = [
    Hostile("a collection without mistakes", 0, data()),
    Hostile("a grade of 3,000,000,000", 3, data(qrels="q1\tQ0\t1#0\t3000000000\n")),
    Hostile("a grade of 10^20", 3, data(qrels="q1\tQ0\t1#0\t100000000000000000000\n")),
    Hostile("a grade with an underscore", 3, data(qrels="q1\tQ0\t1#0\t1_0\n")),
    Hostile("a lone surrogate in a text", 3, data(corpus=PASSAGE % r'"\ud800"')),
    Hostile("deep JSON in the corpus", 3, data(corpus=PASSAGE % ("[" * 5000))),
    Hostile("a corpus of blank passages", 3, data(corpus=PASSAGE % '" "')),
    Hostile("a docid of 40,000 characters", 3, data(corpus=PASSAGE.replace("1#0", "x" * 40_000) % '"lake"')),
    Hostile("a corpus that is not gzip inside", 3, data(corpus=b"\x00\xff\xfe")),
    Hostile("topics that are not UTF-8", 3, data(topics=b"q1\t\xff\n")),
    Hostile(
        "a query of 3,000 terms", 0, data(topics="q1\t" + " ".join(f"word{n}" for n in range(3000)) + "\nq2\tlake\n")
    ),
    Hostile("topics with a third column", 3, data(topics="q1\tdeep lake\tlake\nq2\tlake 3\n")),
    Hostile("qrels of zeros alone", 0, data(qrels="q1\tQ0\t1#0\t0\n")),
    Hostile("a shard that is a folder", 3, shard(lambda path: path.mkdir())),
    Hostile("a shard that is a link to itself", 3, shard(lambda path: path.symlink_to(path))),
    Hostile("a shard that is a pipe", 3, shard(os.mkfifo)),
    Hostile("a shard of number 99999999999", 3, shard(lambda path: path.write_text(""), "docs-99999999999.jsonl")),
    Hostile("a run whose ranks are all 0", 0, submitted(ranking("{qid} Q0 {docid} 0 {score} t"))),
    Hostile("a run whose ranks contradict its scores", 3, submitted("q1 Q0 1#0 2 9 t\nq1 Q0 2#0 1 1 t\n")),
    Hostile("a run with a tag of two words", 0, submitted(ranking("{qid} Q0 {docid} {rank} {score} my run"))),
    Hostile(
        "a run with comment lines", 0, submitted("# run 1 of 3 t\n" + ranking("{qid} Q0 {docid} {rank} {score} t"))
    ),
    Hostile("a run with a score of 1_0", 3, submitted("q1 Q0 1#0 1 1_0 t\nq1 Q0 2#0 2 9 t\n")),
    Hostile("a run with a score in Arabic digits", 3, submitted("q1 Q0 1#0 1 ١٠ t\nq1 Q0 2#0 2 9 t\n")),
    Hostile("a run with a score of nan", 3, submitted("q1 Q0 1#0 1 nan t\n")),
    Hostile("a run with a docid twice", 3, submitted("q1 Q0 1#0 1 2 t\nq1 Q0 1#0 2 1 t\n")),
    Hostile("a run of passages that the corpus lacks", 3, submitted("q1 Q0 99#0 1 2 t\nq2 Q0 3#0 1 2 t\n")),
    Hostile("a run that lacks a topic", 3, submitted("q1 Q0 1#0 1 2 t\n")),
    Hostile("an empty run", 3, submitted("")),
    Hostile("a run of zero bytes", 3, submitted(b"\0" * 100)),
    Hostile("a sound model", 0, model()),
    Hostile("a model whose weights lack a layer", 3, model(without_layer)),
    Hostile("a model with a layer that is not applied", 3, model(with_layer("LayerNorm"))),
    Hostile("a model whose files state another pooling", 2, model(with_layer("Normalize"), pooling="cls")),
    Hostile(
        "a model with code of its own",
        2,
        model(lambda folder: model_folders.edit_json(folder / "config.json", auto_map={"AutoModel": "mine.Mine"})),
    ),
    Hostile("passages longer than the model's positions", 2, model(passage_length=65)),
    Hostile("a decoder without a padding token", 0, model(without_padding, "GPT2", pooling="last-token")),
    Hostile("an encoder with a decoder", 3, model(kind="T5")),
    Hostile("a configuration that is not JSON", 3, model(in_file("config.json", b"{"))),
    Hostile("a configuration that is a list", 3, model(in_file("config.json", b"[]"))),
    Hostile("weights that are cut", 3, model(lambda folder: os.truncate(folder / "model.safetensors", 1000))),
    Hostile("weights that are not there", 3, model(lambda folder: (folder / "model.safetensors").unlink())),
    Hostile("a tokenizer that is not JSON", 3, model(in_file("tokenizer.json", b"\xff"))),
    Hostile("layers that are not JSON", 3, model(in_file("modules.json", b"["))),
    Hostile("layers of another type", 3, model(in_file("modules.json", b'{"a": 1}'))),
    Hostile("a recipe in Latin-1", 2, recipe("summary: caf\xe9\n".encode("latin-1"))),
    Hostile("a recipe 3,000 lists deep", 2, recipe("summary: " + "[" * 3000)),
    Hostile("a recipe that is an alias of itself", 2, recipe("retriever: &a {name: *a}\n")),
    Hostile("a recipe with an integer of 5,000 digits", 2, recipe("seed: " + "9" * 5000)),
    Hostile("a recipe with an infinite number", 2, recipe("retriever: {name: bm25, k1: .inf}\n")),
    Hostile("a depth of yes", 2, recipe("retriever: {name: bm25}\nsearch: {depth: yes}\n")),
    Hostile("an experiment whose table names no systems", 2, experiment("tables: {one: {caption: x}}\n")),
    Hostile("an experiment of an unknown recipe", 2, experiment("blocks: [{seeds: [0], systems: [nope]}]\n")),
    Hostile("an experiment without blocks", 2, experiment("")),
    Hostile("a folder that is pushed without a result or a model", 3, words("push", ".", "lab/x")),
    Hostile("a result nested 5,000 deep", 3, result("[" * 5000)),
    Hostile("a result without a seal", 3, result('{"schema_version": 2}')),
    Hostile("a result with a key that is there twice", 3, result('{"schema_version": 2, "schema_version": 2}')),
    Hostile("a result that holds NaN", 3, result('{"schema_version": 2, "seal": NaN}')),
    Hostile("a result with a lone surrogate", 3, result(r'{"schema_version": 2, "split": "\ud800", "seal": "x"}')),
    Hostile("a result of the future", 3, result('{"schema_version": 99}')),
    Hostile("results that are not there", 3, words("verify", "nosuchdir")),
    Hostile("a page of results that are not there", 2, words("report", "--results", "nosuchdir", "--out", "site")),
    Hostile("an unknown command", 2, words("nope")),
]
"""One line, one input."""
