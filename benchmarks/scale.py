"""What dividing a step costs, and what a second worker gains: encoding in shards, and exact search in ranges of rows.

    python benchmarks/scale.py ../shared/data/wiki16 [--rounds 3]

Each way makes the same step of ``mdrbench run`` twice, a small one of two parts and a large one of ``--parts`` parts.
The small one is the start of the processes: Python, torch, the model, the topics, and the first parts. The difference
of both is what the other parts take, in CPU seconds of all processes and in elapsed seconds. The ways take turns, and
the least of all rounds counts. If other programs use the machine, compare CPU seconds.

- one process: the step is not divided, as ``mdrbench run`` does on one machine.
- 1 worker, 2 workers: a coordinator in one process, and workers that make the parts, each with one core.

Embeddings are those of mE5-small. Those that are searched are random numbers of its dimensions.

``--only handling`` measures what a part costs beside its work, which the noise of a machine hides in the other two: a
shard is claimed, written, hashed, published, checked and placed, for 2,048 passages of 384 and of 1,024 dimensions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import NamedTuple

DIM = 384

WAYS = {
    "one process, one core": (0, 1),
    "1 worker, one core": (1, 1),
    "one process, two cores": (0, 2),
    "2 workers, two cores": (2, 2),
}
"""Way -> workers (0: not divided), and cores that the way may use."""


class Cost(NamedTuple):
    """CPU seconds of all processes, and elapsed seconds."""

    cpu: float
    seconds: float


class Work(NamedTuple):
    """A stage, the items of the small and of the large step, and a folder with data and cache for each."""

    stage: str
    item: str
    sizes: tuple[int, int]
    folders: tuple[Path, Path]
    environment: dict[str, str]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder in MIRACL's layout")
    parser.add_argument("--lang", default="en")
    parser.add_argument("--parts", type=int, default=10, help="parts of a large step")
    parser.add_argument("--shard", type=int, default=32, help="passages of a part of the encoding")
    parser.add_argument("--rows", type=int, default=131_072, help="rows of a part of the search")
    parser.add_argument("--topics", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("index", "search", "handling"), action="append")
    parser.add_argument("--case", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        stage, folder, workers, cores = options.case
        case(options, stage, Path(folder), int(workers), int(cores))
        return
    if "handling" in (options.only or ["handling"]):
        print("| a part of | worker, ms | CPU ms | coordinator, ms |\n|---|--:|--:|--:|")
        for dimensions in (384, 1024):
            handling(dimensions)
    if options.only == ["handling"]:
        return
    print("| step | executed by | start, CPU s | CPU s | to one process | seconds | items/s | to one process |")
    print("|---|---|--:|--:|--:|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory(prefix="scale-") as scratch:
        for work in works(options, Path(scratch)):
            measured = measure(options, work)
            items, base = work.sizes[1] - work.sizes[0], measured["one process, one core"][1]
            for way, (start, rest) in measured.items():
                cells = [f"{start.cpu:.1f}", f"{rest.cpu:.2f}", f"{rest.cpu / base.cpu - 1:+.1%}"]
                cells += [f"{rest.seconds:.2f}", f"{items / rest.seconds:,.0f}", f"{base.seconds / rest.seconds:.2f} x"]
                print(f"| {work.stage}, {items:,} {work.item} | {way} | {' | '.join(cells)} |", flush=True)


def handling(dimensions: int, passages: int = 2048, number: int = 40) -> None:
    """Print what a worker and the coordinator do for a part beside making it; writing the shard is included."""
    from mdrbench.pipeline.parts import Part, Parts

    shard = os.urandom(passages * dimensions * 2)
    with tempfile.TemporaryDirectory(prefix="scale-") as scratch:
        parts = Parts.create(Path(scratch) / "parts", [Part(f"{at:05}", at, at + 1) for at in range(number)])
        begun, before = time.perf_counter(), time.process_time()
        while (claim := parts.claim()) is not None:
            with parts.beating(claim, {}):
                (claim.out / f"shard-{claim.part.name}.npy").write_bytes(shard)
            parts.finish(claim, {"facts": {}})
        made, cpu = time.perf_counter() - begun, time.process_time() - before
        begun = time.perf_counter()
        for part in parts.parts:
            if parts.checked(part.name) is None:
                sys.exit(f"part {part.name} is damaged")
            parts.place(part.name, Path(scratch) / "placed")
        placed = time.perf_counter() - begun
    cells = [f"{1000 * seconds / number:.1f}" for seconds in (made, cpu, placed)]
    print(f"| {passages:,} x {dimensions:,}, {len(shard) / 1e6:.1f} MB | {' | '.join(cells)} |", flush=True)


def works(options: argparse.Namespace, scratch: Path) -> Iterator[Work]:
    """Yield the two kinds of work, with their data on disk."""
    if "index" in (options.only or ["index"]):
        sizes = options.shard * 2, options.shard * options.parts
        folders = scratch / "encode-small", scratch / "encode-large"
        for size, folder in zip(sizes, folders, strict=True):
            write_data(options, folder, size, 1)
        yield Work("index", "passages", sizes, folders, {})
    if "search" in (options.only or ["search"]):
        sizes = options.rows * 2, options.rows * options.parts
        folders = scratch / "search-small", scratch / "search-large"
        for size, folder in zip(sizes, folders, strict=True):
            write_data(options, folder, 1, options.topics)
            write_index(options, folder, size)
        yield Work("search", "rows", sizes, folders, {"MDRBENCH_PART_ROWS": str(options.rows)})


def measure(options: argparse.Namespace, work: Work) -> dict[str, tuple[Cost, Cost]]:
    """Return way -> what the small step takes, and what the rest of the large one takes."""
    least: dict[tuple[str, int], Cost] = {}
    for _ in range(options.rounds):
        for way, (workers, cores) in WAYS.items():
            for at, folder in enumerate(work.folders):
                cost = once(work, folder, workers, cores)
                least[way, at] = Cost(*map(min, cost, least.get((way, at), cost)))
    found = {}
    for way in WAYS:
        small, large = least[way, 0], least[way, 1]
        found[way] = small, Cost(large.cpu - small.cpu, large.seconds - small.seconds)
    return found


def once(work: Work, folder: Path, workers: int, cores: int) -> Cost:
    """Make a step in a process of its own."""
    words = [sys.executable, *sys.argv, "--case", work.stage, str(folder), str(workers), str(cores)]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, env={**os.environ, **work.environment, "OMP_NUM_THREADS": str(cores)})
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds)


def case(options: argparse.Namespace, stage: str, folder: Path, workers: int, cores: int) -> None:
    """Make the step of a stage anew, with so many workers."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    from mdrbench.pipeline import runner
    from mdrbench.pipeline.coordinator import coordinate
    from mdrbench.pipeline.executors.local import Config, Local, Processes

    store, steps, target = planned(options, folder, stage)
    if store.find(*target.ref):
        store.remove(*target.ref)

    class Divided:
        """Parts, whatever the number of workers; ``--workers 1`` would not divide."""

        def run(self, steps, root, listen):
            with tempfile.TemporaryDirectory() as queue:
                yield from coordinate(steps, root, listen, Path(queue), Processes(workers, 0))

    executor = Divided() if workers else Local(Config(workers=1))
    outcome = runner.run(steps, [target], store, executor, lambda number: nullcontext(lambda event: None))
    for error in outcome.failures.values():
        raise error


def planned(options: argparse.Namespace, folder: Path, stage: str):
    """Return the store of a folder, the steps of a dense recipe on its data, and the step of a stage."""
    from mdrbench import recipe
    from mdrbench.core.store import Store
    from mdrbench.data.access import open_dataset
    from mdrbench.pipeline.plan import plan_recipe

    one = recipe.load("me5-small", [f"retriever.shard_size={options.shard}"])
    store = Store(folder / "cache")
    plan = plan_recipe(one, open_dataset(str(folder / "data")), [options.lang], "dev", store, [])
    [target] = [step for step in plan.by_language[options.lang].steps if step.stage == stage]
    return store, plan.steps(), target


def write_data(options: argparse.Namespace, folder: Path, passages: int, topics: int) -> None:
    """Write so many passages and topics of the collection; topics repeat if it has fewer."""
    from mdrbench.data.access import open_dataset
    from mdrbench.formats import trec

    source, lang = open_dataset(str(options.data)), options.lang
    corpus = folder / "data" / "miracl-corpus" / f"miracl-corpus-v1.0-{lang}"
    corpus.mkdir(parents=True)
    with open(corpus / "docs-0.jsonl", "w", encoding="utf-8") as file:
        for passage in islice(source.passages(lang), passages):
            first = {"docid": passage.docid, "title": passage.title, "text": passage.text}
            file.write(json.dumps(first) + "\n")
    queries = list(trec.read_topics(source.topics_file(lang, "dev")).values())
    rows = {f"q{number}": queries[number % len(queries)] for number in range(topics)}
    for kind, lines in {
        "topics": [f"{qid}\t{query}\n" for qid, query in rows.items()],
        "qrels": [f"{qid}\tQ0\t{passage.docid}\t1\n" for qid in rows],
    }.items():
        path = folder / "data" / "miracl" / f"miracl-v1.0-{lang}" / kind / f"{kind}.miracl-v1.0-{lang}-dev.tsv"
        path.parent.mkdir(parents=True)
        path.write_text("".join(lines), encoding="utf-8")


def write_index(options: argparse.Namespace, folder: Path, rows: int) -> None:
    """Put random embeddings into the place of the index."""
    import numpy as np

    from mdrbench.retrieval import vectors

    store, _, step = planned(options, folder, "index")
    work = store.work_dir(step.key)
    (work / "index").mkdir()
    dice = np.random.default_rng(0)
    for number, first in enumerate(range(0, rows, 16_384)):
        matrix = dice.normal(size=(min(16_384, rows - first), DIM)).astype(np.float32)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        vectors.write_shard(work / "index", number, [str(first + at) for at in range(len(matrix))], matrix)
    store.commit("index", step.key, work, {"made_of": step.made_of(), "facts": {"indexed": rows}, "lineage": {}})


if __name__ == "__main__":
    main()
