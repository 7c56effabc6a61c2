"""Recipe x languages -> ordered steps with keys. Nothing heavy is imported and nothing is run here.

A step's key is the hash of its stage (with that stage's VERSION), its parameters, the SHA-256 of the source files it
reads and the keys of the steps before it: whatever has the same key is never computed twice, in any recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mdrbench import measures, registry
from mdrbench.errors import UsageError
from mdrbench.layout import MiraclFolder
from mdrbench.recipe import Recipe
from mdrbench.steps import Step, step
from mdrbench.store import Store

BYTES_PER_HIT, BYTES_PER_SCORED_TOPIC = 11, 35
"""Measured on wiki16's gzipped runs and topic files; for the estimates of a plan only."""


@dataclass(frozen=True)
class LanguagePlan:
    """The steps of a language, in an order in which they can run; those whose artifacts a result is read from."""

    steps: list[Step]
    run: Step
    evaluate: Step


@dataclass(frozen=True)
class RecipePlan:
    """The steps of one recipe, in an order in which they can run, and which of them its result is read from."""

    recipe: Recipe
    overrides: list[str]
    dataset: MiraclFolder
    split: str
    languages: list[str]
    by_language: dict[str, LanguagePlan]
    average: Step

    def steps(self) -> list[Step]:
        """All steps, language by language, the average last."""
        return [step for plan in self.by_language.values() for step in plan.steps] + [self.average]

    def targets(self) -> list[Step]:
        """What a result is written from: runs, scores and the average."""
        wanted = [step for plan in self.by_language.values() for step in (plan.run, plan.evaluate)]
        return [*wanted, self.average]


def plan_recipe(
    recipe: Recipe, dataset: MiraclFolder, languages: list[str], split: str, store: Store, overrides: list[str]
) -> RecipePlan:
    """Plan a recipe.

    Raises:
        DataError: a source file is missing.
        UsageError: the recipe makes hard negatives, which training is still to use.
    """
    if recipe.negatives is not None:
        raise UsageError(
            f"'{recipe.name}' makes hard negatives, and training on them is not part of mdrbench yet",
            mend=f"`mdrbench mine {recipe.name}` makes them; --export writes them for another trainer",
        )
    by_language = {lang: _plan_language(recipe, Planner(dataset, lang, store), split) for lang in languages}
    average = step(
        stage="average",
        scope="all",
        params={"split": split, **_evaluation(recipe)},
        inputs={lang: plan.evaluate.ref for lang, plan in by_language.items()},
    )
    return RecipePlan(recipe, overrides, dataset, split, languages, by_language, average)


def _evaluation(recipe: Recipe) -> dict[str, Any]:
    return {**recipe.evaluation.model_dump(mode="json"), "depth": measures.DEPTH, "seed": recipe.seed}


def _plan_language(recipe: Recipe, planner: Planner, split: str) -> LanguagePlan:
    run = planner.ranking(recipe.retriever, split, recipe.search.depth)
    evaluate = planner.add(
        stage="evaluate",
        params={"split": split, **_evaluation(recipe)},
        sources=planner.split_sources(split),
        inputs={"run": run.ref},
        size=planner.topic_count(split) * BYTES_PER_SCORED_TOPIC,
    )
    return LanguagePlan(list(planner.steps.values()), run, evaluate)


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

    def index(self, settings: dict[str, Any]) -> Step:
        """The index of a retriever that combines no others."""
        member = registry.load("retrievers", settings["name"])
        retriever = registry.build("retrievers", settings)
        conventions = {"retriever_version": member.VERSION, **retriever.conventions(self.lang)}
        return self.add(
            stage="index",
            params={
                "retriever": _without(registry.keyed("retrievers", settings), member.SEARCH_ONLY),
                "conventions": _without(conventions, member.SEARCH_ONLY),
            },
            run_only={"retriever": settings},
            sources=self.corpus_sources,
            inputs={"corpus": self.corpus().ref},
            size=retriever.estimate(self._corpus_bytes),
            resumable=member.RESUMABLE,
        )

    def index_inputs(self, settings: dict[str, Any]) -> dict[str, tuple[str, str]] | None:
        """The indexes that a retriever searches, by role; None for one that combines runs."""
        combines = getattr(registry.load("retrievers", settings["name"]), "COMBINES", None)
        if combines == "runs":
            return None
        if combines == "indexes":
            return {f"index {part}": self.index(of).ref for part, of in settings["of"].items()}
        return {"index": self.index(settings).ref}

    def ranking(self, settings: dict[str, Any], split: str, depth: int, generated: Step | None = None) -> Step:
        """The step whose artifact is the run of a split's topics by a retriever.

        Args:
            generated: the step that generated queries, where those are searched in the topics' place.
        """
        topics = self.topics(split)  # checked before anything is indexed
        indexes = self.index_inputs(settings)
        if indexes is None:
            return self._fused(settings, split, depth, generated)
        inputs = {"topics": topics.ref, **indexes}
        if "index" in indexes and (structure := self._structure(settings, self.index(settings))):
            inputs["structure"] = structure.ref
        if generated is not None:
            inputs["queries"] = generated.ref
        return self.add(
            stage="search",
            params={**self.convened(settings), "split": split, "depth": depth},
            run_only={"retriever": settings},
            sources=self.split_sources(split),
            inputs=inputs,
            size=self.topic_count(split) * depth * BYTES_PER_HIT,
        )

    def _fused(self, settings: dict[str, Any], split: str, depth: int, generated: Step | None) -> Step:
        parts = {label: self.ranking(of, split, settings["depth"], generated) for label, of in settings["of"].items()}
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

    def convened(self, settings: dict[str, Any]) -> dict[str, Any]:
        """A retriever's settings and conventions, as parameters of a step."""
        member = registry.load("retrievers", settings["name"])
        conventions = registry.build("retrievers", settings).conventions(self.lang)
        return {
            "retriever": registry.keyed("retrievers", settings),
            "conventions": {"retriever_version": member.VERSION, **conventions},
        }


def _without(settings: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}
