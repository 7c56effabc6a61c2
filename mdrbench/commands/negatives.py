"""Make, estimate, show and export hard negatives, and measure the agreement of a judge with the qrels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdrbench.commands.run import ChosenExecutor, Trial, failure, load_inputs, prepare_negatives, run_steps, try_judges
from mdrbench.core.console import say
from mdrbench.core.errors import DataError, MdrbenchError, StepError, UsageError, did_you_mean
from mdrbench.core.store import Artifact, Store
from mdrbench.core.types import Negative, Passage, Qrels, TrainingGroup
from mdrbench.data.access import check_final, open_dataset
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats import exports, trec
from mdrbench.formats import groups as group_files
from mdrbench.negatives import calibration, canaries
from mdrbench.negatives.judges import Estimate
from mdrbench.pipeline import runner
from mdrbench.pipeline.plan.negatives import SPLIT, NegativesPlan, plan_agreement, plan_negatives
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.pipeline.plan.steps import Job, Step, silent
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
    executor: ChosenExecutor = "local",
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


def estimate(
    name: str, data: str, langs: str, overrides: list[str], store: Store, *, quiet: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """Estimate what judge and generator will be asked, and what it costs. Mines, but asks neither.

    Before the judge has spoken nobody knows which queries will be short of negatives. So generation and top-up are
    estimated at the most: every query is generated for, and needs ``size`` further candidates judged.

    Returns:
        language -> ``canaries``, ``judge``, ``generate`` and ``top_up`` (as far as the recipe has them) ->
        ``requests``, ``stored`` (answered before), ``input_tokens``, ``output_tokens``, ``cost``, ``seconds``, and
        ``at_most``: whether it is an upper limit.

    Raises:
        UsageError: the recipe has neither judge nor generator.
    """
    inputs = load_inputs([name], data, langs, SPLIT, overrides, fetch=True, quiet=quiet)
    [recipe] = inputs.recipes
    if recipe.negatives is None or not (recipe.negatives.judges or recipe.negatives.generates):
        raise UsageError(
            f"'{name}' has no judge, so there is nothing to estimate.", mend="choose one of `mdrbench list judges`"
        )
    return {
        lang: _Estimating(recipe.negatives, plan_negatives(recipe, inputs.dataset, lang, store), store, quiet).rows()
        for lang in inputs.languages
    }


class _Estimating:
    """Estimates the requests of one language."""

    def __init__(self, section: Negatives, plan: NegativesPlan, store: Store, quiet: bool):
        self.section, self.plan, self.store, self.quiet = section, plan, store, quiet
        self.by_stage = {step.stage: step for step in plan.steps if step.members.keys() & {"judge", "generator"}}

    def _made(self, step: Step) -> bool:
        return self.store.find(*step.ref) is not None

    def _job(self, step: Step, **instead: Step) -> Job:
        """Return the job of a step; inputs that are missing are made, or replaced by the artifact of another step."""
        refs = {role: instead[role].ref if role in instead else ref for role, ref in step.inputs.items()}
        wanted = {role: ref for role, ref in refs.items() if role in ("corpus", "topics", "groups")}
        before = [other for other in self.plan.steps if other.ref in wanted.values()]
        outcome = run_steps(self.plan.steps, before, self.store, self.quiet)
        if error := failure(outcome, self.plan.steps):
            raise error
        artifacts = {role: outcome.artifacts[ref] for role, ref in wanted.items()}
        return runner.job_of(step, artifacts, self.store.root, silent)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return stage -> estimate."""
        rows: dict[str, tuple[Estimate, bool]] = {}
        [mine] = [step for step in self.plan.steps if step.stage == "mine"]
        judging = self.by_stage.get("judge")
        if judging and self.plan.canaries:
            judge = self.section.judge.build()
            _, asked, _ = stages_negatives.canaries_to_ask(self._job(self.plan.canaries))
            rows["canaries"] = judge.estimate([one.pair for one in asked]), False
            rows["judge"] = judge.estimate(stages_negatives.pairs_to_judge(self._job(judging))), False
        if generating := self.by_stage.get("generate"):
            is_known = judging is None or self._made(judging)
            job = self._job(generating, **({} if is_known else {"groups": mine}))
            sources = stages_negatives.sources_to_generate(job, everything=not is_known)
            generator = self.section.generation.build()
            rows["generate"] = generator.estimate(sources) if hasattr(generator, "estimate") else NOTHING, not is_known
            if "judge" in rows:
                rows["top_up"] = _scaled(rows["judge"][0], len(sources) * self.section.size), True
        return {stage: {**found._asdict(), "at_most": most} for stage, (found, most) in rows.items()}


NOTHING = Estimate(0, 0, 0, 0, 0.0)


def _scaled(judging: Estimate, pairs: int) -> Estimate:
    """Estimate so many pairs more like those of a judging step; none if that asks nothing."""
    known = judging.requests + judging.stored
    if not judging.requests:
        return NOTHING
    share = pairs / known if known else 0.0
    per_request = share * known / judging.requests

    def more(value: float | None) -> float | None:
        return None if value is None else value * per_request

    return Estimate(
        pairs,
        0,
        round(judging.input_tokens * per_request),
        round(judging.output_tokens * per_request),
        more(judging.cost),
        more(judging.seconds),
    )


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
    judgments: Path | None = None,
    quiet: bool,
) -> tuple[dict[str, dict[str, Any]], MdrbenchError | None]:
    """Compare the judge of a recipe with the qrels of a split.

    Args:
        final: allow a split that is kept for final figures.
        judgments: a folder with files ``qrels-LANG-SPLIT.tsv`` in TREC's format, compared in place of the qrels.

    Returns:
        language -> counts, ratios and the path of the verdicts (``judgments``), and the error to raise after showing
        them.
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
        targets[lang] = plan_agreement(recipe, planner, pairs, split, judgments and _judgments(judgments, lang, split))
        steps |= planner.steps
    outcome = run_steps(list(steps.values()), list(targets.values()), store, quiet)
    rows = {}
    for lang, target in targets.items():
        if artifact := outcome.artifacts.get(target.ref):
            rows[lang] = {**artifact.facts, "judgments": str(artifact.path / "judgments.jsonl.gz")}
    return rows, failure(outcome, list(steps.values()))


def _judgments(folder: Path, lang: str, split: str) -> Path:
    """Return the file of a language in a folder of judgments.

    Raises:
        DataError: it is not there.
    """
    path = folder / f"qrels-{lang}-{split}.tsv"
    if not path.is_file():
        raise DataError(
            f"no judgments of {lang}",
            where=str(path),
            mend="write lines `qid 0 docid grade` there, or leave the language out (--langs)",
        )
    return path


def calibrate(
    rows: dict[str, dict[str, Any]], data: str, split: str = SPLIT, judgments: Path | None = None
) -> dict[str, calibration.Chosen]:
    """Choose the cut-offs of a judge that scores, from the verdicts of :func:`agreement` on the same judgments.

    Returns:
        ``default`` and each language with enough passages judged 0 -> its cut-off; see
        :mod:`mdrbench.negatives.calibration`.

    Raises:
        UsageError: the judge gives no scores.
    """
    dataset = open_dataset(data)
    scored = {}
    for lang, row in rows.items():
        qrels = trec.read_qrels(_judgments(judgments, lang, split) if judgments else dataset.qrels_file(lang, split))
        found = stages_negatives.read_verdicts(Path(row["judgments"]))
        scored[lang] = [
            calibration.Scored(one.score, qrels[qid][docid] > 0)
            for qid, by_docid in found.items()
            for docid, one in by_docid.items()
            if one.score is not None
        ]
    return calibration.choose(scored)


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
