"""Show that a run has the same bits however it is executed, while its workers are killed at random.

Each recipe is run in one process, by two worker processes, on Ray with one and with two machines (simulated on this
one), by three processes of ``mdrbench work``, and by three jobs of a slurm array. Workers that are making a part are
killed with SIGKILL, each part at most once; under slurm also cancelled (``scancel``) and put back into the queue
(``scontrol requeue``, as when another job preempts them). The last one to die trains, after its first checkpoint. One
of the two machines of Ray is lost. Scores, run files, embeddings, training groups and trained weights of all ways are
compared with those of the first.

Example: python benchmarks/equality.py ../shared/data/wiki16-lite --langs sw,fi,ko,th --kills 4
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

WAYS = ("1 process", "2 processes", "ray, 1 machine", "ray, 2 machines", "3 x mdrbench work", "slurm, job array")

WORKERS = 3
"""Processes of ``mdrbench work``, and jobs of the array."""

RECIPES = {"boosted-sample": str(Path(__file__).parent / "equality_boosted.yaml")}
"""The file of a recipe that a collection other than the packaged sample needs."""

SETTINGS = {"me5-small": ["retriever.shard_size=64", "retriever.encoder.passage_length=16"]}
"""Small shards, so that there are parts to lose, and short passages, so that two cores are enough."""

COMPARED = {
    "embeddings": ("index", "shard"),
    "groups": ("top_up", "groups"),
    "domains": ("label", "labels"),
    "weights": ("train", "model/model"),
}
"""What is compared beside scores and runs: a stage, and the beginning of its files' names."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--langs", default="sw,fi,ko,th")
    parser.add_argument("--recipes", default="bm25,me5-small,boosted-sample")
    parser.add_argument("--ways", default="|".join(WAYS))
    parser.add_argument("--kills", type=int, default=5, help="workers killed for each recipe and way")
    parser.add_argument("--every", type=float, default=4.0, help="mean seconds between two kills")
    arguments = parser.parse_args()
    os.environ |= {"MDRBENCH_PART_TOPICS": "20", "MDRBENCH_PART_PASSAGES": "150", "MDRBENCH_PART_QUERIES": "20"}
    ways = arguments.ways.split("|")
    if "slurm, job array" in ways and not _slurm_answers():
        print("slurm is left out: `sinfo` does not answer (benchmarks/one_node_slurm.sh starts one)\n")
        ways.remove("slurm, job array")
    total = 0
    print("| recipe | executed by | seconds | killed | while they made | machines lost | compared with 1 process |")
    print("|---|---|--:|--:|---|--:|---|")
    with tempfile.TemporaryDirectory(prefix="equality-") as scratch:
        for recipe in arguments.recipes.split(","):
            first: dict[str, Any] = {}
            for way in ways:
                folder = Path(scratch) / recipe / way.replace(" ", "-")
                seconds, kills, lost = _run(recipe, way, folder, arguments)
                found = _outcome(folder)
                first = first or found
                differing = [name for name in first if first[name] != found[name]]
                same = "differs: " + ", ".join(differing) if differing else f"equal ({', '.join(found)})"
                total += kills.total()
                made = ", ".join(f"{number} {stage}" for stage, number in sorted(kills.items()))
                print(f"| {recipe} | {way} | {seconds:.0f} | {kills.total()} | {made} | {lost} | {same} |", flush=True)
                shutil.rmtree(folder)
    print(f"\n{total} workers were killed.")


def _run(recipe: str, way: str, folder: Path, arguments: argparse.Namespace) -> tuple[float, Counter[str], int]:
    """Run a recipe in one way; return the seconds, the workers that were killed by stage, and the machines lost."""
    cache, queue = folder / "cache", folder / "queue"
    words = [sys.executable, "-m", "mdrbench", "run", RECIPES.get(recipe, recipe)]
    words += ["--data", arguments.data, "--langs", arguments.langs]
    words += ["--results", str(folder / "results"), "--cache", str(cache), "--quiet"]
    words += [word for setting in SETTINGS.get(recipe, ()) for word in ("--set", setting)]
    ours = way in ("3 x mdrbench work", "slurm, job array")
    words += {"1 process": ["--workers", "1"], "2 processes": ["--workers", "2"]}.get(way, ["--executor", "ray"])
    if ours:
        words[-2:] = ["--executor", "queue", "--queue", str(queue)]
    environment = {**os.environ}
    environment.pop("RAY_ADDRESS", None)
    with ExitStack() as stack:
        lost: list[int] = []
        end = _kill
        if way == "ray, 2 machines":
            environment["RAY_ADDRESS"] = stack.enter_context(_two_machines(cache, lost if arguments.kills else [1]))
        if way == "3 x mdrbench work":
            stack.enter_context(_workers(queue))
        begun = time.monotonic()
        folder.mkdir(parents=True)
        if way == "slurm, job array":
            end = stack.enter_context(_job_array(folder, queue))
        with open(folder / "output.txt", "w", encoding="utf-8") as said:
            command = subprocess.Popen(words, env=environment, stdout=said, stderr=said)
            wanted = 0 if way == "1 process" else arguments.kills
            killed = _end_some(cache, command, wanted, arguments.every, end, trains=recipe in RECIPES)
            if command.wait():
                sys.exit(f"{recipe}, {way}: code {command.returncode}\n{(folder / 'output.txt').read_text()}")
        return time.monotonic() - begun, killed, len(lost)


def _end_some(
    cache: Path, command: subprocess.Popen[bytes], wanted: int, every: float, end: Callable[[int], None], trains: bool
) -> Counter[str]:
    """End processes that hold a claim, each part once, until so many are dead or the command ends.

    Returns:
        stage -> how many died while they made a part of it.
    """
    dice, killed = random.Random(7), set()
    while command.poll() is None:
        time.sleep(dice.uniform(0.3, 1.7) * every if len(killed) < wanted else 0.2)
        claims = [
            path
            for path in cache.glob("unfinished/*/.parts/claims/[0-9w]*")
            if path not in killed and not (path.parents[1] / "done" / path.name).exists()
        ]
        if trains and len(killed) == wanted - 1:
            claims = [path for path in claims if any(path.parents[1].glob("attempts/*/checkpoints/step-*.pt"))]
        if claims and len(killed) < wanted:
            path = dice.choice(claims)
            with suppress(OSError, ValueError, ProcessLookupError):
                end(json.loads(path.read_text())["pid"])
                killed.add(path)
    keys = [path.parents[2].name for path in killed]
    return Counter(path.parent.name for key in keys for path in cache.glob(f"artifacts/*/{key}"))


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextmanager
def _workers(queue: Path) -> Iterator[None]:
    """Keep processes of ``mdrbench work`` running; one that dies is started again, as slurm would do."""
    words = [sys.executable, "-m", "mdrbench", "work", "--queue", str(queue), "--threads", "1"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    running = [start() for _ in range(WORKERS)]

    def look() -> None:
        for at, process in enumerate(running):
            if process.poll() is not None:
                running[at] = start()

    with _repeating(look):
        yield
    for process in running:
        process.kill()
        process.wait()


def _slurm_answers() -> bool:
    try:
        return subprocess.run(["sinfo"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def _job_array(folder: Path, queue: Path) -> Iterator[Callable[[int], None]]:
    """Submit a job array of ``mdrbench work``, with a new job for each that ends; yield a function that ends a worker.

    A worker is ended in turn with SIGKILL, by ``scancel``, and by ``scontrol requeue``.
    """
    script = folder / "work.sh"
    script.write_text(f"#!/bin/bash\n{sys.executable} -m mdrbench work --queue {queue}\n", encoding="utf-8")
    name = f"equality-{os.getpid()}"

    def submit(number: int) -> None:
        words = ["sbatch", f"--array=0-{number - 1}", "--ntasks=1", f"--job-name={name}", "--requeue"]
        subprocess.run([*words, f"--output={folder}/job-%A-%a.txt", str(script)], check=True, stdout=subprocess.DEVNULL)

    def look() -> None:
        words = ["squeue", "--noheader", "--array", f"--name={name}"]
        jobs = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
        if len(jobs) < WORKERS:
            submit(WORKERS - len(jobs))

    turn = iter(range(1 << 30))

    def end(pid: int) -> None:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        [job] = [value.partition(b"=")[2].decode() for value in variables if value.startswith(b"SLURM_JOB_ID=")]
        command = [["kill", "-KILL", str(pid)], ["scancel", job], ["scontrol", "requeue", job]][next(turn) % 3]
        subprocess.run(command, check=True)

    submit(WORKERS)
    try:
        with _repeating(look):
            yield end
    finally:
        subprocess.run(["scancel", f"--name={name}"], check=True)


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
    """Return what must be equal: scores, and the SHA-256 of the runs and of what :data:`COMPARED` names."""
    [path] = [path for path in (folder / "results").rglob("*.json") if "languages" in json.loads(path.read_text())]
    result = json.loads(path.read_text())
    found: dict[str, Any] = {
        "scores": [result["averages"], {lang: row["scores"] for lang, row in result["languages"].items()}],
        "runs": {lang: row["files"]["run"]["sha256"] for lang, row in result["languages"].items()},
    }
    for name, (stage, begins) in COMPARED.items():
        hashes = {
            f"{manifest.parent.name}/{file}": entry["sha256"]
            for manifest in (folder / "cache").glob(f"artifacts/{stage}/*/manifest.json")
            for file, entry in json.loads(manifest.read_text())["files"].items()
            if file.startswith(begins) or Path(file).name.startswith(begins)
        }
        if hashes:
            found[name] = hashes
    return found


if __name__ == "__main__":
    main()
