"""Write result files from finished artifacts: every number with the steps and bytes that it came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from mdrbench import results
from mdrbench.core.atomic_files import text_file, whole, write_atomically
from mdrbench.core.secrets import published
from mdrbench.core.store import Artifact, file_sha256, key_of
from mdrbench.data.access import FINAL_SPLITS
from mdrbench.evaluation import measures
from mdrbench.negatives import canaries
from mdrbench.pipeline import merging, stages
from mdrbench.pipeline.plan import RecipePlan
from mdrbench.results import (
    Average,
    Cell,
    DatasetRecord,
    Evaluated,
    File,
    LanguageResult,
    Result,
    StepRecord,
    System,
    Training,
    identity,
)
from mdrbench.results.identity import Content

Artifacts = dict[tuple[str, str], Artifact]
"""Finished steps by stage and key."""

TIE_RULE = "float32 score descending, then docid descending (trec_eval 9)"
DENOMINATOR = "all judged topics (trec_eval -c)"
LOG_LINES = 1000
"""Steps in the log kept beside a result. In the log of a longer training, each line is the mean of several steps."""


def target(plan: RecipePlan, root: Path) -> tuple[Path, Result | None]:
    """Return the path of the plan's result, and the result that this run completes, None if it replaces or creates it.

    Raises:
        DataError: the existing file is not a valid result, or is of other data.
        UsageError: the existing file was made by another version of the recipe or of the software, and has languages
            that this run would drop.
    """
    draft = _draft(plan)
    path = results.path_of(root, draft)
    merging.refuse_other_data(plan, root)
    if not path.exists():
        return path, None
    return path, merging.joined(plan, path, results.read(path), draft)


def write(plan: RecipePlan, artifacts: Artifacts, root: Path, command: str) -> Path:
    """Write (or complete) the result of a plan from its artifacts: run files first, the JSON file last.

    The earlier result is read, completed and written under a lock, so that runs side by side lose no language. Each
    language that the same recipe recorded earlier keeps its own provenance. The average is over exactly the languages
    in the file.
    """
    with identity.writing(root, plan.dataset.name):
        path, earlier = target(plan, root)
        result = earlier or _draft(plan)
        _refuse_other_passages(plan, artifacts, root)
        _complete(plan, artifacts, result, path, command)
        write_atomically(path, results.dump(result))
    return path


def _refuse_other_passages(plan: RecipePlan, artifacts: Artifacts, root: Path) -> None:
    """Compare the corpora that were searched with those of the other results of the data set."""
    contents = {
        lang: Content(artifacts[planned.evaluate.ref].manifest["lineage"]["corpus"]["facts"]["fingerprint"], {})
        for lang, planned in plan.by_language.items()
        if planned.evaluate.ref in artifacts
    }
    identity.refuse_other_content(root, plan.dataset.name, plan.split, contents)


def _complete(plan: RecipePlan, artifacts: Artifacts, result: Result, path: Path, command: str) -> None:
    """Record the languages, the average and the training of a plan in ``result``, and keep their files beside it."""
    beside = path.with_suffix("")
    beside.mkdir(parents=True, exist_ok=True)
    outcomes = _canaries(plan, artifacts)
    for lang, planned in plan.by_language.items():
        if planned.evaluate.ref not in artifacts:
            continue
        evaluated, run = artifacts[planned.evaluate.ref], artifacts[planned.run.ref]
        files = {
            "run": _keep(run.path / "run.trec.gz", beside / f"{lang}-{plan.split}.run.trec.gz"),
            "topics": _keep(evaluated.path / "topics.tsv.gz", beside / f"{lang}-{plan.split}.topics.tsv.gz"),
        }
        groups = artifacts.get(planned.groups.ref) if planned.groups else None
        result.languages[lang] = _language(plan, lang, evaluated, groups, files, command, result.environments)
        if groups and planned.canaries and planned.canaries.ref in artifacts:
            entry = artifacts[planned.canaries.ref].manifest["lineage"]["canaries"]
            result.languages[lang].steps["groups/canaries"] = _step(entry, result.environments)
            tried = {**entry["facts"], "outcome": outcomes[lang]._asdict()}
            result.languages[lang].negatives = {"canaries": tried, **(result.languages[lang].negatives or {})}
    result.averages = [_average(plan, artifacts, result, path.parent)] if result.languages else []
    _record_training(plan, artifacts, result, beside)
    made = [*(one.steps for one in result.languages.values()), *(one.steps for one in result.trainings.values())]
    used = {step.environment for steps in made for step in steps.values()}
    result.environments = {key: value for key, value in result.environments.items() if key in used}


def _canaries(plan: RecipePlan, artifacts: Artifacts) -> dict[str, canaries.Outcome]:
    """Decide about the judge in the languages in which it was tried."""
    facts = {lang: artifacts[step.ref].facts for lang, step in plan.canaries().items() if step.ref in artifacts}
    section = plan.recipe.negatives
    return canaries.decide(facts, section.canaries.threshold) if section else {}


def _draft(plan: RecipePlan) -> Result:
    recipe = plan.recipe
    return Result(
        kind="measured",
        dataset=plan.dataset.name,
        split=plan.split,
        final=True if plan.split in FINAL_SPLITS else None,
        system=System(
            name=recipe.name,
            summary=recipe.summary,
            recipe=published(recipe.model_dump(mode="json", exclude_none=True)),
            recipe_digest=recipe.digest,
            variant_of=recipe.name if plan.overrides else None,
            overrides=published(plan.overrides),
        ),
        evaluated=Evaluated(
            measures=list(recipe.evaluation.measures),
            depth=measures.DEPTH,
            tie_rule=TIE_RULE,
            denominator=DENOMINATOR,
            confidence=recipe.evaluation.confidence,
            resamples=recipe.evaluation.resamples,
            seed=recipe.seed,
            corpus_variant=plan.dataset.corpus_variant,
        ),
        languages={},
    )


def _language(
    plan: RecipePlan,
    lang: str,
    evaluated: Artifact,
    groups: Artifact | None,
    files: dict[str, File],
    command: str,
    environments: dict[str, dict[str, Any]],
) -> LanguageResult:
    lineage = evaluated.manifest["lineage"]
    steps = {name: _step(entry, environments) for name, entry in lineage.items()}
    for name, entry in groups.manifest["lineage"].items() if groups else ():
        if all(step.key != entry["key"] for step in steps.values()):
            steps[f"groups/{name}"] = _step(entry, environments)
    corpus, topics = lineage["corpus"]["facts"], lineage["topics"]["facts"]
    run = lineage[plan.by_language[lang].run.stage]["facts"]
    javas = [entry["facts"]["java"] for entry in lineage.values() if "java" in entry["facts"]]
    halved = _halved_budget(run["conventions"], lineage)
    sources = {path: sha for step in plan.by_language[lang].steps for path, sha in step.sources.items()}
    dataset = DatasetRecord(
        fingerprint=corpus["fingerprint"],
        passages=corpus["passages"],
        topics=topics["topics"],
        judged_topics=topics["judged_topics"],
        judgments=topics["judgments"],
        positives=topics["positives"],
        files={Path(name).name: digest for name, digest in sources.items()},
        warnings={**corpus["warnings"], **topics["warnings"]},
    )
    return LanguageResult(
        scores={name: Cell(**cell) for name, cell in evaluated.facts["scores"].items()},
        dataset=dataset,
        conventions={
            **run["conventions"],
            **({"recall_against_exact": run["recall"]} if "recall" in run else {}),
            **({"batch_tokens_after_halving": halved} if halved else {}),
            "java": javas[0] if javas else None,
            "search_depth": plan.recipe.search.depth,
            "judged_topics_without_hits": evaluated.facts["without_hits"],
        },
        negatives=_negatives(groups) if groups else None,
        steps=steps,
        files=files,
        command=published(command),
    )


def _halved_budget(conventions: dict[str, Any], lineage: dict[str, dict[str, Any]]) -> int | None:
    """Return the tokens of a batch after a GPU ran out of memory, which can change last bits; None if none did."""
    used = [entry["facts"]["batch_tokens"] for entry in lineage.values() if "batch_tokens" in entry["facts"]]
    return min((one for one in used if one < conventions.get("batch_tokens", 0)), default=None)


def _step(entry: dict[str, Any], environments: dict[str, dict[str, Any]]) -> StepRecord:
    """Return a step's record from its entry in a lineage, and add its environment to ``environments``."""
    environment = key_of(entry["environment"])[:12]
    environments[environment] = entry["environment"]
    return StepRecord(key=entry["key"], made_at=entry["made_at"], environment=environment, **entry["usage"])


def _negatives(groups: Artifact) -> dict[str, dict[str, Any]]:
    """Return the counts of the stages that made a language's training groups, by stage."""
    stages = ("pair", "mine", "judge", "unjudged", "generate", "top_up")
    lineage = groups.manifest["lineage"]
    return {stage: lineage[stage]["facts"] for stage in stages if stage in lineage}


def _record_training(plan: RecipePlan, artifacts: Artifacts, result: Result, beside: Path) -> None:
    """Record the training of this plan in ``result``; delete trainings, with their logs, that no language names.

    If the training's artifact was deleted, the training is recorded from an evaluation's lineage, without its log,
    unless an earlier run recorded it.
    """
    if plan.training:
        label, train = (artifacts.get(step.ref) for step in plan.training)
        name = plan.training[-1].key[:12]
        entries = [a.manifest["lineage"] for one in plan.by_language.values() if (a := artifacts.get(one.evaluate.ref))]
        if train is not None or name not in result.trainings:
            result.trainings[name] = _training(label, train, entries, result.environments, beside / f"training-{name}")
    named = {entry.steps["train"].key[:12] for entry in result.languages.values() if "train" in entry.steps}
    result.trainings = {name: result.trainings[name] for name in sorted(named & result.trainings.keys())}
    kept = {Path(one.log.path).name for one in result.trainings.values() if one.log}
    for file in beside.glob("training-*.jsonl.gz"):
        if file.name not in kept:
            file.unlink()


def _training(
    label: Artifact | None,
    train: Artifact | None,
    evaluated: list[dict[str, Any]],
    environments: dict[str, dict[str, Any]],
    stem: Path,
) -> Training:
    lineage = train.manifest["lineage"] if train else evaluated[0]
    steps = {} if label is None else {"label": _step(label.manifest["lineage"]["label"], environments)}
    log = None
    if train is not None:
        path = stem.with_name(f"{stem.name}.jsonl.gz")
        with open(train.path / "log.jsonl", encoding="utf-8") as file, text_file(path) as text:
            text.writelines(json.dumps(line) + "\n" for line in shortened(map(json.loads, file)))
        log = _file(path)
    facts = lineage["train"]["facts"]
    return Training(
        languages=sorted(facts["queries"]),
        steps={**steps, "train": _step(lineage["train"], environments)},
        facts=facts,
        domains=label.facts if label else None,
        log=log,
    )


def shortened(log: Iterable[dict[str, Any]], lines: int = LOG_LINES) -> Iterator[dict[str, Any]]:
    """Shorten a training's log to at most ``lines`` lines of steps, all validations, no speed and no memory.

    A line that stands for several steps has their mean loss, their mean norm of the gradient and the last learning
    rate. Numbers have six digits.
    """
    entries = list(log)
    logged = [entry for entry in entries if entry["kind"] == "train"]
    size = max(1, -(-len(logged) // lines))
    for part in (logged[at : at + size] for at in range(0, len(logged), size)):
        norms = [entry["grad_norm"] for entry in part if entry["grad_norm"] is not None]
        means = {"loss": fmean(entry["loss"] for entry in part), "grad_norm": fmean(norms) if norms else None}
        yield {"kind": "train", "step": part[-1]["step"], "lr": part[-1]["lr"], **_six_digits(means)}
    for entry in entries:
        if entry["kind"] == "validation":
            yield {"kind": "validation", "step": entry["step"], **_six_digits({"loss": entry["loss"]})}


def _six_digits(numbers: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else float(f"{value:.6g}") for name, value in numbers.items()}


def _average(plan: RecipePlan, artifacts: Artifacts, result: Result, folder: Path) -> Average:
    """Return the average over all languages in the file: this run's, or computed from the topic files beside it."""
    languages = result.language_codes()
    found = artifacts.get(plan.average.ref)
    if found is not None and set(plan.languages) == set(languages):
        scores = found.facts["scores"]
    else:
        kept = [folder / result.languages[lang].files["topics"].path for lang in languages]
        scores = stages.average_scores(kept, plan.average.params)
    cells = {name: Cell(**cell) for name, cell in scores.items()}
    return Average(label=results.average_label(languages), languages=languages, scores=cells)


def _keep(source: Path, target: Path) -> File:
    """Copy an artifact's file beside the result, whole or not at all, unless the same bytes are there."""
    digest = file_sha256(source)
    if not (target.is_file() and file_sha256(target) == digest):
        with whole(target) as temporary:
            shutil.copyfile(source, temporary)
    return _file(target)


def _file(path: Path) -> File:
    return File(path=f"{path.parent.name}/{path.name}", bytes=path.stat().st_size, sha256=file_sha256(path))
