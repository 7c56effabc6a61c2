"""The steps of one language: corpus, topics, indexes, rankings. What is asked for twice is planned once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from mdrbench.core import registry
from mdrbench.core.store import Store
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.pipeline.plan.steps import Step, step

BYTES_PER_HIT = 11
"""Measured on wiki16's gzipped runs; for the estimates of a plan only."""


class Planner:
    """Plans the steps of one language; what is asked for twice is planned once."""

    def __init__(self, dataset: MiraclFolder, lang: str, store: Store):
        self.dataset = dataset
        self.lang = lang
        self.store = store
        self.steps: dict[tuple[str, str], Step] = {}

    def add(self, **fields: Any) -> Step:
        """A step of this language, appended unless it is planned already."""
        new = step(scope=self.lang, dataset=self.dataset, **fields)
        return self.steps.setdefault(new.ref, new)

    def _hashes(self, files: list[Path]) -> dict[str, str]:
        return {str(path): digest for path, digest in self.store.hash_files(files).items()}

    @cached_property
    def corpus_sources(self) -> dict[str, str]:
        """The corpus' files with their hashes."""
        return self._hashes(self.dataset.corpus_files(self.lang))

    @cached_property
    def _corpus_bytes(self) -> int:
        return sum(Path(path).stat().st_size for path in self.corpus_sources)

    def split_sources(self, split: str) -> dict[str, str]:
        """Topics and qrels of a split with their hashes."""
        return self._hashes([self.dataset.topics_file(self.lang, split), self.dataset.qrels_file(self.lang, split)])

    def topic_count(self, split: str) -> int:
        """Lines of a split's topics, for estimates."""
        with open(self.dataset.topics_file(self.lang, split), "rb") as lines:
            return sum(1 for _ in lines)

    def corpus(self) -> Step:
        """The corpus, checked and counted."""
        return self.add(stage="corpus", params={}, sources=self.corpus_sources, size=self._corpus_bytes // 30)

    def topics(self, split: str) -> Step:
        """Topics and qrels of a split, checked against the corpus."""
        return self.add(
            stage="topics",
            params={"split": split},
            sources=self.split_sources(split),
            inputs={"corpus": self.corpus().ref},
        )

    def index(self, settings: dict[str, Any], train: Step | None = None) -> Step:
        """The index of a retriever that combines no others.

        Args:
            train: the step that trains its encoder, where one does.
        """
        member = registry.load("retrievers", settings["name"])
        retriever = registry.build("retrievers", settings)
        conventions = self.convened(settings, train)["conventions"]
        return self.add(
            stage="index",
            params={
                "retriever": _without(registry.keyed("retrievers", settings), member.SEARCH_ONLY),
                "conventions": _without(conventions, member.SEARCH_ONLY),
            },
            run_only={"retriever": settings},
            sources=self.corpus_sources,
            inputs={"corpus": self.corpus().ref, **_trained(train)},
            size=retriever.estimate(self._corpus_bytes),
            resumable=member.RESUMABLE,
        )

    def index_inputs(self, settings: dict[str, Any], train: Step | None = None) -> dict[str, tuple[str, str]] | None:
        """The indexes that a retriever searches, by role; None for one that combines runs."""
        combines = getattr(registry.load("retrievers", settings["name"]), "COMBINES", None)
        if combines == "runs":
            return None
        if combines == "indexes":
            return {f"index {part}": self.index(of).ref for part, of in settings["of"].items()}
        return {"index": self.index(settings, train).ref}

    def ranking(
        self,
        settings: dict[str, Any],
        split: str,
        depth: int,
        *,
        generated: Step | None = None,
        train: Step | None = None,
    ) -> Step:
        """The step whose artifact is the run of a split's topics by a retriever.

        Args:
            generated: the step that generated queries, where those are searched in the topics' place.
            train: the step that trains the retriever's encoder, where one does.
        """
        topics = self.topics(split)  # checked before anything is indexed
        indexes = self.index_inputs(settings, train)
        if indexes is None:
            return self._fused(settings, split, depth, generated)
        inputs = {"topics": topics.ref, **indexes, **_trained(train)}
        if "index" in indexes and (structure := self._structure(settings, self.steps[indexes["index"]])):
            inputs["structure"] = structure.ref
        if generated is not None:
            inputs["queries"] = generated.ref
        return self.add(
            stage="search",
            params={**self.convened(settings, train), "split": split, "depth": depth},
            run_only={"retriever": settings},
            sources=self.split_sources(split),
            inputs=inputs,
            size=self.topic_count(split) * depth * BYTES_PER_HIT,
        )

    def _fused(self, settings: dict[str, Any], split: str, depth: int, generated: Step | None) -> Step:
        parts = {
            label: self.ranking(of, split, settings["depth"], generated=generated)
            for label, of in settings["of"].items()
        }
        return self.add(
            stage="fuse",
            params={**self.convened(settings), "split": split, "depth": depth},
            run_only={"retriever": settings},
            inputs={label: part.ref for label, part in parts.items()},
            size=self.topic_count(split) * depth * BYTES_PER_HIT,
        )

    def _structure(self, settings: dict[str, Any], index: Step) -> Step | None:
        """The search structure over a dense index, where the recipe wants one."""
        wanted = settings.get("index")
        if wanted is None or not (member := registry.load("indexes", wanted["name"])).BUILT:
            return None
        conventions = registry.build("indexes", wanted).conventions()
        return self.add(
            stage="structure",
            params={
                "index": _without(registry.keyed("indexes", wanted), member.SEARCH_ONLY),
                "conventions": {"version": member.VERSION, **_without(conventions, member.SEARCH_ONLY)},
            },
            run_only={"index": wanted},
            inputs={"index": index.ref},
            size=index.size,
        )

    def convened(self, settings: dict[str, Any], train: Step | None = None) -> dict[str, Any]:
        """A retriever's settings and conventions, as parameters of a step; a trained one names its training."""
        member = registry.load("retrievers", settings["name"])
        conventions = registry.build("retrievers", settings).conventions(self.lang)
        return {
            "retriever": registry.keyed("retrievers", settings),
            "conventions": {
                "retriever_version": member.VERSION,
                **conventions,
                **({"trained_by": train.key} if train else {}),
            },
        }


def _trained(train: Step | None) -> dict[str, tuple[str, str]]:
    return {"train": train.ref} if train else {}


def _without(settings: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}
