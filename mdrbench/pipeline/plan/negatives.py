"""Plan the steps that make a recipe's hard negatives: rank, mine, judge, generate, top up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdrbench.core.errors import UsageError
from mdrbench.core.members import Member
from mdrbench.core.store import Store
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.negatives.mining import Miner
from mdrbench.pipeline.plan import steps
from mdrbench.pipeline.plan.planner import Planner, described
from mdrbench.pipeline.plan.steps import Step
from mdrbench.recipe.schema import Negatives, Recipe, Unjudged

WINDOW = 500
"""Queries of a part of judging that are not stated in a key. Other numbers are, except if an endpoint is asked: a model
here computes batches of a part's texts, and in bf16 or with padding other batches give other digits."""

SPLIT = "train"
NO_JUDGE = {"name": "none"}


@dataclass(frozen=True)
class NegativesPlan:
    """The steps of a recipe's hard negatives in one language.

    Attributes:
        groups: the step with the finished groups.
        canaries: the step that tries the judge, on which no other step depends; None if there is no judge.
    """

    steps: list[Step]
    groups: Step
    canaries: Step | None = None

    def stages(self) -> list[Step]:
        """The steps with counts to show, in their order."""
        return [step for step in self.steps if step.stage in ("mine", "judge", "unjudged", "generate", "top_up")]


def plan_negatives(recipe: Recipe, dataset: MiraclFolder, lang: str, store: Store) -> NegativesPlan:
    """Plan the negatives of a language.

    Raises:
        UsageError: the recipe has no ``negatives``, or its strategy needs scores that its retriever cannot give.
    """
    planner = Planner(dataset, lang, store)
    canaries = canaries_step(recipe, planner)
    groups = groups_step(recipe, planner)
    return NegativesPlan(list(planner.steps.values()), groups, canaries)


def groups_step(recipe: Recipe, planner: Planner) -> Step:
    """Plan the finished groups of a recipe, and all steps before them; raises as :func:`plan_negatives` does."""
    if recipe.negatives is None:
        raise UsageError(f"'{recipe.name}' has no negatives", mend="give the recipe a section `negatives`")
    return _NegativesPlanner(recipe, recipe.negatives, planner).groups()


def canaries_step(recipe: Recipe, planner: Planner) -> Step | None:
    """Plan the step that tries the recipe's judge on known pairs; None if it has no judge."""
    if recipe.negatives is None or not recipe.negatives.judges:
        return None
    return _NegativesPlanner(recipe, recipe.negatives, planner).canaries()


def plan_agreement(
    recipe: Recipe, planner: Planner, pairs: int, split: str = SPLIT, judgments: Path | None = None
) -> Step:
    """Plan the step that compares the recipe's judge with the qrels of a split on at most ``pairs`` judged pairs.

    Args:
        judgments: a file in TREC's qrels format that is compared in place of the qrels.
    """
    if recipe.negatives is None or not recipe.negatives.judges:
        raise UsageError(f"'{recipe.name}' has no judge", mend="give it one: --set negatives.judge.name=...")
    return _NegativesPlanner(recipe, recipe.negatives, planner, split).agreement(pairs, judgments)


class _NegativesPlanner:
    def __init__(self, recipe: Recipe, section: Negatives, base: Planner, split: str = SPLIT):
        self.recipe = recipe
        self.section = section
        self.base = base
        self.split = split
        self.miner: Miner = section.mining.build()
        self.ranked = self.miner.retriever(recipe.mined_retriever)
        self.sources = {**base.corpus_sources, **base.split_sources(split)}

    def groups(self) -> Step:
        """Plan the last step, and all steps before it."""
        kept = mined = self._mine()
        if self.section.judges:
            kept = self._judge(mined)
        last = kept if self.section.unjudged is None else self._unjudged(self.section.unjudged, mined, kept)
        if self.section.generates:
            last = self._top_up(kept, last)
        return last

    def _size(self, *, last: bool) -> int | None:
        """Only the last step cuts groups to their size: a judge sees all candidates."""
        return self.section.size if last else None

    def _mine(self) -> Step:
        inputs = {"corpus": self.base.corpus().ref, "topics": self.base.topics(self.split).ref}
        if self.ranked is None:
            inputs["run"] = self._draw(self.miner.depth).ref
        else:
            inputs["run"] = self.base.ranking(self.ranked, self.split, self.miner.depth).ref
            if self.miner.reference is not None:
                inputs["positives"] = self._positives(self.ranked).ref
        return self.base.add(
            "mine",
            {
                "split": self.split,
                "miner": described(self.section.mining),
                "judged_zeros": self.section.judged_zeros,
                "size": self._size(last=not (self.section.judges or self.section.generates)),
            },
            members={"miner": self.section.mining},
            sources=self.sources,
            inputs=inputs,
        )

    def _draw(self, depth: int) -> Step:
        return self.base.add(
            "draw",
            {"split": self.split, "depth": depth, "seed": self.recipe.seed},
            sources=self.sources,
            inputs={"corpus": self.base.corpus().ref, "topics": self.base.topics(self.split).ref},
        )

    def _positives(self, retriever: Member) -> Step:
        inputs = self.base.index_inputs(retriever)
        if inputs is None or not hasattr(retriever.build(), "score"):
            raise UsageError(
                f"'{self.section.mining.name}' compares with the score of a positive, but '{retriever.name}' cannot "
                "score a passage that it did not retrieve",
                mend="mine the ranking of a dense retriever or an ensemble (`negatives.retriever`)",
            )
        return self.base.add(
            "positives",
            {**self.base.conventions(retriever), "split": self.split},
            members={"retriever": retriever},
            sources=self.base.split_sources(self.split),
            inputs={"topics": self.base.topics(self.split).ref, **inputs},
        )

    def _judging(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "judge": described(self.section.judge),
            "reference": self.section.reference,
            "keep": self.section.keep,
            "unreadable": self.section.unreadable,
        }

    def canaries(self) -> Step:
        """Plan the trial of the judge. It needs topics, qrels and corpus alone, so that it can run before encoding."""
        settings = self.section.canaries
        return self.base.add(
            "canaries",
            {**self._judging(), "questions": settings.questions, "seed": settings.seed},
            members={"judge": self.section.judge},
            sources=self.sources,
            inputs={"corpus": self.base.corpus().ref, "topics": self.base.topics(self.split).ref},
        )

    def _judge(self, mined: Step) -> Step:
        window = {"window": steps.QUERIES}
        stated = steps.QUERIES != WINDOW and not steps.asks_endpoint(self.section.judge)
        return self.base.add(
            "judge",
            {
                **self._judging(),
                "size": self._size(last=not self.section.generates),
                **({"relabel": self.section.relabel} if self.section.relabel else {}),
                **(window if stated else {}),
            },
            members={"judge": self.section.judge},
            run_only=window,
            sources=self.sources,
            inputs={"corpus": self.base.corpus().ref, "groups": mined.ref},
        )

    def _unjudged(self, section: Unjudged, mined: Step, kept: Step) -> Step:
        """Plan groups of as many candidates as were kept, without the judge's choice."""
        params = {"split": SPLIT, "judged_zeros": self.section.judged_zeros}
        inputs = {"corpus": self.base.corpus().ref, "topics": self.base.topics(SPLIT).ref, "groups": kept.ref}
        if section.mining is None:
            return self.base.add("unjudged", params, sources=self.sources, inputs={**inputs, "mined": mined.ref})
        miner: Miner = section.mining.build()
        ranked = miner.retriever(section.retriever or self.recipe.retriever)
        if ranked is None or miner.reference is not None:
            raise UsageError(
                f"negatives.unjudged.mining: '{section.mining.name}' does not rank candidates by itself",
                mend="name topk or ensemble",
            )
        return self.base.add(
            "unjudged",
            {**params, "miner": described(section.mining)},
            members={"miner": section.mining},
            sources=self.sources,
            inputs={**inputs, "run": self.base.ranking(ranked, SPLIT, miner.depth).ref},
        )

    def _top_up(self, kept: Step, groups: Step) -> Step:
        """Plan stage 2; the queries that it generates are those of the groups that the judge left short."""
        size = {"size": self.section.size}
        generate = self.base.add(
            "generate",
            {"split": self.split, **size, "generator": described(self.section.generation)},
            members={"generator": self.section.generation},
            sources=self.sources,
            inputs={"corpus": self.base.corpus().ref, "groups": kept.ref},
        )
        judging, judge = self._judging(), self.section.judge
        if self.section.unjudged is not None and not self.section.unjudged.judge_generated:
            judge = Member.of("judges", NO_JUDGE)
            judging["judge"] = described(judge)
        retriever = self.ranked or self.recipe.mined_retriever
        first = self._round_trip()
        depth = max(self.miner.depth, self.section.size, *first.values())
        run = self.base.ranking(retriever, self.split, depth, generated=generate)
        return self.base.add(
            "top_up",
            {**judging, **size, **first, "judged_zeros": self.section.judged_zeros},
            members={"judge": judge},
            sources=self.sources,
            inputs={
                "corpus": self.base.corpus().ref,
                "groups": groups.ref,
                "generate": generate.ref,
                "run": run.ref,
            },
        )

    def _round_trip(self) -> dict[str, int]:
        """Return the parameter of the round trip: among how many hits a generated query must find its positive."""
        k = self.section.round_trip
        if k is False:
            return {}
        return {"round_trip": self.miner.depth if k is True else k}

    def agreement(self, pairs: int, judgments: Path | None) -> Step:
        """Plan the comparison of the judge with the qrels, or with other judgments."""
        return self.base.add(
            "agreement",
            {**self._judging(), "pairs": pairs, "seed": self.recipe.seed},
            members={"judge": self.section.judge},
            run_only={} if judgments is None else {"judgments": str(judgments)},
            sources=self.sources if judgments is None else {**self.sources, **self.base.hashes([judgments])},
            inputs={"corpus": self.base.corpus().ref, "topics": self.base.topics(self.split).ref},
        )
