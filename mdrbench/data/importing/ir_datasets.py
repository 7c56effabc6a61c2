"""Data sets of the package ``ir_datasets``, such as ``mr-tydi/fi`` or ``neuclir/1/fa``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from mdrbench.core.console import say
from mdrbench.core.environment import package_version
from mdrbench.core.errors import SetupError, UsageError
from mdrbench.core.types import Passage
from mdrbench.data.importing.origin import Import, Origin, only_language, split_name
from mdrbench.data.writing import Judgment, LanguageData, SplitData

SPLITS = ("train", "dev", "test")

T = TypeVar("T")


def read(name: str, langs: list[str]) -> Import:
    """Return the collection of a data set and of its parts that have judgments (``mr-tydi/fi/dev``), one a split.

    Parts with other passages than the data set (``neuclir/1/fa/hc4-filtered``) are left out, and named. They can be
    imported by their own names.

    Raises:
        SetupError: ir_datasets is not installed.
        UsageError: there is no such data set, or it has no judgments, or not exactly one language was given.
    """
    lang = only_language(langs, name)
    library = _library()
    try:
        whole = library.load(name)
    except KeyError:
        mend = "see https://ir-datasets.com for names"
        raise UsageError(f"ir_datasets has no '{name}'.", mend=mend) from None
    if not whole.has_docs():
        raise UsageError(f"'{name}' of ir_datasets has no passages.", mend=f"give a part of it, such as {name}/{lang}")
    parts = _judged_parts(library, name, whole)
    if not parts:
        raise UsageError(f"'{name}' of ir_datasets has no topics with judgments.", mend="give another part of it")
    splits = {
        split: SplitData(_reading(name, _topics(part)), _reading(name, _judgments(part)))
        for split, part in parts.items()
    }
    origin = Origin("ir_datasets", name, f"ir_datasets {package_version('ir_datasets')}")
    return Import(origin, iter([(lang, LanguageData(_reading(name, _passages(whole)), splits))]))


def _library() -> Any:
    try:
        import ir_datasets
    except ImportError:
        raise SetupError("This import needs ir_datasets.", mend="run `pip install ir-datasets`") from None
    return ir_datasets


def _judged_parts(library: Any, name: str, whole: Any) -> dict[str, Any]:
    """Return split -> part, for each part of a data set that has topics, judgments and the data set's passages.

    A split is called after the part (``trec-2022``). The data set's own topics are those of its only part, or of the
    split that its name ends in (``mr-tydi/fi/test``), else of dev; a part called dev comes before them.
    """
    named = {str(other).removeprefix(f"{name}/"): str(other) for other in library.registry if _below(other, name)}
    parts = {split_name(rest.replace("/", "-")): library.load(other) for rest, other in named.items()}
    judged = {split: part for split, part in parts.items() if part.has_queries() and part.has_qrels()}
    for split in [split for split, part in judged.items() if part.docs_handler() is not whole.docs_handler()]:
        say(f"note: {name}/{split} has passages of its own and is left out")
        del judged[split]
    if whole.has_queries() and whole.has_qrels():
        own = split_name(name.rsplit("/", 1)[-1])
        judged.setdefault(own if own in SPLITS else "dev", whole)
    return judged


def _below(other: object, name: str) -> bool:
    return str(other).startswith(f"{name}/")


def _reading(name: str, rows: Iterator[T]) -> Iterator[T]:
    """Yield rows that ir_datasets reads, and downloads first if they are not on this machine."""
    try:
        yield from rows
    except (ImportError, OSError, RuntimeError) as error:
        mend = f"follow the instructions for '{name}' at https://ir-datasets.com, then run again"
        raise SetupError(f"ir_datasets cannot read '{name}': {error}", mend=mend) from None


def _passages(dataset: Any) -> Iterator[Passage]:
    for doc in dataset.docs_iter():
        text = doc.text if hasattr(doc, "text") else doc.default_text()
        yield Passage(str(doc.doc_id), getattr(doc, "title", "") or "", text)


def _topics(dataset: Any) -> Iterator[tuple[str, str]]:
    """Yield qid and query: the human translation into the passages' language if there is one (NeuCLIR)."""
    for query in dataset.queries_iter():
        translated = getattr(query, "ht_title", None)
        yield str(query.query_id), translated or (query.text if hasattr(query, "text") else query.default_text())


def _judgments(dataset: Any) -> Iterator[Judgment]:
    for qrel in dataset.qrels_iter():
        yield str(qrel.query_id), str(qrel.doc_id), int(qrel.relevance)
