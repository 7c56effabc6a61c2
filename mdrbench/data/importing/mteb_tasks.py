"""Retrieval tasks of mteb.

mteb's own code loads them, so a task that transforms its data is read as mteb evaluates it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from mdrbench.core import extras
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.languages import LANGUAGES, OTHERS, SURPRISE, in_order
from mdrbench.core.types import Passage
from mdrbench.data import tables
from mdrbench.data.importing.origin import Import, Origin, chosen, only_language, split_name
from mdrbench.data.writing import Judgment, LanguageData, SplitData


def read(name: str, langs: list[str]) -> Import:
    """Return the collection of a task, with the splits that mteb evaluates.

    A language is a subset whose topics and passages are both in it. mteb keeps downloads in the cache of the hub
    (``HF_HOME``). One language at a time is loaded, when it is written.

    Raises:
        UsageError: mteb has no such task, it does not retrieve texts, it lacks a language, or its topics and passages
            are in different languages.
        SetupError: mteb is not installed.
    """
    metadata = _task(name).metadata
    if metadata.type != "Retrieval" or list(metadata.modalities) != ["text"]:
        raise UsageError(f"The task '{name}' does not retrieve texts.", mend="give a task such as MIRACLRetrieval")
    subsets = _subsets(metadata, langs)
    repository, revision = metadata.dataset["path"], metadata.dataset["revision"]
    origin = Origin("mteb", f"{name} ({repository})", revision, metadata.license or "")
    return Import(origin, ((lang, _load(name, subset)) for lang, subset in subsets.items()))


def _task(name: str) -> Any:
    try:
        import datasets
        import mteb
    except ImportError:
        raise SetupError("This import needs mteb.", mend=f"run `{extras.command('mteb')}`") from None
    datasets.disable_progress_bars()
    try:
        return mteb.get_task(name)
    except KeyError as error:
        near = re.search("Did you mean.*", str(error.args[0]))
        mend = near[0] if near else "`mteb available-tasks` lists the tasks"
        raise UsageError(f"mteb has no task '{name}'.", mend=mend) from None


def _subsets(metadata: Any, langs: list[str]) -> dict[str, str]:
    """Return language -> subset of the task, for the languages to import."""
    if not metadata.is_multilingual:
        return {only_language(langs, metadata.name): "default"}
    from mteb.languages import ISO_TO_LANGUAGE

    subsets = by_language(metadata.hf_subsets_to_langscripts, ISO_TO_LANGUAGE)
    if not subsets:
        mend = "give a task with topics and passages in one language"
        raise UsageError(f"{metadata.name} has topics and passages in different languages.", mend=mend)
    return {lang: subsets[lang] for lang in chosen(langs, in_order(subsets), metadata.name)}


def by_language(scripts_of: dict[str, list[str]], names: dict[str, str]) -> dict[str, str]:
    """Return our code of a language -> subset, for subsets with one language.

    A second subset of a language gets its script as part of the code (``zh-hant``).

    Args:
        scripts_of: subset -> languages as mteb writes them (``deu-Latn``).
        names: ISO 639-3 code -> English name; a language that mdrbench does not know keeps its code.
    """
    codes = {language.name: code for code, language in (LANGUAGES | SURPRISE | OTHERS).items()}
    subsets: dict[str, str] = {}
    for subset, scripts in scripts_of.items():
        if len(set(scripts)) == 1:
            iso, _, script = scripts[0].partition("-")
            code = codes.get(names.get(iso, "").partition(" (")[0], iso)
            subsets.setdefault(code if code not in subsets else f"{code}-{script.lower()}", subset)
    return subsets


def _load(name: str, subset: str) -> LanguageData:
    """Load one subset of a task.

    Raises:
        DataError: mteb cannot load it.
    """
    task = _task(name)
    if task.metadata.is_multilingual:
        task.filter_languages(None, hf_subsets=[subset])
    try:
        task.load_data()
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    except (OSError, ValueError, RuntimeError) as error:
        mend = "check the network and HF_ENDPOINT; a closed repository needs HF_TOKEN"
        raise DataError(f"mteb cannot load {name}: {error}", where=subset, mend=mend) from None
    loaded = {split_name(split): data for split, data in task.dataset[subset].items()}
    splits = {
        split: SplitData(tables.topics(_rows(f"{name} {subset} queries", data["queries"])), _judgments(data))
        for split, data in loaded.items()
    }
    corpora = [data["corpus"] for data in loaded.values()]
    return LanguageData(_passages(f"{name} {subset} corpus", corpora), splits)


def _rows(where: str, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((f"{where}, row {number}", row) for number, row in enumerate(rows, start=1))


def _judgments(data: dict[str, Any]) -> Iterator[Judgment]:
    for qid, judged in data["relevant_docs"].items():
        for docid, grade in judged.items():
            yield str(qid), str(docid), int(grade)


def _passages(where: str, corpora: list[Any]) -> Iterator[Passage]:
    """Yield the passages of the splits' corpora; a passage that several of them hold is yielded once."""
    seen: set[Passage] = set()
    for corpus in corpora:
        for passage in tables.passages(_rows(where, corpus)):
            if len(corpora) == 1 or passage not in seen:
                yield passage
            if len(corpora) > 1:
                seen.add(passage)
