"""Steps: a stage with all that it reads, addressed by the hash of it; and the job that a stage gets.

Plain data; nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdrbench.core.store import key_of
from mdrbench.core.types import Qrels, Topics
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats import trec

VERSIONS = {
    "corpus": 2,
    "topics": 2,
    "index": 3,
    "structure": 1,
    "search": 3,
    "fuse": 1,
    "evaluate": 2,
    "average": 2,
    "positives": 1,
    "draw": 1,
    "mine": 1,
    "judge": 1,
    "generate": 1,
    "top_up": 1,
    "agreement": 1,
    "pair": 1,
    "label": 1,
    "train": 2,
}
"""Raise a stage's number when its output changes for the same input: older artifacts are then made anew."""


@dataclass(frozen=True)
class Step:
    """One stage applied to one scope; plain data, so that it can be sent to another process.

    Attributes:
        scope: a language, or ``all``.
        params: JSON that the stage reads; part of the key.
        run_only: JSON that the stage reads in place of the same keys of ``params``, with what cannot change its output
            (a batch size, an endpoint's address); not part of the key.
        sources: source file -> SHA-256; the hashes are part of the key, the paths are not.
        inputs: role -> (stage, key) of the artifacts that are read.
        size: estimated bytes of the artifact.
        resumable: whether the stage can go on from what an interrupted attempt left.
    """

    stage: str
    scope: str
    params: dict[str, Any]
    run_only: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, tuple[str, str]] = field(default_factory=dict)
    dataset: MiraclFolder | None = None
    size: int = 0
    resumable: bool = False
    key: str = ""

    @property
    def ref(self) -> tuple[str, str]:
        """Stage and key: the address of the artifact."""
        return self.stage, self.key

    def made_of(self) -> dict[str, Any]:
        """What is hashed into the key, kept in the manifest so that a number can be walked back."""
        return {
            "stage": self.stage,
            "version": VERSIONS[self.stage],
            "scope": self.scope,
            "params": self.params,
            "sources": {Path(path).name: digest for path, digest in sorted(self.sources.items())},
            "inputs": {role: list(ref) for role, ref in sorted(self.inputs.items())},
        }


def step(**fields: Any) -> Step:
    """A step with its key."""
    unkeyed = Step(**fields)
    return Step(**{**unkeyed.__dict__, "key": key_of(unkeyed.made_of())})


@dataclass(frozen=True)
class Job:
    """What a stage gets: its scope and parameters, the input artifacts' folders and facts by role, where to write."""

    scope: str
    params: dict[str, Any]
    dataset: MiraclFolder | None
    inputs: dict[str, Path]
    facts: dict[str, dict]
    out: Path
    progress: Callable[[int, int | None], None]

    def topics(self) -> Topics:
        """The topics of the split in ``params``."""
        return trec.read_topics(self.dataset.topics_file(self.scope, self.params["split"]))

    def qrels(self) -> Qrels:
        """The judgments of the split in ``params``."""
        return trec.read_qrels(self.dataset.qrels_file(self.scope, self.params["split"]))

    def retriever(self) -> dict[str, Any]:
        """Settings of the retriever, with the encoder that was trained where there is one."""
        settings = self.params["retriever"]
        if "train" not in self.inputs:
            return settings
        model = {"model": str(self.inputs["train"] / "model"), "source": "local", "revision": None}
        return {**settings, "encoder": {**settings["encoder"], **model}}

    def indexes(self) -> Path | dict[str, Path]:
        """The index, or the indexes by label for a retriever that combines several."""
        if "index" in self.inputs:
            return self.inputs["index"] / "index"
        return {role.partition(" ")[2]: p / "index" for role, p in self.inputs.items() if role.startswith("index ")}
