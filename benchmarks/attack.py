"""Attack mdrbench: kill it, edit its files, let writers meet, and feed it bad input. Figures are in docs/trust.md.

::

    python benchmarks/attack.py --kills 100 --terminations 20 --edits 2000 --rounds 20      everything
    python benchmarks/attack.py --kills 4 --edits 100 --rounds 2                            a few minutes

Each part prints what it found and the program ends with 1 if a kill changed a bit, an edit passed unnoticed, a writer
lost anything or an input did not end with its exit code. ``--seed`` repeats an attack.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import attack_edits
from attack_inputs import INPUTS, save_model

PROJECT = Path(__file__).resolve().parents[1]
SAMPLE = PROJECT / "results" / "sample"
PUBLISHED = PROJECT / "results" / "published"


def command(folder: Path, *words: str) -> tuple[list[str], dict[str, object]]:
    """Return the command line of this checkout's mdrbench, and the options to start it with."""
    paths = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    environment = {"MDRBENCH_CACHE": str(folder / "store"), **os.environ, "PYTHONPATH": paths}
    environment["MDRBENCH_CACHE"] = str(folder / "store")
    return [sys.executable, "-m", "mdrbench", *words], {"cwd": folder, "env": environment}


def run(folder: Path, *words: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run mdrbench to its end."""
    line, options = command(folder, *words)
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=timeout, **options)


# -- kills -------------------------------------------------------------------------------------------------------------

RUNS = {
    "run": ("run", "bm25", "--data", "sample", "--langs", "sw,fi,ar", "--quiet"),
    "gc": ("cache", "gc", "--older-than", "0"),
    "report": ("report", "--out", "site"),
}
TRAINED = {
    "train": ("run", "../tiny.yaml", "--data", "sample", "--langs", "sw", "--quiet"),
    "ablate": ("ablate", "../tiny.yaml", "--data", "sample", "--langs", "sw", "--no-judge", "--quiet"),
}
"""They train the tiny model of :func:`save_recipe`."""

TINY = """
summary: hard negatives, a judge and a training on a tiny model
retriever: {name: dense, encoder: {name: transformer, model: MODEL, pooling: mean, normalize: true,
  query_length: 16, passage_length: 32, precision: fp32}}
negatives: {mining: {name: random, k: 6, depth: 8}, judge: {name: replay, ungraded: about-something-else}, size: 5}
training: {steps: 6, batch_size: 4, negatives: 2, domains: {name: none}, precision: fp32, save_every: 2}
"""


def save_recipe(folder: Path) -> None:
    """Write ``tiny.yaml`` and its model, to be named from a folder inside."""
    model = save_model(folder / "model", "Bert")
    (folder / "tiny.yaml").write_text(TINY.replace("MODEL", str(model)))


def bits(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every kept run, table of scores and log of a training."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "results").rglob("*.gz"))
    }


def kills(count: int, rng: random.Random, trained: bool, number: signal.Signals = signal.SIGKILL) -> list[str]:
    """Send commands a signal at random moments, run them to their end, and compare every bit with an undisturbed run.

    A command that gets SIGTERM must end within :data:`ENDS_S` seconds, with its exit code.
    """
    if not count:
        return []
    works = {**RUNS, **(TRAINED if trained else {})}
    faults, killed = [], Counter()
    with tempfile.TemporaryDirectory(prefix="mdrbench-attack-") as scratch:
        peace = Path(scratch) / "peace"
        took = {}
        peace.mkdir()
        if trained:
            save_recipe(Path(scratch))
        for name, words in works.items():
            start = time.monotonic()
            done = run(peace, *words)
            took[name] = time.monotonic() - start
            if done.returncode:
                return [f"{name} fails without an attack: {done.stderr[-300:]}"]
            print(f"{name} without an attack: {took[name]:.0f} s", flush=True)
        expected = bits(peace)
        folder = Path(scratch) / "war"
        tries = 0
        for before in range(0, count, 10):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            while killed.total() < min(before + 10, count):
                tries += 1
                name = rng.choice(list(works))
                line, options = command(folder, *works[name])
                process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
                try:
                    process.wait(rng.uniform(0.2, took[name]))
                except subprocess.TimeoutExpired:
                    process.send_signal(number)
                    faults += _ended(process, name, number)
                    killed[name] += 1
            faults += [f"after {killed.total()} {number.name}: {text}" for text in _aftermath(folder, works, expected)]
            print(f"{number.name}: {killed.total()} in {tries} tries, {len(faults)} faults", flush=True)
    print(f"{number.name}: {killed.total()} ({', '.join(f'{name} {n}' for name, n in sorted(killed.items()))})")
    return faults


ENDS_S = 90
"""Seconds within which a command ends that gets SIGTERM; after 60 s it cuts its clean-up short."""


def _ended(process: subprocess.Popen[bytes], name: str, number: signal.Signals) -> list[str]:
    """Wait for a command that got a signal; return what is wrong with its end."""
    try:
        code = process.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return [f"{name} did not end within {ENDS_S} s of {number.name}"]
    if number == signal.SIGTERM and code not in (0, 143, -number):  # done; terminated; terminated before it began
        return [f"{name} ends with {code} after {number.name}"]
    return []


def _aftermath(folder: Path, works: dict[str, tuple[str, ...]], expected: dict[str, str]) -> Iterator[str]:
    for name, words in works.items():
        if name != "gc" and (done := run(folder, *words)).returncode:
            yield f"{name} ends with {done.returncode}: {done.stderr[-300:]}"
    found = bits(folder)
    if found != expected:
        yield f"other bits: {sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))[:3]}"
    if (done := run(folder, "verify", "results", "--data", "sample", "--quiet")).returncode:
        yield f"verify: {done.stdout[-300:]}"
    if (done := run(folder, "cache", "verify")).returncode:
        yield f"cache verify: {done.stdout[-300:]}"
    run(folder, "cache", "gc", "--older-than", "9")
    left = [path for place in ("results", "store/unfinished", "store/in-use") for path in (folder / place).rglob(".*")]
    left += [*(folder / "store" / "unfinished").iterdir()]
    if left:
        yield f"left behind: {left[:3]}"


# -- edits -------------------------------------------------------------------------------------------------------------

JSON, GZIP = attack_edits.edited_json, attack_edits.edited_gzip


def kinds() -> dict[str, tuple[list[Path], Callable[[bytes, random.Random], bytes]]]:
    """Return the stored kinds: their files and how one of them is edited."""
    published = [path for path in PUBLISHED.rglob("*.json") if path.parent.name not in ("tables", "calibration")]
    return {
        "result": (sorted(SAMPLE.glob("*.json")), JSON),
        "variant": (sorted(SAMPLE.glob("variants/*.json")), JSON),
        "ablation": (sorted(SAMPLE.glob("ablations/*.json")), JSON),
        "published": (sorted(published), JSON),
        "run": (sorted(SAMPLE.glob("*/*.run.trec.gz")), GZIP),
        "topics": (sorted(SAMPLE.glob("*/*.topics.tsv.gz")), GZIP),
        "log": (sorted(SAMPLE.glob("*/training-*.gz")), GZIP),
    }


def edits(count: int, rng: random.Random) -> list[str]:
    """Edit one stored file at a time and ask ``verify`` (for artifacts: the store) whether anything is wrong."""
    sys.path.insert(0, str(PROJECT))
    faults, made, noticed = [], Counter(), Counter()
    stored = kinds()
    with tempfile.TemporaryDirectory(prefix="mdrbench-attack-") as scratch:
        root = Path(shutil.copytree(PROJECT / "results", Path(scratch) / "results"))
        run(Path(scratch), *RUNS["run"][:-1], "--quiet", "--results", str(Path(scratch) / "own"))
        artifacts = sorted((Path(scratch) / "store" / "artifacts").rglob("*"))
        files = [path for path in artifacts if path.is_file() and path.stat().st_size]
        for _ in range(count):
            kind = rng.choice([*stored, "artifact"])
            if kind == "artifact":
                path = rng.choice(files)
                edit = JSON if path.name == "manifest.json" else attack_edits.edited_bytes
                found = _noticed_by_store
            else:
                paths, edit = stored[kind]
                path = root / rng.choice(paths).relative_to(PROJECT / "results")
                found = _noticed_by_verify
            content = path.read_bytes()
            path.write_bytes(edit(content, rng))
            made[kind] += 1
            if found(path):
                noticed[kind] += 1
            else:
                faults.append(f"an edit of {kind} {path.name} was not noticed (edit {sum(made.values())})")
            path.write_bytes(content)
    for kind, number in made.items():
        print(f"edits of {kind}: {noticed[kind]} of {number} noticed")
    print(f"edits: {sum(noticed.values())} of {sum(made.values())} noticed")
    return faults


def forged(count: int, rng: random.Random) -> list[str]:
    """Edit results and compute the seal again, as a forger does; ``verify --data`` must notice every forged number."""
    sys.path.insert(0, str(PROJECT))
    from mdrbench.commands.audit import verification
    from mdrbench.core.store import seal_of
    from mdrbench.data.access import open_dataset

    sample = open_dataset("sample")
    faults, made, noticed = [], Counter(), Counter()
    with tempfile.TemporaryDirectory(prefix="mdrbench-attack-") as scratch:
        root = Path(shutil.copytree(SAMPLE, Path(scratch) / "sample"))
        for _ in range(count):
            path = root / rng.choice(sorted(root.glob("*.json"))).name
            content = path.read_bytes()
            before = data = json.loads(content)
            kind = rng.choice(("number", "other"))
            data = attack_edits.with_another_number(data, rng) if kind == "number" else attack_edits.edited(data, rng)
            path.write_text(json.dumps(data | {"seal": seal_of(data)}), encoding="utf-8")
            [found] = verification.verify([path], sample, corpus=True, progress=lambda text: None)
            made[kind] += 1
            noticed[kind] += bool(found.problems)
            if not found.problems:
                changed = sorted(" ".join(map(str, place)) for place in attack_edits.differing(before, data))
                print(f"not noticed in {path.name}: {'; '.join(changed)[:200]}", flush=True)
            if kind == "number" and not found.problems:
                faults.append(f"a forged number of {path.name} was not noticed (forgery {sum(made.values())})")
            path.write_bytes(content)
    for kind, number in made.items():
        print(f"forgeries of {kind}s, seal computed again, data at hand: {noticed[kind]} of {number} noticed")
    return faults


def _noticed_by_verify(path: Path) -> bool:
    from mdrbench.commands.audit import verification
    from mdrbench.core.errors import DataError

    owner = path
    if path.suffix == ".gz":
        beside = path.parent
        owner = beside.parent / f"{beside.name}.json"
        return _changed_beside(owner, path)
    try:
        return bool(verification.seal_problems(owner)) or bool(_problems(owner))
    except DataError:
        return True


def _problems(path: Path) -> list[object]:
    from mdrbench.commands.audit import verification

    [found] = verification.verify([path], None, progress=lambda text: None)
    return list(found.problems)


def _changed_beside(owner: Path, path: Path) -> bool:
    """Check one kept file as ``verify`` does, without the other languages of its result."""
    from mdrbench import results
    from mdrbench.core.errors import DataError
    from mdrbench.results import kept

    result = results.read(owner)
    files = [file for entry in result.languages.values() for file in entry.files.values()]
    files += [training.log for training in result.trainings.values() if training.log]
    [file] = [file for file in files if owner.parent / file.path == path]
    try:
        kept.checked(owner, file)
    except DataError:
        return True
    return False


def _noticed_by_store(path: Path) -> bool:
    from mdrbench.core.store import Store

    root = next(parent.parent for parent in path.parents if parent.name == "artifacts")
    stage, key = path.relative_to(root / "artifacts").parts[:2]
    return Store(root).find(stage, key) is None


# -- concurrent writers ------------------------------------------------------------------------------------------------


def writers(rounds: int, rng: random.Random, trained: bool) -> list[str]:
    """Let runs, ablations and garbage collectors meet; nothing may be lost and nobody may crash."""
    faults = []
    langs = ("ar", "fi", "sw")
    with tempfile.TemporaryDirectory(prefix="mdrbench-attack-") as scratch:
        warm = Path(scratch) / "warm"
        warm.mkdir()
        run(warm, *RUNS["run"])
        if trained:
            save_recipe(Path(scratch))
            run(warm, *TRAINED["ablate"], "--no-training")
        for number in range(rounds):
            shutil.rmtree(warm / "results", ignore_errors=True)
            wanted = [("run", "bm25", "--data", "sample", "--langs", lang, "--quiet") for lang in langs]
            wanted += [("cache", "gc", "--older-than", "0.0001")] * 2
            if trained:
                both = TRAINED["ablate"]
                wanted += [both, tuple(word.replace("--no-judge", "--no-training") for word in both)]
            rng.shuffle(wanted)
            started = []
            for words in wanted:
                line, options = command(warm, *words)
                started.append(
                    (
                        words,
                        subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options),
                    )
                )
            for words, process in started:
                said = process.communicate()[1]
                if process.returncode:
                    faults.append(f"round {number}: {' '.join(words)} ends with {process.returncode}: {said[-200:]}")
            faults += [f"round {number}: {text}" for text in _lost(warm, langs, trained)]
            print(f"concurrent writers: round {number}, {len(faults)} faults", flush=True)
    print(f"concurrent writers: {rounds} rounds of {len(wanted) if rounds else 0} processes, {len(faults)} faults")
    return faults


def _lost(folder: Path, langs: tuple[str, ...], trained: bool) -> Iterator[str]:
    result = json.loads((folder / "results" / "sample" / "bm25.json").read_text(encoding="utf-8"))
    if sorted(result["languages"]) != sorted(langs):
        yield f"languages left: {sorted(result['languages'])}"
    if trained:
        path = next((folder / "results" / "sample" / "ablations").glob("*.json"))
        count = len(json.loads(path.read_text(encoding="utf-8"))["variants"])
        if count != 2:
            yield f"{count} variants of 2"
    if run(folder, "verify", "results", "--quiet").returncode:
        yield "verify finds problems"
    left = list((folder / "results").rglob(".*"))
    if left:
        yield f"left behind: {left[:3]}"


# -- hostile inputs ----------------------------------------------------------------------------------------------------


def inputs(named: str) -> list[str]:
    """Run every hostile input; each must end with its exit code and without a traceback."""
    faults = []
    for hostile in [one for one in INPUTS if named in one.name]:
        with tempfile.TemporaryDirectory(prefix="mdrbench-attack-") as scratch:
            folder = Path(scratch)
            words = hostile.make(folder)
            done = run(folder, *words)
            told = done.returncode == hostile.code and "Traceback" not in done.stderr
            print(
                f"input: {hostile.name}: exit code {done.returncode}" + ("" if told else f", not {hostile.code}"),
                flush=True,
            )
            if not told:
                faults.append(f"{hostile.name}: exit code {done.returncode}, not {hostile.code}: {done.stderr[-300:]}")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--terminations", type=int, default=0, help="as kills, with SIGTERM")
    parser.add_argument("--edits", type=int, default=400)
    parser.add_argument("--forgeries", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inputs", default="", metavar="TEXT", help="only inputs whose name holds this; none: -")
    parser.add_argument(
        "--trained",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with trainings and ablations of a tiny model",
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    faults = edits(args.edits, rng) if args.edits else []
    faults += forged(args.forgeries, rng) if args.forgeries else []
    faults += inputs(args.inputs) if args.inputs != "-" else []
    faults += writers(args.rounds, rng, args.trained) if args.rounds else []
    faults += kills(args.kills, rng, args.trained)
    faults += kills(args.terminations, rng, args.trained, signal.SIGTERM)
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"{len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
