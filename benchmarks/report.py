"""Measure `mdrbench report` on many synthetic results with topic files: cold, unchanged, one file changed.

    python benchmarks/report.py [--results 500] [--collections 5] [--topics 50] [--keep FOLDER]

Every result covers 16 languages with five measures. The scores of a topic depend on the topic and the system, so that
significance letters overlap as in real results.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mdrbench import results
from mdrbench.core.languages import ALL
from mdrbench.evaluation import measures

FAMILIES = (
    {"name": "bm25", "k1": 0.9},
    {"name": "dense", "encoder": {"name": "transformer", "model": "me5-small"}},
    {"name": "dense", "encoder": {"name": "transformer", "model": "bge-m3"}},
)
LANGS = ALL


def write_results(root: Path, number_of_results: int, collections: int, topics: int, seed: int = 7) -> None:
    """Write measured results with topic files, spread evenly over ``collections`` data sets."""
    for number in range(number_of_results):
        dataset, system = number % collections, number // collections
        rng = np.random.default_rng([seed, dataset, system])
        _write(root / f"synthetic-{dataset}", f"system-{system:03d}", f"synthetic-{dataset}", dataset, topics, rng)


def _write(folder: Path, name: str, dataset: str, number: int, topics: int, rng: np.random.Generator) -> None:
    names = measures.DEFAULT
    strength = rng.normal(0, 0.06)
    languages, means = {}, []
    for lang in LANGS:
        base = np.random.default_rng([number, *lang.encode()]).beta(2, 1.2, (topics, 1))
        values = np.clip(base + strength + rng.normal(0, 0.18, (topics, len(names))), 0, 1)
        kept = folder / name / f"{lang}-dev.topics.tsv.gz"
        kept.parent.mkdir(parents=True, exist_ok=True)
        scores = {f"q{i}": dict(zip(names, map(float, row), strict=True)) for i, row in enumerate(values)}
        measures.write_topic_scores(kept, scores, {qid: f"query {qid} of {lang}" for qid in scores}, names)
        data = kept.read_bytes()
        mean = values.mean(axis=0)
        means.append(mean)
        spread = 1.96 * values.std(axis=0) / np.sqrt(topics)
        languages[lang] = {
            "scores": {m: _cell(mean[i], spread[i]) for i, m in enumerate(names)},
            "dataset": {
                "fingerprint": hashlib.sha256(f"{dataset} {lang}".encode()).hexdigest(), "passages": 600,
                "topics": topics, "judged_topics": topics, "judgments": 2 * topics, "positives": topics,
                "files": {}, "warnings": {},
            },
            "conventions": {"model": name, "search_depth": 100},
            "steps": {
                stage: {
                    "key": hashlib.sha256(f"{name} {lang} {stage}".encode()).hexdigest(), "seconds": 1.5,
                    "made_at": "2026-01-01T00:00:00+00:00", "peak_bytes": 10**9, "peak_of": "step", "environment": "e",
                }
                for stage in ("corpus", "topics", "index", "search", "evaluate")
            },
            "files": {
                "topics": {
                    "path": f"{name}/{kept.name}", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()
                }
            },
            "command": f"mdrbench run {name}",
        }  # fmt: skip
    family = FAMILIES[hash_of(name) % len(FAMILIES)]
    average = {m: _cell(np.mean(means, axis=0)[i], 0.02) for i, m in enumerate(names)}
    result = {
        "kind": "measured", "dataset": dataset, "split": "dev",
        "system": {
            "name": name, "summary": f"synthetic system {name}", "recipe": {"name": name, "retriever": family},
            "recipe_digest": hashlib.sha256(name.encode()).hexdigest(),
        },
        "evaluated": {
            "measures": list(names), "depth": 100, "tie_rule": "float32 score, then docid descending",
            "denominator": "all judged topics", "confidence": 0.95, "resamples": 2000, "seed": 42,
            "corpus_variant": "full",
        },
        "languages": languages,
        "averages": [{"label": results.average_label(list(LANGS)), "languages": list(LANGS), "scores": average}],
        "environments": {"e": {"python": "3.11", "cores": 2}},
    }  # fmt: skip
    text = results.dump(results.Result.model_validate(result))
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def _cell(value: float, spread: float) -> dict[str, float]:
    return {"value": float(value), "low": float(max(0, value - spread)), "high": float(min(1, value + spread))}


def hash_of(text: str) -> int:
    """Return a number that is the same in every process."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def timed(folder: Path, out: Path) -> str:
    """Run `mdrbench report` in a process; return its seconds, and the processor seconds of it and its children.

    Processor seconds depend little on what else the machine does.
    """
    started, before = time.perf_counter(), os.times()
    command = [sys.executable, "-m", "mdrbench", "report", "--results", str(folder), "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    return f"{time.perf_counter() - started:6.2f} s, {worked:6.2f} s of processor time"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=500)
    parser.add_argument("--collections", type=int, default=5)
    parser.add_argument("--topics", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="folder to leave results and site in")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    root, out = folder / "results", folder / "public"
    if not root.exists():
        write_results(root, options.results, options.collections, options.topics)
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out.with_name(f".{out.name}.cache"), ignore_errors=True)
    print(f"{options.results} results in {options.collections} collections, {options.topics} topics a language")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print(f"nothing cached    {timed(root, out)}")
    print(f"nothing changed   {timed(root, out)}")
    one = next(root.glob("*/*.json"))
    one.write_text(one.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    print(f"one file changed  {timed(root, out)}")
    sizes = sorted((p.stat().st_size, p.relative_to(out).as_posix()) for p in out.rglob("*.html"))
    print(f"{len(sizes)} pages; the largest: {sizes[-1][1]}, {sizes[-1][0] / 1e3:.0f} kB uncompressed")
    if not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
