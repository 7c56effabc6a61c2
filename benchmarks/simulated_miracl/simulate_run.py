"""Simulate a run of the boosted method on all of MIRACL on 1, 8 and 32 GPUs: where the time goes, what is busy.

    python benchmarks/simulated_miracl/simulate_run.py FOLDER [--gpu H100] [--judged 20]

FOLDER is what write_corpora.py wrote, at any scale: the steps and their order are those of the real plan of
FOLDER/simulated.yaml. Their work is that of MIRACL's published counts, with the models of the recipe `boosted`. Steps
are divided into parts (16,384 passages to encode, a shard to search, 256 pairs to judge), which run on GPUs, cores and
the judge's endpoint in the order of the plan. Training takes all GPUs at once. Rates of cores were measured on the
simulated English corpus of 328,932 passages on one core of an Intel Xeon. Rates of GPUs are stated, not measured: 35%
of the peak of NVIDIA's data sheets.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mdrbench import recipe
from mdrbench.core.store import Store
from mdrbench.data.datasets.miracl import PASSAGES, QUERIES
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.pipeline import costs
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.pipeline.plan.steps import Ref, Step

LARGE = costs.Model(layers=24, width=1024, inner=4096, words=250_002, longest=256, weight=2)
"""XLM-R large, of which me5-large and bge-m3 are made."""

PASSAGE_FLOPS = LARGE.flops(costs.TOKENS_PER_PASSAGE)

CHECKED, PARSED, INFLATED = 39_000, 53_000, 205_000
"""Passages a second and core: checked by the step `corpus`, parsed, and inflated without being parsed."""

INFLATED_AT_ONCE = 8
"""Shards that one process inflates at once."""

PAIRS = 5e6
"""Pairs of query and passage that exact search compares a second and core (docs/conventions.md, half of two cores)."""

WINDOW, SHARD, CHUNK = 16_384, 500_000, 256
SHORT = 0.25
"""Share of queries that need a generated query: assumed."""

SCALING = 0.9
"""Share of the speed of n GPUs that training on n GPUs reaches: assumed."""

FIXED = 1.0
"""Seconds of a step that counts and compares files of topics."""


Parts = Iterator[tuple[str, float]]
"""Resource and seconds of each part of a step."""


class Machine(NamedTuple):
    """What a run may use: GPUs, cores, useful operations a second of a GPU, pairs that the endpoint judges a second."""

    gpus: int
    cores: int
    flops: float
    judged: float

    def parts(self, step: Step) -> Parts:
        """Divide a step."""
        langs = list(PASSAGES)[:16] if step.scope == "all" else [step.scope]
        queries = sum(QUERIES[step.params.get("split", "train")][lang] for lang in langs)
        passages = sum(PASSAGES[lang] for lang in langs)
        match step.stage:
            case "index":
                return self._encode(passages)
            case "search":
                return _search(passages, queries * SHORT if "queries" in step.inputs else queries)
            case "judge" | "canaries" | "generate" | "top_up":
                asked = {
                    "judge": queries * 40,
                    "canaries": 120,
                    "generate": queries * SHORT,
                    "top_up": queries * SHORT * 20,
                }
                return self._ask(round(asked[step.stage]))
            case "train":
                return iter([("all gpus", self._train(queries))])
            case "label":
                read = passages / INFLATED / INFLATED_AT_ONCE
                return iter([("gpu", queries * PASSAGE_FLOPS / self.flops + read)])
        seconds = {"corpus": passages / CHECKED, "mine": passages / INFLATED + queries * 40 / PARSED}
        return iter([("core", seconds.get(step.stage, FIXED))])

    def _encode(self, passages: int) -> Parts:
        """A part first inflates half of its shard on average, and parses its own window."""
        read = WINDOW / PARSED + min(passages, SHARD) / 2 / INFLATED
        for first in range(0, passages, WINDOW):
            count = min(WINDOW, passages - first)
            yield "gpu", count * PASSAGE_FLOPS / self.flops + read * count / WINDOW

    def _ask(self, pairs: int) -> Parts:
        for first in range(0, pairs, CHUNK):
            yield "endpoint", min(CHUNK, pairs - first) / self.judged

    def _train(self, queries: int) -> float:
        """20 epochs over nine tenths of the queries, a positive and seven negatives each; backward is twice forward."""
        flops = queries * 0.9 * 20 * 3 * (LARGE.flops(costs.TOKENS_PER_QUERY) + 8 * PASSAGE_FLOPS)
        return flops / self.flops / (self.gpus * (SCALING if self.gpus > 1 else 1))


def _search(passages: int, queries: float) -> Parts:
    for first in range(0, passages, SHARD):
        yield "core", min(SHARD, passages - first) * queries / PAIRS


class Outcome(NamedTuple):
    """A simulated run: seconds in all, busy seconds by resource and stage, and of each GPU."""

    seconds: float
    busy: dict[tuple[str, str], float]
    gpus: list[float]
    ends: dict[str, float]


class Simulation:
    """Gives parts to free resources in the order of the plan; a step begins when all steps before it have ended."""

    def __init__(self, steps: list[Step], machine: Machine):
        self.machine = machine
        self.idle = {"gpu": [*range(machine.gpus)], "core": [*range(machine.cores)], "endpoint": [0]}
        self.queues: dict[str, list[tuple[int, int, float, Step]]] = {name: [] for name in (*self.idle, "all gpus")}
        self.order = {step.ref: n for n, step in enumerate(steps)}
        self.waiting = {step.ref: set(step.inputs.values()) for step in steps}
        self.readers: dict[Ref, list[Step]] = defaultdict(list)
        self.left: dict[Ref, int] = {}
        self.events: list[tuple[float, int, str, int, Step]] = []
        self.found = Outcome(0.0, defaultdict(float), [0.0] * machine.gpus, {})
        self.now = 0.0
        self.tie = itertools.count()
        for step in steps:
            for ref in step.inputs.values():
                self.readers[ref].append(step)
        for step in steps:
            if not self.waiting[step.ref]:
                self._ready(step)

    def run(self) -> Outcome:
        """Run to the end."""
        while True:
            self._begin()
            if not self.events:
                return self.found._replace(seconds=self.now)
            self.now, _, resource, number, step = heapq.heappop(self.events)
            self.idle[resource].append(number)
            self.left[step.ref] -= 1
            if not self.left[step.ref]:
                self._end(step)

    def _ready(self, step: Step) -> None:
        parts = list(self.machine.parts(step))
        self.left[step.ref] = len(parts)
        for n, (resource, seconds) in enumerate(parts):
            heapq.heappush(self.queues[resource], (self.order[step.ref], n, seconds, step))

    def _begin(self) -> None:
        if self.queues["all gpus"] and len(self.idle["gpu"]) == self.machine.gpus:
            _, _, seconds, step = heapq.heappop(self.queues["all gpus"])
            self.left[step.ref] = self.machine.gpus
            for number in self.idle["gpu"]:
                self._start("gpu", number, seconds, step)
            self.idle["gpu"] = []
        for resource, idle in self.idle.items():
            while idle and self.queues[resource]:
                _, _, seconds, step = heapq.heappop(self.queues[resource])
                self._start(resource, idle.pop(), seconds, step)

    def _start(self, resource: str, number: int, seconds: float, step: Step) -> None:
        self.found.busy[resource, step.stage] += seconds
        if resource == "gpu":
            self.found.gpus[number] += seconds
        heapq.heappush(self.events, (self.now + seconds, next(self.tie), resource, number, step))

    def _end(self, step: Step) -> None:
        self.found.ends[step.stage] = self.now
        for reader in self.readers[step.ref]:
            self.waiting[reader.ref].discard(step.ref)
            if not self.waiting[reader.ref]:
                self._ready(reader)


def simulate(steps: list[Step], machine: Machine) -> Outcome:
    """Return what a run of the steps takes."""
    return Simulation(steps, machine).run()


def planned(folder: Path, encoders: int) -> list[Step]:
    """Plan the recipe on the corpora in a folder; with two encoders the miner ranks with an ensemble of both."""
    changes = []
    if encoders == 2:
        names = []
        for name, length in (("a", 40), ("b", 44)):
            path = folder / f"encoder-{name}.yaml"
            encoder = f"{{name: transformer, model: {folder / 'model'}, source: local, pooling: mean, normalize: true, "
            encoder += f"query_length: 32, passage_length: {length}, precision: fp32}}"
            path.write_text(f"summary: one of two\nretriever: {{name: dense, encoder: {encoder}}}\n", encoding="utf-8")
            names.append(str(path.absolute()))
        changes.append(f"negatives.mining={{name: ensemble, of: [{', '.join(names)}], depth: 40}}")
    loaded = recipe.load(str(folder / "simulated.yaml"), changes)
    data = MiraclFolder("simulated", folder / "data")
    with tempfile.TemporaryDirectory() as cache:
        plan = plan_recipe(loaded, data, data.languages(), "dev", Store(Path(cache)), [])
    made = {ref for step in plan.steps() for ref in step.inputs.values()} | {step.ref for step in plan.wanted()}
    return [step for step in plan.steps() if step.ref in made]


def main() -> None:
    """Print the table of each number of GPUs, and what doubling each resource would save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gpu", default="H100", choices=sorted(costs.SPEEDS))
    parser.add_argument("--judged", type=float, default=20, help="pairs that the endpoint judges a second")
    parser.add_argument("--cores-per-gpu", type=int, default=16)
    given = parser.parse_args()
    steps = planned(given.folder, encoders=2)
    flops = costs.GPU_SHARE * costs.SPEEDS[given.gpu]
    judged = f"the endpoint judges {given.judged:g} pairs/s"
    print(f"{len(steps)} steps; a {given.gpu} encodes {flops / PASSAGE_FLOPS:,.0f} passages/s; {judged}")
    print("GPUs  hours  GPUs busy (least, most)  endpoint busy  cores busy   hours if doubled: GPUs  endpoint  cores")
    for gpus in (1, 8, 32):
        machine = Machine(gpus, given.cores_per_gpu * min(gpus, 8), flops, given.judged)
        found = simulate(steps, machine)
        doubled = (
            machine._replace(gpus=2 * gpus),
            machine._replace(judged=2 * given.judged),
            machine._replace(cores=2 * machine.cores),
        )
        shares = [seconds / found.seconds for seconds in found.gpus]
        used = {name: sum(s for (of, _), s in found.busy.items() if of == name) for name in ("endpoint", "core")}
        hours = [simulate(steps, other).seconds / 3600 for other in doubled]
        print(
            f"{gpus:4}  {found.seconds / 3600:5.1f}  {sum(shares) / gpus:6.0%} ({min(shares):.0%}, {max(shares):.0%})"
            f"  {used['endpoint'] / found.seconds:6.0%}  {used['core'] / found.seconds / machine.cores:6.1%}"
            f"   {hours[0]:6.1f}  {hours[1]:6.1f}  {hours[2]:6.1f}"
        )
        largest = sorted(found.busy.items(), key=lambda item: -item[1])[:7]
        print("      busy hours:", ", ".join(f"{stage} {s / 3600:.1f} {name}" for (name, stage), s in largest))
        ends = sorted(found.ends.items(), key=lambda item: item[1])
        print("      ended, hours:", ", ".join(f"{stage} {s / 3600:.1f}" for stage, s in ends))


if __name__ == "__main__":
    main()
