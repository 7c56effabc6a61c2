"""Retrieval tasks for mteb: its own tasks by name, and a data set of mdrbench as a task.

A passage whose docid equals the qid is kept, because MIRACL has such positives.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mdrbench.commands.mteb import results as mteb_results
from mdrbench.core import extras
from mdrbench.core.errors import SetupError, UsageError
from mdrbench.core.languages import parse_langs
from mdrbench.core.store import Store, key_of
from mdrbench.data.access import at_hand, check_searchable, open_dataset
from mdrbench.data.checks import check_corpus, check_topics
from mdrbench.data.docid_table import DocidTable
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats.trec import read_qrels, read_topics


def load_mteb() -> Any:
    """Import mteb, without the progress bars of its data sets.

    Raises:
        SetupError: mteb cannot be imported.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import datasets
        import mteb
    except ImportError as error:
        raise SetupError(f"mteb cannot be imported: {error}", mend=f"run `{extras.command('mteb')}`") from None
    datasets.disable_progress_bars()
    return mteb


def tasks_for(tasks: str | None, data: str | None, langs: str | None, split: str | None, store: Store) -> list[Any]:
    """Return the tasks of a command line: tasks of mteb by name, or a data set.

    Raises:
        UsageError: both or neither are given, or a task, split or language does not exist.
    """
    if bool(tasks) == bool(data):
        raise UsageError("Give either --tasks or --data.", mend="add --tasks MIRACLRetrieval, or --data sample")
    if tasks:
        return hub_tasks(list(dict.fromkeys(tasks.replace(",", " ").split())), langs, split)
    dataset = open_dataset(data or "")
    check_searchable(dataset)
    return [folder_task(dataset, at_hand(dataset, langs, split or "dev"), split or "dev", store)]


def hub_tasks(names: list[str], langs: str | None, split: str | None) -> list[Any]:
    """Return retrieval tasks of mteb, cut to languages (default: all of a task) and a split (default: its own)."""
    mteb = load_mteb()
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    tasks = []
    for name in names:
        try:
            task = mteb.get_task(name)
        except KeyError as error:
            near = re.search("Did you mean.*", str(error.args[0]))
            mend = near[0] if near else "`mteb available-tasks` lists the tasks"
            raise UsageError(f"mteb has no task '{name}'.", mend=mend) from None
        if not isinstance(task, AbsTaskRetrieval) or task.metadata.modalities != ["text"]:
            raise UsageError(
                f"{name} is not a text retrieval task of mteb.", mend="give a task such as MIRACLRetrieval"
            )
        if split and split not in task.metadata.eval_splits:
            raise UsageError(
                f"{name} has no split '{split}'.", mend=f"choose from {', '.join(task.metadata.eval_splits)}"
            )
        if split:
            task.filter_eval_splits([split])
        if langs:
            task.filter_languages(None, hf_subsets=_subsets(task, langs))
        tasks.append(task)
    return tasks


def _subsets(task: Any, langs: str) -> list[str]:
    """Return the subsets of a task that are in the languages of ``--langs``."""
    codes = {iso: code for code, iso in mteb_results.ISO_639_3.items()}
    languages_of = {
        subset: {codes.get(script.split("-")[0]) for script in scripts}
        for subset, scripts in task.metadata.hf_subsets_to_langscripts.items()
    }
    chosen = set(
        parse_langs(
            langs, [code for code in codes.values() if any(code in languages for languages in languages_of.values())]
        )
    )
    return [subset for subset, languages in languages_of.items() if languages & chosen]


def folder_task(dataset: MiraclFolder, languages: list[str], split: str, store: Store) -> Any:
    """Return a data set as a retrieval task of mteb: a subset for each language, read when mteb asks for it."""
    load_mteb()
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    sources = {
        lang: [*dataset.corpus_files(lang), dataset.topics_file(lang, split), dataset.qrels_file(lang, split)]
        for lang in languages
    }
    hashes = store.hash_files([path for paths in sources.values() for path in paths])
    files = {lang: {path.name: hashes[path] for path in paths} for lang, paths in sources.items()}

    class FolderTask(AbsTaskRetrieval):
        ignore_identical_ids = False
        metadata = TaskMetadata(
            name=mteb_results.task_name(dataset.name),
            description=f"{dataset.name}, read from a folder in MIRACL's layout.",
            dataset={"path": f"mdrbench/{dataset.name}", "revision": mteb_results.data_revision({split: files})},
            type="Retrieval",
            category="t2t",
            eval_splits=[split],
            eval_langs={lang: [mteb_results.langscript(lang)] for lang in languages},
            main_score="ndcg_at_10",
        )

        def load_data(self, *_: Any, **__: Any) -> None:
            self.dataset: Any = Languages(dataset, languages, split)
            self.data_loaded = True

        def unload_data(self) -> None:
            self.dataset.close()
            super().unload_data()

    return FolderTask()


class Languages(Mapping[str, dict[str, Any]]):
    """language -> split -> corpus, queries and judgments for mteb. Only the last language is on disk."""

    def __init__(self, dataset: MiraclFolder, languages: list[str], split: str):
        self.dataset = dataset
        self.languages = languages
        self.split = split
        self._held: tuple[str, tempfile.TemporaryDirectory[str], dict[str, Any]] | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self.languages)

    def __len__(self) -> int:
        return len(self.languages)

    def __contains__(self, lang: object) -> bool:
        return lang in self.languages

    def __getitem__(self, lang: str) -> dict[str, Any]:
        if lang not in self.languages:
            raise KeyError(lang)
        if self._held is None or self._held[0] != lang:
            self.close()
            folder = tempfile.TemporaryDirectory(prefix="mdrbench-mteb-")
            self._held = (lang, folder, {})
            self._held[2].update(self._load(lang, Path(folder.name)))
        return {self.split: self._held[2]}

    def close(self) -> None:
        """Delete the language that is on disk."""
        if self._held:
            self._held[1].cleanup()
            self._held = None

    def _load(self, lang: str, work: Path) -> dict[str, Any]:
        """Read a language and check it as a run does: judgments must name existing topics and passages."""
        from datasets import Dataset, Features, Value

        report = check_corpus(self.dataset, lang, work / "docids")
        check_topics(self.dataset, lang, self.split, DocidTable.lookup(work / "docids"))

        def rows() -> Iterator[dict[str, str]]:
            for passage in self.dataset.passages(lang, report.duplicates):
                yield {"id": passage.docid, "title": passage.title, "text": passage.text}

        columns = Features({name: Value("string") for name in ("id", "title", "text")})
        corpus = Dataset.from_generator(rows, features=columns, cache_dir=str(work), fingerprint=key_of(str(work))[:16])
        topics = read_topics(self.dataset.topics_file(lang, self.split))
        qrels = read_qrels(self.dataset.qrels_file(lang, self.split))
        judged = {qid: text for qid, text in topics.items() if qid in qrels}
        queries = Dataset.from_dict({"id": list(judged), "text": list(judged.values())})
        return {"corpus": corpus, "queries": queries, "relevant_docs": qrels, "top_ranked": None}
