"""What the commands about hard negatives do: make them, count them, look at them, write them for other trainers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdrbench.commands.run import failure, prepare_negatives, run_steps, want
from mdrbench.core import registry
from mdrbench.core.errors import MdrbenchError, StepError, UsageError, did_you_mean
from mdrbench.core.store import Artifact, Store
from mdrbench.core.types import Negative, Passage, Qrels, TrainingGroup
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats import exports, trec
from mdrbench.formats import groups as group_files
from mdrbench.pipeline import runner
from mdrbench.pipeline.plan.negatives import SPLIT, NegativesPlan, plan_agreement, plan_negatives
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.pipeline.plan.steps import Step
from mdrbench.pipeline.stages import negatives as stages_negatives
from mdrbench.recipe import Recipe

FORMATS = ("sentence-transformers", "labeled-list", "tevatron", "flag-embedding")


@dataclass(frozen=True)
class Mined:
    """The negatives of a recipe by language: where the finished groups are, and the facts of each stage."""

    recipe: Recipe
    dataset: MiraclFolder
    plans: dict[str, NegativesPlan]
    artifacts: dict[tuple[str, str], Artifact]

    def languages(self) -> list[str]:
        """Those whose groups are finished."""
        return [lang for lang, plan in self.plans.items() if plan.groups.ref in self.artifacts]

    def groups(self, lang: str) -> list[TrainingGroup]:
        """The finished groups of a language."""
        return list(group_files.read(self.artifacts[self.plans[lang].groups.ref].path / "groups.jsonl.gz"))

    def qrels(self, lang: str) -> Qrels:
        """The judgments of the training topics."""
        return trec.read_qrels(self.dataset.qrels_file(lang, SPLIT))

    def facts(self, lang: str) -> dict[str, dict]:
        """Stage -> facts of the stages that choose negatives."""
        lineage = self.artifacts[self.plans[lang].groups.ref].manifest["lineage"]
        return {step.stage: lineage[step.stage]["facts"] for step in self.plans[lang].stages()}

    def usage(self, lang: str) -> dict[str, dict]:
        """Step name -> seconds and peak memory, as they were really computed."""
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
    """Make the negatives of a recipe; what exists is not made again.

    Returns:
        What there is, and the error to end with where a step failed.
    """
    wanted = want([name], data, langs, [SPLIT], overrides, fetch=True, quiet=quiet)
    [recipe] = wanted.recipes
    prepare_negatives(recipe)
    plans = {lang: plan_negatives(recipe, wanted.dataset, lang, store) for lang in wanted.languages}
    steps = [step for plan in plans.values() for step in plan.steps]
    outcome = run_steps(steps, [plan.groups for plan in plans.values()], store, quiet, executor)
    return Mined(recipe, wanted.dataset, plans, outcome.artifacts), failure(outcome, steps)


def find(name: str, data: str, langs: str, overrides: list[str], store: Store) -> Mined:
    """The negatives of a recipe that were made before.

    Raises:
        StepError: a language's are not there.
    """
    wanted = want([name], data, langs, [SPLIT], overrides)
    [recipe] = wanted.recipes
    plans = {lang: plan_negatives(recipe, wanted.dataset, lang, store) for lang in wanted.languages}
    found = {plan.groups.ref: store.find(*plan.groups.ref) for plan in plans.values()}
    if lacking := [lang for lang, plan in plans.items() if found[plan.groups.ref] is None]:
        raise StepError(
            f"the negatives of '{recipe.name}' in {', '.join(lacking)} are not made yet",
            mend=f"`mdrbench mine {name} --data {data} --langs {','.join(lacking)}` with the same --set",
        )
    return Mined(recipe, wanted.dataset, plans, {ref: artifact for ref, artifact in found.items() if artifact})


def estimate(name: str, data: str, langs: str, overrides: list[str], store: Store, *, quiet: bool) -> dict[str, Any]:
    """What judging would ask of an endpoint, by language: mining is done, the judge is not asked.

    Returns:
        language -> requests, stored, input_tokens, output_tokens, cost.
    """
    wanted = want([name], data, langs, [SPLIT], overrides, fetch=True, quiet=quiet)
    [recipe] = wanted.recipes
    if recipe.negatives is None or recipe.negatives.judge["name"] == "none":
        raise UsageError(f"'{name}' has no judge whose cost could be estimated", mend="see `mdrbench list judges`")
    judge = registry.build("judges", recipe.negatives.judge)
    rows = {}
    for lang in wanted.languages:
        plan = plan_negatives(recipe, wanted.dataset, lang, store)
        [judging] = [step for step in plan.steps if step.stage == "judge"]
        before = [step for step in plan.steps if step.ref in judging.inputs.values()]
        outcome = run_steps(plan.steps, before, store, quiet)
        if error := failure(outcome, plan.steps):
            raise error
        inputs = {role: outcome.artifacts[ref] for role, ref in judging.inputs.items()}
        job = runner.job_of(judging, inputs, store.root, lambda done, total: None)
        rows[lang] = judge.estimate(stages_negatives.pairs_to_judge(job))._asdict()
    return rows


def agreement(
    name: str, data: str, langs: str, overrides: list[str], pairs: int, store: Store, *, quiet: bool
) -> tuple[dict[str, dict], MdrbenchError | None]:
    """The recipe's judge held against the qrels of train: language -> counts and ratios."""
    wanted = want([name], data, langs, [SPLIT], overrides, fetch=True, quiet=quiet)
    [recipe] = wanted.recipes
    prepare_negatives(recipe)
    steps: dict[tuple[str, str], Step] = {}
    targets = {}
    for lang in wanted.languages:
        planner = Planner(wanted.dataset, lang, store)
        targets[lang] = plan_agreement(recipe, planner, pairs)
        steps |= planner.steps
    outcome = run_steps(list(steps.values()), list(targets.values()), store, quiet)
    rows = {lang: outcome.artifacts[t.ref].facts for lang, t in targets.items() if t.ref in outcome.artifacts}
    return rows, failure(outcome, list(steps.values()))


@dataclass(frozen=True)
class Shown:
    """A query with its positives and its negatives, texts included."""

    lang: str
    qid: str
    query: str
    positives: list[Passage]
    negatives: list[tuple[Negative, Passage]]


def show(mined: Mined, query: str) -> list[Shown]:
    """The groups whose qid, or whose query's text, is ``query``; one for each language that has it."""
    found = []
    for lang in mined.languages():
        topics = trec.read_topics(mined.dataset.topics_file(lang, SPLIT))
        for group in mined.groups(lang):
            if query in (group.qid, topics[group.qid]):
                texts = group_files.passages(group_files.docids([group]), mined.dataset.passages(lang))
                found.append(
                    Shown(
                        lang,
                        group.qid,
                        topics[group.qid],
                        [texts[docid] for docid in group.positives],
                        [(negative, texts[negative.docid]) for negative in group.negatives],
                    )
                )
    if not found:
        known = [group.qid for lang in mined.languages() for group in mined.groups(lang)]
        raise UsageError(
            f"no training query '{query}' in {', '.join(mined.languages())}", mend=did_you_mean(query, known)
        )
    return found


def export(mined: Mined, form: str, folder: Path, negatives: int) -> list[dict[str, Any]]:
    """Write each language's groups for another trainer; rows, groups and what was left out, by language."""
    if form not in FORMATS:
        raise UsageError(f"unknown format '{form}'", mend=did_you_mean(form, list(FORMATS)))
    separator = mined.recipe.retriever.get("title_separator", " ")
    rows = []
    for lang in mined.languages():
        found = mined.groups(lang)
        passages = group_files.passages(group_files.docids(found), mined.dataset.passages(lang))
        texts = exports.Texts(trec.read_topics(mined.dataset.topics_file(lang, SPLIT)), passages, separator)
        suffix = "parquet" if form == "sentence-transformers" else "jsonl"
        path = folder / f"{mined.dataset.name}-{mined.recipe.name}-{lang}.{form}.{suffix}"
        if form == "sentence-transformers":
            done = exports.write_sentence_transformers(path, found, texts, negatives=negatives)
        elif form == "labeled-list":
            done = exports.write_sentence_transformers(path, found, texts, form="labeled-list")
        elif form == "tevatron":
            done = exports.write_tevatron(path, found, texts)
        else:
            done = exports.write_flag_embedding(path, found, texts)
        rows.append({"lang": lang, "path": str(path), **done._asdict()})
    return rows
