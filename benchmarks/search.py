"""Exact search over float16 shards on disk against a bare matrix product and faiss, in the same run.

    python benchmarks/search.py [--passages 100000] [--dim 384] [--queries 1000] [--repeat 3]

The bare product (float32, in memory, no top-k) is the floor; faiss is ``IndexFlatIP`` on the float32 matrix, in memory.
Ours reads float16 shards from disk. Rankings must agree.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import torch

from mdrbench.retrieval import vectors


def median_seconds(function: Callable[[], object], repeat: int) -> float:
    """Median wall-clock seconds after one run that is not counted."""
    function()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    """Print one line a contender and depth."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    passages = rng.normal(size=(options.passages, options.dim)).astype(np.float16).astype(np.float32)
    passages = (passages / np.linalg.norm(passages, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    queries = rng.normal(size=(options.queries, options.dim)).astype(np.float32)
    as_torch, query_tensor = torch.from_numpy(passages), torch.from_numpy(queries)
    index = faiss.IndexFlatIP(options.dim)
    index.add(passages)
    print(f"{options.passages} x {options.dim}, {options.queries} queries, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        for number, start in enumerate(range(0, len(passages), 16_384)):
            part = passages[start : start + 16_384]
            vectors.write_shard(Path(folder), number, [str(i) for i in range(start, start + len(part))], part)
        bare = median_seconds(lambda: query_tensor @ as_torch.T, options.repeat)
        print(f"  bare product              {bare:6.2f} s")
        for depth in (100, 1000):
            ours = median_seconds(partial(vectors.top, Path(folder), queries, depth), options.repeat)
            theirs = median_seconds(partial(index.search, queries, depth), options.repeat)
            found = vectors.top(Path(folder), queries, depth)[1].tolist()
            expected = index.search(queries, depth)[1].tolist()
            same = np.mean([len({*a} & {*b}) / depth for a, b in zip(found, expected, strict=True)])
            print(
                f"  depth {depth:<4}  mdrbench {ours:6.2f} s ({ours / bare:.2f} x bare)   "
                f"faiss flat {theirs:6.2f} s ({theirs / ours:.2f} x ours)   same hits {same:.4f}"
            )


if __name__ == "__main__":
    main()
