"""Decide whether a run may join the result that is there: only what has the same recipe, data, versions and scoring."""

from __future__ import annotations

from pathlib import Path

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.store import default_root, hash_files
from mdrbench.data.downloads import DownloadedFolder
from mdrbench.pipeline.plan import RecipePlan
from mdrbench.results import Result
from mdrbench.results.identity import ELSEWHERE, Content, judged_files, refuse_other_content, software


def refuse_other_data(plan: RecipePlan, root: Path) -> None:
    """Raise a DataError if the results folder holds results of other data under the data set's name."""
    contents = {}
    for lang, planned in plan.by_language.items():
        sources = {Path(path).name: sha256 for step in planned.steps for path, sha256 in step.sources.items()}
        contents[lang] = Content(None, judged_files(sources))
    refuse_other_content(root, plan.dataset.name, plan.split, contents)


def joined(plan: RecipePlan, path: Path, earlier: Result, draft: Result) -> Result | None:
    """Return the earlier result if this run completes it, None if this run replaces it.

    Raises:
        UsageError: it is of another recipe, version or scoring, and has languages that this run would drop.
        DataError: it has languages whose data are not those of this data set.
    """
    kept = [lang for lang in earlier.languages if lang not in plan.languages]
    why = _unlike(plan, earlier, draft, kept)
    if why and kept:
        raise UsageError(
            f"{path} holds {len(earlier.languages)} languages {why}; this run would drop {', '.join(kept)}",
            mend="run all its languages, remove the file, or write elsewhere with --results DIR",
        )
    if why:
        return None
    _refuse_other_collection(plan, path, earlier, kept)
    return earlier


def _unlike(plan: RecipePlan, earlier: Result, draft: Result, kept: list[str]) -> str | None:
    """Return in what the earlier result differs, None if this run may join it."""
    if not earlier.sealed:
        return "without a seal (`mdrbench seal` adds one)"
    if earlier.system.recipe_digest != draft.system.recipe_digest:
        return f"of another version of '{plan.recipe.name}'"
    if earlier.evaluated != draft.evaluated:
        return "that were scored in another way"
    planned = next(iter(plan.by_language.values())).run.params.get("conventions", {})
    versions = software(planned)
    for lang in kept:
        for name, version in software(earlier.languages[lang].conventions).items():
            if versions.get(name, version) != version:
                return f"that were made with {name} {version} ({versions[name]} is used now)"
    return None


def _refuse_other_collection(plan: RecipePlan, path: Path, earlier: Result, kept: list[str]) -> None:
    """Compare the data of languages that the run keeps with the data set's files, unless it is a published one."""
    if isinstance(plan.dataset, DownloadedFolder):
        return
    present = set(plan.dataset.languages())
    for lang in kept:
        if lang not in present:
            raise DataError(
                f"holds '{lang}', which {plan.dataset.root} lacks: it may be of another collection called "
                f"'{plan.dataset.name}'",
                where=str(path),
                mend="put all languages into one folder, or write elsewhere with --results DIR",
            )
        recorded = earlier.languages[lang].dataset
        files = plan.dataset.corpus_files(lang)
        files += [plan.dataset.topics_file(lang, plan.split), plan.dataset.qrels_file(lang, plan.split)]
        found = hash_files([file for file in files if file.is_file()], default_root() / "file-hashes.json")
        for file, sha256 in found.items():
            if recorded and recorded.files.get(file.name, sha256) != sha256:
                raise DataError(f"was measured on another {file.name} of '{lang}'", where=str(path), mend=ELSEWHERE)
