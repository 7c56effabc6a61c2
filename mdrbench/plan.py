"""Recipe x languages -> ordered steps with keys. Nothing heavy is imported and nothing is run here.

A step's key is the hash of its stage (with that stage's VERSION), its parameters, the SHA-256 of the source files it
reads and the keys of the steps before it: whatever has the same key is never computed twice, in any recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdrbench import measures, registry
from mdrbench.layout import MiraclFolder
from mdrbench.recipe import Recipe
from mdrbench.store import Store, key_of

VERSIONS = {"corpus": 1, "topics": 1, "index": 2, "search": 2, "evaluate": 1, "average": 1}
"""Raise a stage's number when its output changes for the same input: older artifacts are then made anew."""

BYTES_PER_HIT, BYTES_PER_SCORED_TOPIC = 11, 35
"""Measured on wiki16's gzipped runs and topic files; for the estimates of a plan only."""


@dataclass(frozen=True)
class Step:
    """One stage applied to one scope; plain data, so that it can be sent to another process.

    Attributes:
        scope: a language, or ``all``.
        params: JSON that the stage reads; part of the key.
        sources: source file -> SHA-256; the hashes are part of the key, the paths are not.
        inputs: role -> (stage, key) of the artifacts that are read.
        size: estimated bytes of the artifact.
        resumable: whether the stage can go on from what an interrupted attempt left.
    """

    stage: str
    scope: str
    params: dict[str, Any]
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


def _step(**fields: Any) -> Step:
    step = Step(**fields)
    return Step(**{**step.__dict__, "key": key_of(step.made_of())})


@dataclass(frozen=True)
class RecipePlan:
    """The steps of one recipe, in an order in which they can run, and which of them its result is read from."""

    recipe: Recipe
    overrides: list[str]
    dataset: MiraclFolder
    split: str
    languages: list[str]
    by_language: dict[str, dict[str, Step]]
    average: Step

    def steps(self) -> list[Step]:
        """All steps, language by language, the average last."""
        return [step for steps in self.by_language.values() for step in steps.values()] + [self.average]

    def targets(self) -> list[Step]:
        """What a result is written from: runs, scores and the average."""
        wanted = [steps[stage] for steps in self.by_language.values() for stage in ("search", "evaluate")]
        return [*wanted, self.average]


def plan_recipe(
    recipe: Recipe, dataset: MiraclFolder, languages: list[str], split: str, store: Store, overrides: list[str]
) -> RecipePlan:
    """Plan a recipe; raises DataError where a source file is missing."""
    member = registry.load("retrievers", recipe.retriever["name"])
    retriever = registry.build("retrievers", recipe.retriever)
    by_language = {}
    for lang in languages:
        conventions = {"retriever_version": member.VERSION, **retriever.conventions(lang)}
        by_language[lang] = _plan_language(recipe, dataset, lang, split, store, conventions, retriever.estimate)
    evaluated = {lang: steps["evaluate"].ref for lang, steps in by_language.items()}
    average = _step(
        stage="average",
        scope="all",
        params={"split": split, **_evaluation(recipe)},
        inputs=evaluated,
        size=0,
    )
    return RecipePlan(recipe, overrides, dataset, split, languages, by_language, average)


def _evaluation(recipe: Recipe) -> dict[str, Any]:
    return {**recipe.evaluation.model_dump(mode="json"), "depth": measures.DEPTH, "seed": recipe.seed}


def _plan_language(
    recipe: Recipe,
    dataset: MiraclFolder,
    lang: str,
    split: str,
    store: Store,
    conventions: dict[str, Any],
    estimate: Callable[[int], int],
) -> dict[str, Step]:
    """The five steps of a language by stage, in the order in which they can run."""
    corpus_files = dataset.corpus_files(lang)
    topic_files = [dataset.topics_file(lang, split), dataset.qrels_file(lang, split)]
    hashes = store.hash_files([*corpus_files, *topic_files])
    corpus_bytes = sum(path.stat().st_size for path in corpus_files)
    with open(topic_files[0], "rb") as lines:
        topic_count = sum(1 for _ in lines)
    member = registry.load("retrievers", recipe.retriever["name"])
    on_corpus = {"scope": lang, "dataset": dataset, "sources": {str(path): hashes[path] for path in corpus_files}}
    on_topics = {"scope": lang, "dataset": dataset, "sources": {str(path): hashes[path] for path in topic_files}}
    corpus = _step(stage="corpus", params={}, size=corpus_bytes // 30, **on_corpus)
    topics = _step(stage="topics", params={"split": split}, inputs={"corpus": corpus.ref}, **on_topics)
    index = _step(
        stage="index",
        params={
            "retriever": _without(recipe.retriever, member.SEARCH_ONLY),
            "conventions": _without(conventions, member.SEARCH_ONLY),
        },
        inputs={"corpus": corpus.ref},
        size=estimate(corpus_bytes),
        resumable=member.RESUMABLE,
        **on_corpus,
    )
    search = _step(
        stage="search",
        params={
            "retriever": recipe.retriever,
            "conventions": conventions,
            "split": split,
            "depth": recipe.search.depth,
        },
        inputs={"index": index.ref, "topics": topics.ref},
        size=topic_count * recipe.search.depth * BYTES_PER_HIT,
        **on_topics,
    )
    evaluate = _step(
        stage="evaluate",
        params={"split": split, **_evaluation(recipe)},
        inputs={"search": search.ref},
        size=topic_count * BYTES_PER_SCORED_TOPIC,
        **on_topics,
    )
    return {step.stage: step for step in (corpus, topics, index, search, evaluate)}


def _without(settings: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}
