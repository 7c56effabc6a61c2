"""The steps that make a recipe's hard negatives: ranking, mining, judging, generating, topping up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mdrbench.core import registry
from mdrbench.core.errors import UsageError
from mdrbench.core.store import Store
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.pipeline.plan.steps import Step
from mdrbench.recipe.schema import Negatives, Recipe

SPLIT = "train"


@dataclass(frozen=True)
class NegativesPlan:
    """The steps of a recipe's hard negatives in one language; ``groups`` is the step with the finished groups."""

    steps: list[Step]
    groups: Step

    def stages(self) -> list[Step]:
        """The steps that have counts to show, in their order."""
        return [step for step in self.steps if step.stage in ("mine", "judge", "generate", "top_up")]


def plan_negatives(recipe: Recipe, dataset: MiraclFolder, lang: str, store: Store) -> NegativesPlan:
    """Plan the negatives of a language.

    Raises:
        UsageError: the recipe has no ``negatives``, or its strategy needs scores that its retriever cannot give.
    """
    if recipe.negatives is None:
        raise UsageError(f"'{recipe.name}' has no negatives", mend="give the recipe a section `negatives`")
    planner = _NegativesPlanner(recipe, recipe.negatives, Planner(dataset, lang, store))
    groups = planner.groups()
    return NegativesPlan(list(planner.base.steps.values()), groups)


def groups_step(recipe: Recipe, planner: Planner) -> Step:
    """The step with the finished groups of a recipe, with all before it planned."""
    return _NegativesPlanner(recipe, recipe.negatives, planner).groups()


def plan_agreement(recipe: Recipe, planner: Planner, pairs: int) -> Step:
    """The step that holds the recipe's judge against the qrels on at most ``pairs`` judged pairs."""
    if recipe.negatives is None or recipe.negatives.judge["name"] == "none":
        raise UsageError(f"'{recipe.name}' has no judge", mend="give it one: --set negatives.judge.name=...")
    return _NegativesPlanner(recipe, recipe.negatives, planner).agreement(pairs)


class _NegativesPlanner:
    def __init__(self, recipe: Recipe, wanted: Negatives, base: Planner):
        self.recipe = recipe
        self.wanted = wanted
        self.base = base
        self.judges = wanted.judge["name"] != "none"
        self.generates = wanted.generation["name"] != "none"
        self.sources = {**base.corpus_sources, **base.split_sources(SPLIT)}

    def groups(self) -> Step:
        """The last step, with all before it planned."""
        mined = last = self._mine()
        if self.judges:
            last = self._judge(mined)
        if self.generates:
            last = self._top_up(last)
        return last

    def _size(self, *, last: bool) -> int | None:
        """Groups are cut to their size by the last step only: a judge sees all candidates."""
        return self.wanted.size if last else None

    def _settings(self, family: str, section: dict[str, Any]) -> dict[str, Any]:
        """What of a member decides its output, as parameters."""
        member = registry.load(family, section["name"])
        built = registry.build(family, section)
        conventions = built.conventions() if hasattr(built, "conventions") else {}
        return {"settings": registry.keyed(family, section), "version": member.VERSION, "conventions": conventions}

    def _own(self) -> dict[str, Any]:
        return self.wanted.retriever or self.recipe.retriever

    def _mine(self) -> Step:
        miner = registry.build("mining", self.wanted.mining)
        retriever = miner.retriever(self._own())
        inputs = {"corpus": self.base.corpus().ref, "topics": self.base.topics(SPLIT).ref}
        if retriever is None:
            inputs["run"] = self._draw(miner.depth).ref
        else:
            inputs["run"] = self.base.ranking(retriever, SPLIT, miner.depth).ref
            if miner.reference is not None:
                inputs["positives"] = self._positives(retriever).ref
        return self.base.add(
            stage="mine",
            params={
                "split": SPLIT,
                "miner": self._settings("mining", self.wanted.mining),
                "judged_zeros": self.wanted.judged_zeros,
                "size": self._size(last=not (self.judges or self.generates)),
            },
            sources=self.sources,
            inputs=inputs,
        )

    def _draw(self, depth: int) -> Step:
        return self.base.add(
            stage="draw",
            params={"split": SPLIT, "depth": depth, "seed": self.recipe.seed},
            sources=self.sources,
            inputs={"corpus": self.base.corpus().ref, "topics": self.base.topics(SPLIT).ref},
        )

    def _positives(self, retriever: dict[str, Any]) -> Step:
        inputs = self.base.index_inputs(retriever)
        if inputs is None or not hasattr(registry.build("retrievers", retriever), "score"):
            raise UsageError(
                f"'{self.wanted.mining['name']}' compares with the score of a positive, which "
                f"'{retriever['name']}' cannot give for a passage that it did not retrieve",
                mend="mine the ranking of a dense retriever or an ensemble (`negatives.retriever`)",
            )
        return self.base.add(
            stage="positives",
            params={**self.base.convened(retriever), "split": SPLIT},
            run_only={"retriever": retriever},
            sources=self.base.split_sources(SPLIT),
            inputs={"topics": self.base.topics(SPLIT).ref, **inputs},
        )

    def _judging(self) -> dict[str, Any]:
        return {
            "split": SPLIT,
            "judge": self._settings("judges", self.wanted.judge),
            "reference": self.wanted.reference,
            "keep": self.wanted.keep,
            "unreadable": self.wanted.unreadable,
        }

    def _judge(self, mined: Step) -> Step:
        return self.base.add(
            stage="judge",
            params={**self._judging(), "size": self._size(last=not self.generates)},
            run_only={"judge_settings": self.wanted.judge},
            sources=self.sources,
            inputs={"corpus": self.base.corpus().ref, "groups": mined.ref},
        )

    def _top_up(self, groups: Step) -> Step:
        size = {"size": self.wanted.size}
        generate = self.base.add(
            stage="generate",
            params={"split": SPLIT, **size, "generator": self._settings("generation", self.wanted.generation)},
            run_only={"generator_settings": self.wanted.generation},
            sources=self.sources,
            inputs={"corpus": self.base.corpus().ref, "groups": groups.ref},
        )
        miner = registry.build("mining", self.wanted.mining)
        retriever = miner.retriever(self._own()) or self._own()
        run = self.base.ranking(retriever, SPLIT, max(miner.depth, self.wanted.size), generated=generate)
        return self.base.add(
            stage="top_up",
            params={**self._judging(), **size, "judged_zeros": self.wanted.judged_zeros},
            run_only={"judge_settings": self.wanted.judge},
            sources=self.sources,
            inputs={
                "corpus": self.base.corpus().ref,
                "groups": groups.ref,
                "generate": generate.ref,
                "run": run.ref,
            },
        )

    def agreement(self, pairs: int) -> Step:
        """The judge against the qrels."""
        return self.base.add(
            stage="agreement",
            params={**self._judging(), "pairs": pairs, "seed": self.recipe.seed},
            run_only={"judge_settings": self.wanted.judge},
            sources=self.sources,
            inputs={"corpus": self.base.corpus().ref, "topics": self.base.topics(SPLIT).ref},
        )
