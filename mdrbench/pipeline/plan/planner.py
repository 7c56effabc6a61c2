"""Plan the steps of one language: corpus, topics, indexes, rankings. A step that is needed twice is planned once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mdrbench.core.members import Member
from mdrbench.core.store import Store
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.pipeline.plan.steps import Ref, Step, step

BYTES_PER_HIT = 11
"""Measured on wiki16's gzipped runs; for the estimates of a plan only."""


class Planner:
    """Plans the steps of one language; a step that is needed twice is planned once."""

    def __init__(self, dataset: MiraclFolder, lang: str, store: Store):
        self.dataset = dataset
        self.lang = lang
        self.store = store
        self.steps: dict[Ref, Step] = {}

    def add(self, stage: str, params: Mapping[str, Any], **fields: Any) -> Step:
        """Append a step of this language, unless it is planned already."""
        new = step(stage, self.lang, self.dataset, params, **fields)
        return self.steps.setdefault(new.ref, new)

    def hashes(self, files: list[Path]) -> dict[str, str]:
        """Return source files with their SHA-256."""
        return {str(path): digest for path, digest in self.store.hash_files(files).items()}

    @cached_property
    def corpus_sources(self) -> dict[str, str]:
        """The corpus files with their hashes."""
        return self.hashes(self.dataset.corpus_files(self.lang))

    @cached_property
    def _corpus_bytes(self) -> int:
        return sum(Path(path).stat().st_size for path in self.corpus_sources)

    def split_sources(self, split: str) -> dict[str, str]:
        """Hash topics and qrels of a split."""
        return self.hashes([self.dataset.topics_file(self.lang, split), self.dataset.qrels_file(self.lang, split)])

    def topic_count(self, split: str) -> int:
        """Count the lines of a split's topics, for estimates."""
        with open(self.dataset.topics_file(self.lang, split), "rb") as lines:
            return sum(1 for _ in lines)

    def corpus(self) -> Step:
        """Plan the step that checks and counts the corpus."""
        return self.add("corpus", {}, sources=self.corpus_sources, size=self._corpus_bytes // 30)

    def topics(self, split: str) -> Step:
        """Plan the step that checks topics and qrels of a split against the corpus."""
        return self.add(
            "topics", {"split": split}, sources=self.split_sources(split), inputs={"corpus": self.corpus().ref}
        )

    def index(self, retriever: Member, train: Step | None = None) -> Step:
        """Plan the index of a retriever that combines no others.

        Args:
            train: the step that trains its encoder, if one does.
        """
        return self.add(
            "index",
            {
                name: _without(settings, retriever.spec.search_only)
                for name, settings in self.conventions(retriever, train).items()
            },
            members={"retriever": retriever},
            sources=self.corpus_sources,
            inputs={"corpus": self.corpus().ref, **_trained(train)},
            size=retriever.build().estimate(self._corpus_bytes),
            resumable=retriever.spec.resumable,
        )

    def index_inputs(self, retriever: Member, train: Step | None = None) -> dict[str, Ref] | None:
        """Plan the indexes that a retriever searches, by role; None for a retriever that works on runs."""
        if retriever.spec.combines in ("runs", "rerank"):
            return None
        if retriever.spec.combines == "indexes":
            return {f"index {label}": self.index(part).ref for label, part in retriever.config.of.items()}
        return {"index": self.index(retriever, train).ref}

    def ranking(
        self, retriever: Member, split: str, depth: int, *, generated: Step | None = None, train: Step | None = None
    ) -> Step:
        """Plan the step whose artifact is a retriever's run for the topics of a split.

        Args:
            generated: the step that generated queries, if these are searched in place of the topics.
            train: the step that trains the retriever's encoder, if one does.
        """
        topics = self.topics(split)  # checked before anything is indexed
        indexes = self.index_inputs(retriever, train)
        if retriever.spec.combines == "rerank":
            return self._reranked(retriever, split, depth, generated)
        if indexes is None:
            return self._fused(retriever, split, depth, generated)
        inputs = {"topics": topics.ref, **indexes, **_trained(train)}
        if "index" in indexes and (structure := self._structure(retriever, self.steps[indexes["index"]])):
            inputs["structure"] = structure.ref
        if generated is not None:
            inputs["queries"] = generated.ref
        return self.add(
            "search",
            {**self.conventions(retriever, train), "split": split, "depth": depth},
            members={"retriever": retriever},
            sources=self.split_sources(split),
            inputs=inputs,
            size=self.topic_count(split) * depth * BYTES_PER_HIT,
        )

    def _fused(self, retriever: Member, split: str, depth: int, generated: Step | None) -> Step:
        parts = {
            label: self.ranking(part, split, retriever.config.depth, generated=generated)
            for label, part in retriever.config.of.items()
        }
        return self.add(
            "fuse",
            {**self.conventions(retriever), "split": split, "depth": depth},
            members={"retriever": retriever},
            inputs={label: part.ref for label, part in parts.items()},
            size=self.topic_count(split) * depth * BYTES_PER_HIT,
        )

    def _reranked(self, retriever: Member, split: str, depth: int, generated: Step | None) -> Step:
        run = self.ranking(retriever.config.of, split, retriever.config.depth, generated=generated)
        inputs = {"topics": self.topics(split).ref, "corpus": self.corpus().ref, "run": run.ref}
        if generated is not None:
            inputs["queries"] = generated.ref
        depth = min(depth, retriever.config.depth)
        return self.add(
            "rerank",
            {**self.conventions(retriever), "split": split, "depth": depth},
            members={"retriever": retriever},
            sources={**self.corpus_sources, **self.split_sources(split)},
            inputs=inputs,
            size=self.topic_count(split) * depth * BYTES_PER_HIT,
        )

    def _structure(self, retriever: Member, index: Step) -> Step | None:
        """Plan the search structure over a dense index, if the recipe has one."""
        kind = retriever.parts.get("index")
        if kind is None or not (built := kind.build()).built:
            return None
        conventions = {"version": kind.spec.version, **_without(built.conventions(), kind.spec.search_only)}
        return self.add(
            "structure",
            {"index": _without(kind.keyed, kind.spec.search_only), "conventions": conventions},
            members={"index": kind},
            inputs={"index": index.ref},
            size=index.size,
        )

    def conventions(self, retriever: Member, train: Step | None = None) -> dict[str, dict[str, Any]]:
        """Return a retriever's settings and conventions as parameters; a trained one names its training."""
        trained = {"trained_by": train.key} if train else {}
        conventions = retriever.build().conventions(self.lang)
        return {
            "retriever": retriever.keyed,
            "conventions": {"retriever_version": retriever.spec.version, **conventions, **trained},
        }


def described(member: Member) -> dict[str, Any]:
    """Return the settings that affect a member's output, its version and conventions, as parameters of a step."""
    built = member.build()
    conventions = built.conventions() if hasattr(built, "conventions") else {}
    return {"settings": member.keyed, "version": member.spec.version, "conventions": conventions}


def _trained(train: Step | None) -> dict[str, Ref]:
    return {"train": train.ref} if train else {}


def _without(settings: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}
