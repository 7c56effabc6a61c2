"""Show that a run has the same bits however it is executed, while its workers are killed at random.

Each recipe is run in one process, by two worker processes, on Ray with one and with two machines (simulated on this
one), and by three processes of ``mdrbench work``. Workers that are making a part are killed with SIGKILL, each part at
most once, and one of the two machines of Ray is lost. The results, the run files and the embeddings of
all ways are compared with those of the first.

Example: python benchmarks/equality.py ../shared/data/wiki16-lite --langs sw,fi,ko,th --kills 5
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

WAYS = ("1 process", "2 processes", "ray, 1 machine", "ray, 2 machines", "3 x mdrbench work")

SETTINGS = {"me5-small": ["retriever.shard_size=64", "retriever.encoder.passage_length=16"]}
"""Small shards, so that there are parts to lose, and short passages, so that two cores are enough."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--langs", default="sw,fi,ko,th")
    parser.add_argument("--recipes", default="bm25,me5-small")
    parser.add_argument("--ways", default="|".join(WAYS))
    parser.add_argument("--kills", type=int, default=5, help="workers killed for each recipe and way")
    parser.add_argument("--every", type=float, default=4.0, help="mean seconds between two kills")
    arguments = parser.parse_args()
    os.environ["MDRBENCH_PART_TOPICS"] = "20"
    total = 0
    print("| recipe | executed by | seconds | workers killed | machines lost | compared with 1 process |")
    print("|---|---|--:|--:|--:|---|")
    with tempfile.TemporaryDirectory(prefix="equality-") as scratch:
        for recipe in arguments.recipes.split(","):
            first: dict[str, Any] = {}
            for way in arguments.ways.split("|"):
                folder = Path(scratch) / recipe / way.replace(" ", "-")
                seconds, kills, lost = _run(recipe, way, folder, arguments)
                found = _outcome(folder)
                first = first or found
                differing = [name for name in first if first[name] != found[name]]
                same = "differs: " + ", ".join(differing) if differing else f"equal ({', '.join(found)})"
                total += kills
                print(f"| {recipe} | {way} | {seconds:.0f} | {kills} | {lost} | {same} |", flush=True)
    print(f"\n{total} workers were killed.")


def _run(recipe: str, way: str, folder: Path, arguments: argparse.Namespace) -> tuple[float, int, int]:
    """Run a recipe in one way; return the seconds, and how many workers and machines were lost."""
    cache, queue = folder / "cache", folder / "queue"
    words = [sys.executable, "-m", "mdrbench", "run", recipe, "--data", arguments.data, "--langs", arguments.langs]
    words += ["--results", str(folder / "results"), "--cache", str(cache), "--quiet"]
    words += [word for setting in SETTINGS.get(recipe, ()) for word in ("--set", setting)]
    words += {
        "1 process": ["--workers", "1"],
        "2 processes": ["--workers", "2"],
        "3 x mdrbench work": ["--executor", "queue", "--queue", str(queue)],
    }.get(way, ["--executor", "ray"])
    environment = {**os.environ}
    environment.pop("RAY_ADDRESS", None)
    with ExitStack() as stack:
        lost: list[int] = []
        if way == "ray, 2 machines":
            environment["RAY_ADDRESS"] = stack.enter_context(_two_machines(cache, lost if arguments.kills else [1]))
        if way == "3 x mdrbench work":
            stack.enter_context(_workers(queue, 3))
        begun = time.monotonic()
        folder.mkdir(parents=True)
        with open(folder / "output.txt", "w", encoding="utf-8") as said:
            command = subprocess.Popen(words, env=environment, stdout=said, stderr=said)
            killed = 0 if way == "1 process" else _kill(cache, command, arguments.kills, arguments.every)
            if command.wait():
                sys.exit(f"{recipe}, {way}: code {command.returncode}\n{(folder / 'output.txt').read_text()}")
        return time.monotonic() - begun, killed, len(lost)


def _kill(cache: Path, command: subprocess.Popen[bytes], wanted: int, every: float) -> int:
    """Kill processes that hold a claim, each part once, until so many are dead or the command ends."""
    dice, killed = random.Random(7), set()
    while command.poll() is None:
        time.sleep(dice.uniform(0.3, 1.7) * every if len(killed) < wanted else 0.2)
        claims = [
            path
            for path in cache.glob("unfinished/*/.parts/claims/[0-9w]*")
            if path not in killed and not (path.parents[1] / "done" / path.name).exists()
        ]
        if claims and len(killed) < wanted:
            path = dice.choice(claims)
            with suppress(OSError, ValueError, ProcessLookupError):
                os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
                killed.add(path)
    return len(killed)


@contextmanager
def _workers(queue: Path, number: int) -> Iterator[None]:
    """Keep processes of ``mdrbench work`` running; one that dies is started again, as slurm would do."""
    words = [sys.executable, "-m", "mdrbench", "work", "--queue", str(queue), "--threads", "1"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    running = [start() for _ in range(number)]

    def look() -> None:
        for at, process in enumerate(running):
            if process.poll() is not None:
                running[at] = start()

    with _repeating(look):
        yield
    for process in running:
        process.kill()
        process.wait()


@contextmanager
def _two_machines(cache: Path, lost: list[int]) -> Iterator[str]:
    """Start a cluster of two machines; one is lost when the first index is being made."""
    from ray.cluster_utils import Cluster

    memory = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=memory)
    second = cluster.add_node(**memory)

    def look() -> None:
        if not lost and any(cache.glob("artifacts/topics/*")):
            lost.append(1)
            time.sleep(3)
            cluster.remove_node(second, allow_graceful=False)

    try:
        with _repeating(look):
            yield cluster.address
    finally:
        cluster.shutdown()


@contextmanager
def _repeating(action: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(0.5):
            action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _outcome(folder: Path) -> dict[str, Any]:
    """Return what must be equal: scores, the SHA-256 of the runs, and of the embeddings if there are any."""
    [path] = [path for path in (folder / "results").rglob("*.json") if "languages" in json.loads(path.read_text())]
    result = json.loads(path.read_text())
    found: dict[str, Any] = {
        "scores": [result["averages"], {lang: row["scores"] for lang, row in result["languages"].items()}],
        "runs": {lang: row["files"]["run"]["sha256"] for lang, row in result["languages"].items()},
    }
    embeddings = {}
    for manifest in (folder / "cache").glob("artifacts/index/*/manifest.json"):
        files = json.loads(manifest.read_text())["files"]
        embeddings[manifest.parent.name] = {name: row["sha256"] for name, row in files.items() if "shard" in name}
    if any(embeddings.values()):
        found["embeddings"] = embeddings
    return found


if __name__ == "__main__":
    main()
