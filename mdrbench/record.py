"""From finished artifacts to result files: every number with the steps and bytes it came from."""

from __future__ import annotations

import shutil
from pathlib import Path

from mdrbench import measures, results, stages
from mdrbench.errors import UsageError
from mdrbench.plan import RecipePlan
from mdrbench.results import Average, Cell, DatasetRecord, Evaluated, File, LanguageResult, Result, StepRecord, System
from mdrbench.store import Artifact, file_sha256, key_of, write_atomically

TIE_RULE = "float32 score descending, then docid descending (trec_eval)"
DENOMINATOR = "all judged topics (trec_eval -c)"


def target(plan: RecipePlan, root: Path) -> tuple[Path, Result | None]:
    """Where the plan's result goes, and the result that is there already.

    Raises:
        DataError: the file there is no valid result.
        UsageError: the file there was made by another version of the recipe and has languages that this run would
            drop.
    """
    draft = _draft(plan)
    path = results.path_of(root, draft)
    if not path.exists():
        return path, None
    earlier = results.read(path)
    same = earlier.system.recipe_digest == draft.system.recipe_digest
    lost = [lang for lang in earlier.languages if lang not in plan.languages]
    if not same and lost:
        raise UsageError(
            f"{path} holds {len(earlier.languages)} languages of another version of '{plan.recipe.name}'; "
            f"this run would drop {', '.join(lost)}",
            mend="run all its languages, remove the file, or write elsewhere with --results DIR",
        )
    return path, earlier if same else None


def write(plan: RecipePlan, artifacts: dict[tuple[str, str], Artifact], root: Path, command: str) -> Path:
    """Write (or complete) the result of a plan whose artifacts are at hand, run files first, the JSON last.

    Languages that the same recipe recorded earlier are kept, each with its own provenance; the average is over exactly
    the languages in the file.
    """
    path, earlier = target(plan, root)
    result = earlier or _draft(plan)
    beside = path.with_suffix("")
    beside.mkdir(parents=True, exist_ok=True)
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
    result.averages = [_average(plan, artifacts, result, path.parent)] if result.languages else []
    used = {step.environment for entry in result.languages.values() for step in entry.steps.values()}
    result.environments = {key: value for key, value in result.environments.items() if key in used}
    write_atomically(path, results.dump(result))
    return path


def _draft(plan: RecipePlan) -> Result:
    recipe = plan.recipe
    return Result(
        kind="measured",
        dataset=plan.dataset.name,
        split=plan.split,
        system=System(
            name=recipe.name,
            summary=recipe.summary,
            recipe=recipe.model_dump(mode="json", exclude_none=True),
            recipe_digest=recipe.digest,
            variant_of=recipe.name if plan.overrides else None,
            overrides=plan.overrides,
        ),
        evaluated=Evaluated(
            measures=list(recipe.evaluation.measures),
            depth=measures.DEPTH,
            tie_rule=TIE_RULE,
            denominator=DENOMINATOR,
            confidence=recipe.evaluation.confidence,
            resamples=recipe.evaluation.resamples,
            seed=recipe.seed,
            corpus_variant="full",
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
    environments: dict[str, dict],
) -> LanguageResult:
    lineage = evaluated.manifest["lineage"]
    steps = {}
    for name, entry in lineage.items():
        environment = key_of(entry["environment"])[:12]
        environments[environment] = entry["environment"]
        steps[name] = StepRecord(key=entry["key"], made_at=entry["made_at"], environment=environment, **entry["usage"])
    corpus, topics = lineage["corpus"]["facts"], lineage["topics"]["facts"]
    run = lineage[plan.by_language[lang].run.stage]["facts"]
    javas = [entry["facts"]["java"] for entry in lineage.values() if "java" in entry["facts"]]
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
            "java": javas[0] if javas else None,
            "search_depth": plan.recipe.search.depth,
        },
        negatives=_negatives(groups) if groups else None,
        steps=steps,
        files=files,
        command=command,
    )


def _negatives(groups: Artifact) -> dict[str, dict]:
    """Stage -> counts of the stages that made a language's training groups."""
    stages = ("pair", "mine", "judge", "generate", "top_up")
    lineage = groups.manifest["lineage"]
    return {stage: lineage[stage]["facts"] for stage in stages if stage in lineage}


def _average(plan: RecipePlan, artifacts: dict, result: Result, folder: Path) -> Average:
    """The average over all languages in the file: this run's, or computed from the topic files kept beside it."""
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
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    return File(path=f"{target.parent.name}/{target.name}", bytes=source.stat().st_size, sha256=digest)
