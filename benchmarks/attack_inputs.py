"""Hostile inputs with the exit code that each must end with; add a row for every input that once went wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


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


def result(text: str | bytes) -> Callable[[Path], tuple[str, ...]]:
    """Return a maker of a result file."""

    def make(folder: Path) -> tuple[str, ...]:
        path = folder / "results" / "sample" / "mine.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return ("verify", "results", "--quiet")

    return make


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
    Hostile("a recipe in Latin-1", 2, recipe("summary: caf\xe9\n".encode("latin-1"))),
    Hostile("a recipe 3,000 lists deep", 2, recipe("summary: " + "[" * 3000)),
    Hostile("a recipe that is an alias of itself", 2, recipe("retriever: &a {name: *a}\n")),
    Hostile("a recipe with an integer of 5,000 digits", 2, recipe("seed: " + "9" * 5000)),
    Hostile("a recipe with an infinite number", 2, recipe("retriever: {name: bm25, k1: .inf}\n")),
    Hostile("a depth of yes", 2, recipe("retriever: {name: bm25}\nsearch: {depth: yes}\n")),
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
