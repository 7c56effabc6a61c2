"""A made-up trained result for the page of a system, and a reader of pages."""

from __future__ import annotations

import gzip
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

from support.results import measured, sealed

KEY = "aa450e35d565b126dafd45782e0b7146a5c5d2bbec18fb7f37cf7e6470be8402"
LOG = [
    *({"kind": "train", "step": n, "lr": n * 1e-6, "loss": 1 / n, "grad_norm": 2.0} for n in range(1, 9)),
    {"kind": "validation", "step": 8, "loss": 0.25},
]
RECIPE = {
    "name": "mine",
    "summary": "a trained system",
    "retriever": {"name": "dense", "encoder": {"name": "transformer", "model": "bge-m3"}},
    "negatives": {"mining": {"name": "topk", "k": 20}, "judge": {"name": "llm"}, "size": 20},
    "training": {"batch_size": 8},
    "extends": "base",
}


def step(key: str, seconds: float = 1.0, peak: int = 10**9) -> dict:
    return {
        "key": key, "made_at": "2026-01-01T00:00:00+00:00", "seconds": seconds, "peak_bytes": peak, "peak_of": "step",
        "environment": "0123456789ab",
    }  # fmt: skip


def language(lang: str, negatives: int = 140) -> dict:
    return {
        "scores": {
            "nDCG@10": {"value": 0.5, "low": 0.4, "high": 0.6}, "Recall@100": {"value": 0.9, "low": 0.8, "high": 1.0},
        },
        "dataset": {
            "fingerprint": "f" * 64, "passages": 1234, "topics": 12, "judged_topics": 11, "judgments": 30,
            "positives": 12, "files": {"docs-0.jsonl.gz": "d" * 64}, "warnings": {"repeated passage ignored": 1},
        },
        "conventions": {"model_revision": "sha256:" + "e" * 64, "dim": 384, "search_depth": 100, "analyzer": lang},
        "negatives": {
            "mine": {"queries": 12, "negatives": 120, "retrieved": 360},
            "judge": {"queries": 12, "negatives": 100, "candidates": 120, "eliminated": 20, "unreadable": 0,
                      "grades": {"0": 100, "2": 20},
                      "judge": {"judged": 120, "requests": 119, "stored": 1, "input_tokens": 5000, "cost": 0.25,
                                "output_tokens": 300}},
            "top_up": {"queries": 12, "negatives": negatives, "generated": negatives - 100, "short": 1, "missing": 3},
        },
        "steps": {"corpus": step(f"{lang}1"), "groups/judge": step(f"{lang}2", 30.0), "train": step(KEY, 600.0),
                  "index": step(f"{lang}3", 20.0, 4 * 10**9)},
        "command": "mdrbench run mine --data tiny --langs all",
    }  # fmt: skip


def trained(**changes) -> dict:
    """Return a result of two languages. :func:`save` writes its log."""
    return measured(
        system={"name": "mine", "summary": "a trained system", "recipe": RECIPE, "recipe_digest": "1" * 64},
        evaluated={
            "measures": ["nDCG@10", "Recall@100"], "depth": 100, "tie_rule": "t", "denominator": "d",
            "corpus_variant": "full", "confidence": 0.95, "resamples": 2000, "seed": 42,
        },
        languages={"ar": language("ar"), "sw": language("sw", 130)},
        averages=[{"label": "average of 2 languages", "languages": ["ar", "sw"],
                   "scores": {"nDCG@10": {"value": 0.5, "low": 0.45, "high": 0.55}}}],
        trainings={
            KEY[:12]: {
                "languages": ["ar", "sw"],
                "steps": {"label": step("b" * 64, 5.0), "train": step(KEY, 600.0)},
                "facts": {"base": "BAAI/bge-m3", "queries": {"ar": 11, "sw": 11}, "steps": 8, "planned_steps": 10,
                          "kept_step": 8, "validation": [{"step": 8, "loss": 0.25}], "seconds": {"train": 600.0}},
                "domains": {"labelled": 24, "distribution": {"ar": {"Sports": 9, "Others": 3}, "sw": {"Sports": 12}}},
            }
        },
        environments={"0123456789ab": {"cpu": "a processor", "cores": 2}},
        **changes,
    )  # fmt: skip


def save(root: Path, data: dict, log: list[dict] | None = None) -> Path:
    """Write a result, with the log of its training if there is one."""
    system = data["system"]
    name = f"variants/{system['name']}-{system['recipe_digest'][:10]}" if system.get("variant_of") else system["name"]
    path = root / data["dataset"] / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if log is not None:
        packed = gzip.compress("".join(json.dumps(line) + "\n" for line in log).encode(), mtime=0)
        file = path.with_suffix("") / f"training-{KEY[:12]}.jsonl.gz"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(packed)
        record = {"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}
        data["trainings"][KEY[:12]]["log"] = {"path": f"{file.parent.name}/{file.name}", **record}
    path.write_text(json.dumps(sealed(data)), encoding="utf-8")
    return path


class Read(HTMLParser):
    """Collects the words, table rows, tags and definition lists of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict]] = []
        self.terms: dict[str, str] = {}
        self._cell = self._term = self._value = False
        self._last = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell = True
            self.rows[-1].append("")
        elif tag in ("dt", "dd"):
            self._term, self._value = tag == "dt", tag == "dd"
            if tag == "dt":
                self._last = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = False
        elif tag == "dt":
            self._term = False
        elif tag == "dd":
            self._value = False

    def handle_data(self, data):
        text = " ".join(data.split())
        if not text:
            return
        self.words.append(text)
        if self._cell:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {text}".strip()
        if self._term:
            self._last = f"{self._last} {text}".strip()
        elif self._value:
            self.terms[self._last] = f"{self.terms.get(self._last, '')} {text}".strip()

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def row(self, first: str) -> list[str]:
        """Return the first row that begins with ``first``."""
        return next(row for row in self.rows if row and row[0].startswith(first))
