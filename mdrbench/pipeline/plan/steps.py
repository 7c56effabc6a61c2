"""Steps: a stage with everything it reads, addressed by a hash; and the job that a stage gets.

Plain data; nothing heavy is imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mdrbench.core.members import Member
from mdrbench.core.store import key_of
from mdrbench.core.types import Qrels, Topics
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.data.passage_places import PassagePlaces
from mdrbench.formats import trec

VERSIONS = {
    "corpus": 2,
    "topics": 2,
    "index": 3,
    "structure": 1,
    "search": 3,
    "fuse": 1,
    "rerank": 1,
    "evaluate": 2,
    "average": 2,
    "positives": 1,
    "draw": 1,
    "mine": 1,
    "canaries": 1,
    "judge": 1,
    "unjudged": 1,
    "generate": 1,
    "top_up": 1,
    "agreement": 3,
    "pair": 1,
    "label": 1,
    "teach": 1,
    "train": 2,
}
"""Raise a stage's number when its output changes for the same input. Older artifacts are then made anew."""


QUERIES = int(os.environ.get("MDRBENCH_PART_QUERIES", "500"))
"""Queries whose candidates a judge is asked about in one call: a part of judging."""


class Progress(Protocol):
    """Hears how many items of a step are done, of how many if that is known, and what else to tell."""

    def __call__(self, done: int, total: int | None, text: str = "") -> None: ...


def silent(done: int, total: int | None, text: str = "") -> None:
    """Hear nothing; a :class:`Progress`."""


Ref = tuple[str, str]
"""Stage and key: the address of an artifact."""


@dataclass(frozen=True)
class Step:
    """One stage applied to one scope; plain data, so that it can be sent to another process.

    Attributes:
        scope: a language, or ``all``.
        params: JSON that the stage reads; part of the key.
        members: role -> member that the stage builds. The key has their ``keyed`` settings in ``params``.
        run_only: JSON that the stage reads over the same keys of ``params``. It cannot change the output (a number of
            processes) and is not part of the key.
        sources: source file -> SHA-256; the hashes are part of the key, the paths are not.
        inputs: role -> reference of the artifact that is read.
        beside: role -> reference of an artifact that is read if it is there. It saves time and cannot change the
            output, so it is not part of the key.
        size: estimated bytes of the artifact.
        resumable: whether the stage can continue what an interrupted attempt left.
    """

    stage: str
    scope: str
    dataset: MiraclFolder
    params: dict[str, Any]
    members: dict[str, Member] = field(default_factory=dict)
    run_only: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Ref] = field(default_factory=dict)
    beside: dict[str, Ref] = field(default_factory=dict)
    size: int = 0
    resumable: bool = False
    key: str = ""

    @property
    def ref(self) -> Ref:
        """Stage and key: the address of the artifact."""
        return self.stage, self.key

    @property
    def needs(self) -> str:
        """What the step computes on: ``gpu`` (if there is one) for models, ``endpoint`` for requests, else ``cpu``."""
        kinds = {_needs(member) for member in self.members.values()}
        return next((kind for kind in ("gpu", "endpoint") if kind in kinds), "cpu")

    @property
    def asks(self) -> bool:
        """Whether answers of a language model are kept for the step."""
        return any(_asks(member) for member in self.members.values())

    def made_of(self) -> dict[str, Any]:
        """Return what is hashed into the key. The manifest keeps it, so that a number can be walked back."""
        return {
            "stage": self.stage,
            "version": VERSIONS[self.stage],
            "scope": self.scope,
            "params": self.params,
            "sources": {Path(path).name: digest for path, digest in sorted(self.sources.items())},
            "inputs": {role: list(ref) for role, ref in sorted(self.inputs.items())},
        }


def _needs(member: Member) -> str:
    runs_here = hasattr(member.cls, "device") or getattr(member.config, "runs_here", False)
    if runs_here or any(_needs(part) == "gpu" for part in member.parts.values()):
        return "gpu"
    return "endpoint" if "base_url" in type(member.config).model_fields else "cpu"


def asks_endpoint(member: Member) -> bool:
    """Whether a member computes nothing but sends requests."""
    return _needs(member) == "endpoint"


def _asks(member: Member) -> bool:
    return "store" in type(member.config).model_fields or any(map(_asks, member.parts.values()))


def step(stage: str, scope: str, dataset: MiraclFolder, params: Mapping[str, Any], **fields: Any) -> Step:
    """Make a step with its key."""
    unkeyed = Step(stage, scope, dataset, dict(params), **fields)
    return replace(unkeyed, key=key_of(unkeyed.made_of()))


@dataclass(frozen=True)
class Job:
    """What a stage gets: scope, parameters, members, input folders and facts by role, and a folder to write to.

    Attributes:
        shared: the folder of the whole step, which all makers of its parts see; ``out`` if the step is made whole.
    """

    scope: str
    params: dict[str, Any]
    members: dict[str, Member]
    dataset: MiraclFolder
    inputs: dict[str, Path]
    facts: dict[str, dict[str, Any]]
    out: Path
    shared: Path
    progress: Progress

    def topics(self) -> Topics:
        """Read the topics of the split in ``params``."""
        return trec.read_topics(self.dataset.topics_file(self.scope, self.params["split"]))

    def qrels(self) -> Qrels:
        """Read the judgments of the split in ``params``."""
        return trec.read_qrels(self.dataset.qrels_file(self.scope, self.params["split"]))

    def places(self, lang: str | None = None) -> PassagePlaces:
        """The passages of the scope's corpus by docid or row, or of a language's for a step over all languages."""
        role = "corpus" if lang is None else f"corpus {lang}"
        table = self.inputs[role] / "docids.u64" if role in self.inputs else None
        duplicates = self.facts[role]["duplicates"] if table else ()
        return PassagePlaces(self.dataset, lang or self.scope, table, duplicates)

    def build(self, role: str) -> Any:
        """Build the member with this role; a retriever gets the encoder that was trained, if one was."""
        member = self.members[role]
        if role == "retriever" and "train" in self.inputs:
            trained = {"model": str(self.inputs["train"] / "model"), "source": "local", "revision": None}
            member = member.vary(encoder=trained)
        return member.build()

    def index(self) -> Path:
        """The folder of the index."""
        return self.inputs["index"] / "index"

    def indexes(self) -> Path | dict[str, Path]:
        """The folder of the index, or the folders by label for a retriever that combines several."""
        if "index" in self.inputs:
            return self.index()
        roles = ((role.removeprefix("index "), path) for role, path in self.inputs.items() if role.startswith("index "))
        return {label: path / "index" for label, path in roles}
