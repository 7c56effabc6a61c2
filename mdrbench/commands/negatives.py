"""Make, estimate, show and export hard negatives, and measure the agreement of a judge with the qrels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdrbench.commands.run import Trial, failure, load_inputs, prepare_negatives, run_steps, try_judges
from mdrbench.core.console import say
from mdrbench.core.errors import MdrbenchError, StepError, UsageError, did_you_mean
from mdrbench.core.store import Artifact, Store
from mdrbench.core.types import Negative, Passage, Qrels, TrainingGroup
from mdrbench.data.access import check_final
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats import exports, trec
from mdrbench.formats import groups as group_files
from mdrbench.negatives import canaries
from mdrbench.pipeline import runner
from mdrbench.pipeline.plan.negatives import SPLIT, NegativesPlan, plan_agreement, plan_negatives
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.pipeline.plan.steps import Step
from mdrbench.pipeline.stages import negatives as stages_negatives
from mdrbench.recipe import Recipe
from mdrbench.recipe.schema import Negatives

FORMATS = ("sentence-transformers", "labeled-list", "tevatron", "flag-embedding")


@dataclass(frozen=True)
class Mined:
    """The negatives of a recipe by language: the finished groups and the facts of each stage."""

    recipe: Recipe
    dataset: MiraclFolder
    plans: dict[str, NegativesPlan]
    artifacts: dict[tuple[str, str], Artifact]

    @property
    def settings(self) -> Negatives:
        """The recipe's section ``negatives``, which every recipe with negatives has."""
        assert self.recipe.negatives is not None
        return self.recipe.negatives

    def languages(self) -> list[str]:
        """Return the languages whose groups are finished."""
        return [lang for lang, plan in self.plans.items() if plan.groups.ref in self.artifacts]

    def groups(self, lang: str) -> list[TrainingGroup]:
        """Read the finished groups of a language."""
        return list(group_files.read(self.artifacts[self.plans[lang].groups.ref].path / "groups.jsonl.gz"))

    def qrels(self, lang: str) -> Qrels:
        """Read the judgments of the training topics."""
        return trec.read_qrels(self.dataset.qrels_file(lang, SPLIT))

    def facts(self, lang: str) -> dict[str, dict[str, Any]]:
        """Return stage -> facts, for the stages that choose negatives."""
        lineage = self.artifacts[self.plans[lang].groups.ref].manifest["lineage"]
        return {step.stage: lineage[step.stage]["facts"] for step in self.plans[lang].stages()}

    def tried(self) -> dict[str, dict[str, Any]]:
        """Return language -> facts of the trial of the judge, of the languages in which it was tried."""
        steps = {lang: plan.canaries for lang, plan in self.plans.items() if plan.canaries}
        return {lang: self.artifacts[step.ref].facts for lang, step in steps.items() if step.ref in self.artifacts}

    def outcomes(self) -> dict[str, canaries.Outcome]:
        """Decide about the judge in the languages in which it was tried."""
        return canaries.decide(self.tried(), self.settings.canaries.threshold)

    def usage(self, lang: str) -> dict[str, dict[str, Any]]:
        """Return step name -> seconds and peak memory of the computation. Cached steps keep their cost."""
        lineage = self.artifacts[self.plans[lang].groups.ref].manifest["lineage"]
        return {name: entry["usage"] for name, entry in lineage.items()}


def make(
    name: str,
    data: str,
    langs: str,
    overrides: list[str],
    store: Store,
    *,
    quiet: bool = False,
    executor: str = "local",
) -> tuple[Mined, MdrbenchError | None]:
    """Make the negatives of a recipe. Steps that are in the cache are not computed again.

    Returns:
        The negatives, and the error to raise after showing them, or None if no step failed.

    Raises:
        UsageError: a recipe or language does not exist, or the recipe has no section ``negatives``.
        SetupError: the judge or the generator cannot work on this machine.
    """
    inputs = load_inputs([name], data, langs, SPLIT, overrides, fetch=True, quiet=quiet)
    [recipe] = inputs.recipes
    prepare_negatives(recipe)
    plans = {lang: plan_negatives(recipe, inputs.dataset, lang, store) for lang in inputs.languages}
    steps = [step for plan in plans.values() for step in plan.steps]
    targets = [plan.groups for plan in plans.values()]
    trial = Trial(recipe, {lang: plan.canaries for lang, plan in plans.items() if plan.canaries}, steps, targets)
    tried, error = try_judges([trial], store, quiet, executor)
    if error:
        raise error
    outcome = run_steps(steps, targets, store, quiet, executor)
    outcome.artifacts |= tried.artifacts
    return Mined(recipe, inputs.dataset, plans, outcome.artifacts), failure(outcome, steps)


def find(name: str, data: str, langs: str, overrides: list[str], store: Store) -> Mined:
    """Return the negatives of a recipe that were made before.

    Raises:
        StepError: the negatives of a language are not in the cache.
    """
    inputs = load_inputs([name], data, langs, SPLIT, overrides)
    [recipe] = inputs.recipes
    plans = {lang: plan_negatives(recipe, inputs.dataset, lang, store) for lang in inputs.languages}
    stored = {plan.groups.ref: store.find(*plan.groups.ref) for plan in plans.values()}
    if lacking := [lang for lang, plan in plans.items() if stored[plan.groups.ref] is None]:
        raise StepError(
            f"The negatives of '{recipe.name}' in {', '.join(lacking)} are not made yet.",
            mend=f"run `mdrbench mine {name} --data {data} --langs {','.join(lacking)}` with the same --set",
        )
    return Mined(recipe, inputs.dataset, plans, {ref: artifact for ref, artifact in stored.items() if artifact})


def estimate(name: str, data: str, langs: str, overrides: list[str], store: Store, *, quiet: bool) -> dict[str, Any]:
    """Estimate what judging would cost. Mines, but does not ask the judge.

    Returns:
        language -> ``requests``, ``stored`` (answered before), ``input_tokens``, ``output_tokens`` and ``cost``.

    Raises:
        UsageError: the recipe has no judge.
    """
    inputs = load_inputs([name], data, langs, SPLIT, overrides, fetch=True, quiet=quiet)
    [recipe] = inputs.recipes
    if recipe.negatives is None or not recipe.negatives.judges:
        raise UsageError(
            f"'{name}' has no judge, so there is nothing to estimate.", mend="choose one of `mdrbench list judges`"
        )
    judge = recipe.negatives.judge.build()
    rows = {}
    for lang in inputs.languages:
        plan = plan_negatives(recipe, inputs.dataset, lang, store)
        [judging] = [step for step in plan.steps if step.stage == "judge"]
        before = [step for step in plan.steps if step.ref in judging.inputs.values()]
        outcome = run_steps(plan.steps, before, store, quiet)
        if error := failure(outcome, plan.steps):
            raise error
        artifacts = {role: outcome.artifacts[ref] for role, ref in judging.inputs.items()}
        job = runner.job_of(judging, artifacts, store.root, lambda done, total: None)
        rows[lang] = judge.estimate(stages_negatives.pairs_to_judge(job))._asdict()
    return rows


def agreement(
    name: str,
    data: str,
    langs: str,
    overrides: list[str],
    pairs: int,
    store: Store,
    *,
    split: str = SPLIT,
    final: bool = False,
    quiet: bool,
) -> tuple[dict[str, dict[str, Any]], MdrbenchError | None]:
    """Compare the judge of a recipe with the qrels of a split.

    Args:
        final: allow a split that is kept for final figures.

    Returns:
        language -> counts and ratios, and the error to raise after showing them.
    """
    check_final(split, final)
    inputs = load_inputs([name], data, langs, split, overrides, fetch=True, quiet=quiet, search=False)
    [recipe] = inputs.recipes
    if recipe.negatives is not None:
        recipe.negatives.judge.build().prepare(say)
    steps: dict[tuple[str, str], Step] = {}
    targets = {}
    for lang in inputs.languages:
        planner = Planner(inputs.dataset, lang, store)
        targets[lang] = plan_agreement(recipe, planner, pairs, split)
        steps |= planner.steps
    outcome = run_steps(list(steps.values()), list(targets.values()), store, quiet)
    rows = {lang: outcome.artifacts[t.ref].facts for lang, t in targets.items() if t.ref in outcome.artifacts}
    return rows, failure(outcome, list(steps.values()))


@dataclass(frozen=True)
class Shown:
    """A query with its positives and negatives, with texts."""

    lang: str
    qid: str
    query: str
    positives: list[Passage]
    negatives: list[tuple[Negative, Passage]]


def show(mined: Mined, query: str) -> list[Shown]:
    """Return the groups whose qid or query text is ``query``: one for each language that has it.

    Raises:
        UsageError: no language has such a query.
    """
    matches = []
    for lang in mined.languages():
        topics = trec.read_topics(mined.dataset.topics_file(lang, SPLIT))
        for group in mined.groups(lang):
            if query in (group.qid, topics[group.qid]):
                texts = group_files.passages(group_files.docids([group]), mined.dataset.passages(lang))
                matches.append(
                    Shown(
                        lang,
                        group.qid,
                        topics[group.qid],
                        [texts[docid] for docid in group.positives],
                        [(negative, texts[negative.docid]) for negative in group.negatives],
                    )
                )
    if not matches:
        known = [group.qid for lang in mined.languages() for group in mined.groups(lang)]
        raise UsageError(
            f"There is no training query '{query}' in {', '.join(mined.languages())}.", mend=did_you_mean(query, known)
        )
    return matches


def export(mined: Mined, form: str, folder: Path, negatives: int) -> list[dict[str, Any]]:
    """Write the groups of each language for another trainer.

    Returns:
        A row for each language: ``lang``, ``path``, and counts of rows, groups and what was left out.
    """
    if form not in FORMATS:
        raise UsageError(f"Unknown format '{form}'.", mend=did_you_mean(form, list(FORMATS)))
    separator = mined.recipe.retriever.settings.get("title_separator", " ")
    rows = []
    for lang in mined.languages():
        groups = mined.groups(lang)
        passages = group_files.passages(group_files.docids(groups), mined.dataset.passages(lang))
        texts = exports.Texts(trec.read_topics(mined.dataset.topics_file(lang, SPLIT)), passages, separator)
        suffix = "parquet" if form == "sentence-transformers" else "jsonl"
        path = folder / f"{mined.dataset.name}-{mined.recipe.name}-{lang}.{form}.{suffix}"
        if form == "sentence-transformers":
            done = exports.write_sentence_transformers(path, groups, texts, negatives=negatives)
        elif form == "labeled-list":
            done = exports.write_sentence_transformers(path, groups, texts, form="labeled-list")
        elif form == "tevatron":
            done = exports.write_tevatron(path, groups, texts)
        else:
            done = exports.write_flag_embedding(path, groups, texts)
        rows.append({"lang": lang, "path": str(path), **done._asdict()})
    return rows
