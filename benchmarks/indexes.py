"""Search structures against exact search on the same embeddings, in one run: build time, bytes, queries/s, recall.

    python benchmarks/indexes.py [--passages 100000] [--dim 384] [--queries 1000] [--depth 100]
    python benchmarks/indexes.py --embeddings FOLDER     the shards of a dense index; some of its rows are the queries

Without a folder the vectors are synthetic: unit vectors around centres whose sizes vary, 100 passages to a centre on
average. Recall is against ``exact``. Reading the structure counts as searching.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from mdrbench.core.members import Member
from mdrbench.evaluation import measures
from mdrbench.retrieval import vectors
from mdrbench.retrieval.indexes import _faiss

CONTENDERS = (
    {"name": "exact"},
    {"name": "flat"},
    {"name": "ivf-pq", "refine": 0},
    {"name": "ivf-pq"},
    {"name": "ivf-pq", "nprobe": 128, "refine": 8},
    {"name": "hnsw"},
    {"name": "hnsw", "ef_search": 512},
)
"""Those that differ only in settings of the search share a structure."""


def synthetic(folder: Path, passages: int, dim: int, queries: int) -> np.ndarray:
    """Write shards of clustered unit vectors; more of the same kind as queries."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(1, passages // 100), dim))
    weights = rng.exponential(size=len(centres))

    def draw(count: int) -> np.ndarray:
        chosen = rng.choice(len(centres), count, p=weights / weights.sum())
        points = centres[chosen] + 0.7 * rng.normal(size=(count, dim))
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)

    for number, start in enumerate(range(0, passages, 16_384)):
        part = draw(min(16_384, passages - start))
        vectors.write_shard(folder, number, [str(i) for i in range(start, start + len(part))], part)
    return draw(queries)


def taken(folder: Path, queries: int) -> np.ndarray:
    """Rows of an index, slightly disturbed, as queries."""
    rng = np.random.default_rng(0)
    count, dim = _faiss.shape(folder)
    found = _faiss.rows(folder, np.sort(rng.choice(count, min(queries, count), replace=False)))
    return (found + rng.normal(size=found.shape, scale=0.3 / np.sqrt(dim))).astype(np.float32)


def main() -> None:
    """Print one line a contender."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--embeddings", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = options.embeddings or Path(root) / "shards"
        if options.embeddings:
            queries = taken(folder, options.queries)
        else:
            folder.mkdir()
            queries = synthetic(folder, options.passages, options.dim, options.queries)
        count, dim = _faiss.shape(folder)
        print(f"{count} x {dim}, {len(queries)} queries, depth {options.depth}")
        exact: np.ndarray | None = None
        built: dict[str, dict] = {}
        for settings in CONTENDERS:
            name = settings["name"]
            index = Member.of("indexes", settings).build()
            structure = Path(root) / name
            if name not in built:
                structure.mkdir()
                built[name] = index.build(folder, structure, lambda done: None)
            start = time.perf_counter()
            _, rows = index.search(folder, structure, queries, options.depth)
            seconds = time.perf_counter() - start
            exact = rows if exact is None else exact
            recalls = "  ".join(f"recall@{k} {measures.overlap(rows, exact, k):.4f}" for k in (10, options.depth))
            facts = built[name]
            label = " ".join([name, *(f"{key}={value}" for key, value in settings.items() if key != "name")])
            print(
                f"  {label:<30} build {facts.get('seconds', 0):7.1f} s  {facts.get('bytes', 0) / 1e6:7.1f} MB  "
                f"{len(queries) / seconds:7.0f} queries/s  {recalls}",
                flush=True,
            )


if __name__ == "__main__":
    main()
