"""Estimate what planned steps cost on this machine: seconds, memory, GPU memory, bytes on disk. Nothing is run.

A stage's speed is a rate: units of work a second, such as passages. It comes from this machine's finished artifacts
in the store; else from :data:`RATES`; else, for an encoder, it is computed from its layers and :data:`SPEEDS`.
Every estimate says which. A rate that nobody knows is None, never a guess.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench.core import devices, environment
from mdrbench.core.disk_space import free_bytes
from mdrbench.core.errors import SetupError
from mdrbench.core.store import Store, canonical
from mdrbench.pipeline.plan.steps import Step

COMPRESSED_BYTES_PER_PASSAGE = 280
"""Measured on wiki16's English corpus, for a corpus that was not counted yet."""

TOKENS_PER_PASSAGE = 140
"""Measured on wiki16 with the tokenizer of XLM-R: 104 in Swahili, 163 in English (docs/encoding.md)."""

TOKENS_PER_QUERY = 16


class Rate(NamedTuple):
    """Units of work a second, and where the figure is from: ``here``, ``table`` or ``computed``."""

    per_second: float
    origin: str
    peak_bytes: int = 0


class Cost(NamedTuple):
    """What a step costs; ``seconds`` is None if nobody knows.

    Attributes:
        amount: units of work.
        memory: peak bytes of a process.
        gpu: bytes on a GPU for weights and optimiser, activations come on top; None for a step that uses no GPU.
        origin: where the rate is from: ``here``, ``table`` or ``computed``; None if there is no rate.
    """

    amount: float
    unit: str
    seconds: float | None
    memory: int
    gpu: int | None
    origin: str | None


UNITS = {
    **dict.fromkeys(("corpus", "index", "structure"), "passages"),
    **dict.fromkeys(("search", "rerank"), "pairs"),
    **dict.fromkeys(("topics", "evaluate", "average", "fuse", "canaries", "agreement"), "steps"),
    **dict.fromkeys(("draw", "positives", "mine", "unjudged", "generate", "top_up", "pair"), "queries"),
    **dict.fromkeys(("label", "teach"), "queries"),
    "judge": "candidates",
    "train": "batches",
}
"""Stage -> what its work is counted in. A search compares pairs of query and passage."""

RATES = {
    "corpus": Rate(33_000, "table", 100 << 20),
    "index bm25": Rate(3_200, "table", 1_900 << 20),
    "search dense": Rate(1e7, "table", 800 << 20),
    "topics": Rate(80, "table"),
    "evaluate": Rate(3, "table"),
    "average": Rate(3, "table"),
}
"""Stage and member -> rate on two cores of an Intel Xeon, from results/wiki16/bm25.json and for dense search from
docs/conventions.md (100 queries a second over 100,000 passages of width 384), rounded down."""

CPU_FLOPS = 35e9
"""Useful operations a second and core of an encoder in fp32: mE5-small encoded 11.9 passages a second on two cores
of an Intel Xeon (results/wiki16/me5-small.json)."""

SPEEDS = {
    **{"B200": 2250e12, "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12},
    **{"A10": 125e12, "RTX 4090": 165e12, "V100": 125e12, "T4": 65e12},
}
"""Peak operations a second in bf16 or fp16 without sparsity, from NVIDIA's data sheets. No GPU was measured."""

GPU_SHARE = 0.35
"""Share of the peak that encoding and training are assumed to reach on a GPU."""


class Costs:
    """Estimates for the steps of one or several plans.

    Args:
        steps: all of them, by reference; also those that are not made.
    """

    def __init__(self, steps: Iterable[Step], store: Store):
        self.steps = {step.ref: step for step in steps}
        self.store = store
        self._measured = measured(store)
        self._passages: dict[str, float] = {}
        for step in self.steps.values():
            if step.stage == "corpus":
                self._passages[step.scope] = self._count(step)

    def _count(self, corpus: Step) -> float:
        if artifact := self.store.find(*corpus.ref):
            return float(artifact.facts["passages"])
        return sum(Path(path).stat().st_size for path in corpus.sources) / COMPRESSED_BYTES_PER_PASSAGE

    def passages(self, lang: str) -> float:
        """Passages of a language's corpus, counted or estimated from the bytes of its files."""
        return self._passages[lang]

    def of(self, step: Step) -> Cost:
        """Estimate one step."""
        amount = self._amount(step)
        rate = self._rate(step)
        memory = rate.peak_bytes if rate else 0
        return Cost(
            amount,
            UNITS[step.stage],
            amount / rate.per_second if rate else None,
            max(memory, self.structure_bytes(step)),
            _gpu_bytes(step),
            rate.origin if rate else None,
        )

    def structure_bytes(self, step: Step) -> int:
        """Bytes that a faiss structure takes in memory while this step builds or searches it; 0 without one."""
        if step.stage == "structure":
            structure = step
        elif "structure" in step.inputs:
            structure = self.steps[step.inputs["structure"]]
        else:
            return 0
        kind = structure.members["index"].build()
        if not hasattr(kind, "memory"):
            return 0
        dim = self.steps[structure.inputs["index"]].params["conventions"]["dim"]
        return int(kind.memory(round(self.passages(step.scope)), dim))

    def _queries(self, step: Step) -> float:
        """Topics of the step's split, of all languages for a step over all."""
        langs = self._passages if step.scope == "all" else (step.scope,)
        split = step.params.get("split", "train")
        return float(sum(_lines(step.dataset.topics_file(lang, split)) for lang in langs))

    def _amount(self, step: Step) -> float:
        unit, queries = UNITS[step.stage], partial(self._queries, step)
        if unit == "passages":
            amount = self.passages(step.scope)
        elif unit == "pairs":
            of_query = step.members["retriever"].config.depth if step.stage == "rerank" else self.passages(step.scope)
            amount = queries() * of_query
        elif unit == "candidates":
            amount = queries() * self.steps[step.inputs["groups"]].members["miner"].build().depth
        elif unit == "batches":
            amount = step.params["steps"] or -(-queries() * step.params["epochs"] // step.params["batch_size"])
        else:
            amount = queries() if unit == "queries" else 1
        return float(amount)

    def _rate(self, step: Step) -> Rate | None:
        made_of = {"stage": step.stage, "params": step.params}
        return self._measured.get(_signature(made_of)) or RATES.get(_kind(step)) or self._computed(step)

    def _computed(self, step: Step) -> Rate | None:
        """Compute the rate of an encoder from the arithmetic of its layers."""
        if step.stage not in ("index", "train", "teach", "label") or (model := _model(step)) is None:
            return None
        queries = model.flops(TOKENS_PER_QUERY)
        passages = model.flops(min(TOKENS_PER_PASSAGE, model.longest))
        if step.stage == "index":
            work = passages
        elif step.stage == "train":  # backward is twice forward
            shown = 1 + step.params["loop"]["negatives"]
            work = 3 * step.params["batch_size"] * (queries + shown * passages)
        else:
            work = queries if step.stage == "teach" else passages
        return Rate(speed() / work, "computed", 2 * model.bytes)


def measured(store: Store) -> dict[str, Rate]:
    """Return signature -> rate of the artifacts that this machine made; those of one signature count together."""
    here = _machine(environment.describe())
    amounts: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    peaks: dict[str, int] = defaultdict(int)
    for stage, key in store.all():
        try:
            path = store.root / "artifacts" / stage / key / "manifest.json"
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if _machine(manifest["environment"]) != here:
                continue
            done, usage = AMOUNTS[stage](manifest), manifest["usage"]
            name = _signature(manifest["made_of"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another version wrote it: it is no measurement for this one
        if done > 0:
            amounts[name] += done
            seconds[name] += usage["seconds"]
            peaks[name] = max(peaks[name], usage["peak_bytes"])
    return {name: Rate(amounts[name] / max(seconds[name], 1e-3), "here", peaks[name]) for name in amounts}


def _machine(described: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(described[name] for name in ("cpu", "cores", "gpus"))


def _facts(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda manifest: float(manifest["facts"][name])


AMOUNTS: dict[str, Callable[[dict[str, Any]], float]] = {
    "corpus": _facts("passages"),
    "index": lambda manifest: manifest["facts"]["indexed"] - manifest["facts"].get("resumed_after", 0),
    "structure": _facts("vectors"),
    "search": lambda manifest: manifest["facts"]["topics"] * manifest["lineage"]["corpus"]["facts"]["passages"],
    "rerank": _facts("hits"),
    "positives": _facts("queries"),
    "draw": _facts("topics"),
    **dict.fromkeys(("mine", "unjudged", "generate", "top_up", "pair", "teach"), _facts("queries")),
    "judge": _facts("candidates"),
    "label": _facts("labelled"),
    "train": _facts("steps"),
    **dict.fromkeys(("topics", "evaluate", "average", "fuse", "canaries", "agreement"), lambda manifest: 1.0),
}
"""Stage -> the work of a finished artifact, counted as :data:`UNITS` says."""

SHAPING = {
    **dict.fromkeys(("index", "search", "fuse", "rerank", "positives", "teach"), ("retriever",)),
    **dict.fromkeys(("mine", "unjudged"), ("miner",)),
    **dict.fromkeys(("judge", "canaries", "agreement", "top_up"), ("judge",)),
    "structure": ("index",),
    "generate": ("generator",),
    "label": ("retriever", "domains"),
    "train": ("retriever", "batch_size", "loop"),
}
"""Stage -> the parameters on which its speed depends."""


def _signature(made_of: dict[str, Any]) -> str:
    """Return the text that is the same for steps of one speed."""
    stage, params = made_of["stage"], made_of["params"]
    return canonical([stage, {name: params.get(name) for name in SHAPING.get(stage, ())}])


def _kind(step: Step) -> str:
    """Return the key of :data:`RATES`."""
    for role in ("retriever", "index"):
        if step.stage in ("index", "search", "structure") and role in step.members:
            name = step.members[role].name
            return f"{step.stage} {'bm25' if name == 'bm25' else name if step.stage == 'structure' else 'dense'}"
    return step.stage


class Model(NamedTuple):
    """The sizes of a transformer: layers, width, inner width, words, the longest passage in tokens, bytes a weight."""

    layers: int
    width: int
    inner: int
    words: int
    longest: int
    weight: int

    @property
    def parameters(self) -> int:
        """Weights of word embeddings and layers."""
        return self.words * self.width + self.layers * (4 * self.width**2 + 2 * self.width * self.inner)

    @property
    def bytes(self) -> int:
        """Bytes of the weights."""
        return self.parameters * self.weight

    def flops(self, tokens: int) -> float:
        """Operations of a forward pass over a text: two for each weight of the layers, and those of attention."""
        layer = 2 * tokens * (4 * self.width**2 + 2 * self.width * self.inner) + 4 * tokens**2 * self.width
        return float(self.layers * layer)


def _model(step: Step) -> Model | None:
    """Return the sizes of a step's encoder; None if it has none whose files are here."""
    retriever = step.members.get("retriever")
    if retriever is None or retriever.name != "dense" or retriever.config.encoder.name != "transformer":
        return None
    encoder = retriever.build().encoder
    config = encoder.folder.config
    try:
        layers, width, words = (config[name] for name in ("num_hidden_layers", "hidden_size", "vocab_size"))
    except KeyError:
        return None
    weight = 4 if encoder.precision == "fp32" else 2
    return Model(
        layers, width, config.get("intermediate_size", 4 * width), words, encoder.settings.passage_length, weight
    )


def _gpu_bytes(step: Step) -> int | None:
    """Return the bytes of weights, and in training of gradients and Adam's moments in fp32; None without a GPU."""
    if not devices.found().cards or step.stage not in ("index", "train", "teach", "label", "search"):
        return None
    model = _model(step)
    if model is None:
        return None
    return model.parameters * 16 if step.stage == "train" else model.bytes


def speed() -> float:
    """Return the operations a second that encoding is expected to reach here: on one GPU, else on all cores."""
    if cards := devices.found().cards:
        peak = next((peak for name, peak in SPEEDS.items() if name in cards[0]), min(SPEEDS.values()))
        return GPU_SHARE * peak
    return CPU_FLOPS * int(environment.describe()["cores"])


def _lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


class Shortage(NamedTuple):
    """What this machine lacks for a plan.

    Attributes:
        error: what is needed, what is there, and what to do.
        certain: whether the need follows from the number and width of the vectors; else it is an estimate.
    """

    error: SetupError
    certain: bool


def shortages(costs: Costs, to_make: list[Step]) -> list[Shortage]:
    """Return what does not fit on this machine: faiss structures in memory, artifacts on the disk of the store."""
    found = {}
    has = environment.describe()["memory_bytes"]
    for step in to_make:
        if (needs := costs.structure_bytes(step)) > has:
            name = (step if step.stage == "structure" else costs.steps[step.inputs["structure"]]).members["index"].name
            error = SetupError(
                f"the structure '{name}' of '{step.scope}' takes {gigabytes(needs)} of memory, and this machine has "
                f"{gigabytes(has)}",
                mend="--set retriever.index.name=exact (or ivf-pq, int8, binary), or a machine with more memory",
            )
            found[step.scope, name] = Shortage(error, certain=True)
    needs, free = sum(step.size for step in to_make), free_bytes(costs.store.root)
    if needs > free:
        error = SetupError(
            f"the artifacts take about {gigabytes(needs)}, and {gigabytes(free)} are free in {costs.store.root}",
            mend="free space, or choose another disk with --cache",
        )
        found["all", "disk"] = Shortage(error, certain=False)
    return list(found.values())


def gigabytes(size: float) -> str:
    """Return a size for a sentence: ``135 GB``, ``1.2 GB``."""
    return f"{size / 1e9:,.0f} GB" if size >= 10e9 else f"{size / 1e9:.1f} GB"
