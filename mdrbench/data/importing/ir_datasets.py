"""Data sets of the package ``ir_datasets``, such as ``mr-tydi/fi`` or ``neuclir/1/fa/hc4-filtered``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mdrbench.core.environment import package_version
from mdrbench.core.errors import SetupError, UsageError
from mdrbench.core.types import Passage
from mdrbench.data.importing.origin import Import, Origin, only_language, split_name
from mdrbench.data.writing import Judgment, LanguageData, SplitData


def read(name: str, langs: list[str]) -> Import:
    """Return the collection of a data set and of its parts that have judgments (``mr-tydi/fi/dev``), one a split.

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
    parts = _judged_parts(library, name, whole)
    if not parts:
        raise UsageError(f"'{name}' of ir_datasets has no topics with judgments.", mend="give another part of it")
    data = LanguageData(_passages(whole), {split: SplitData(_topics(part), _judgments(part)) for split, part in parts})
    origin = Origin("ir_datasets", name, f"ir_datasets {package_version('ir_datasets')}")
    return Import(origin, iter([(lang, data)]))


def _library() -> Any:
    try:
        import ir_datasets
    except ImportError:
        raise SetupError("This import needs ir_datasets.", mend="run `pip install ir-datasets`") from None
    return ir_datasets


def _judged_parts(library: Any, name: str, whole: Any) -> list[tuple[str, Any]]:
    """Return split and part for each part of a data set that has topics and judgments."""
    named = {name: whole}
    for other in library.registry:
        if str(other).startswith(f"{name}/"):
            named[str(other)] = library.load(other)
    judged = {other: part for other, part in named.items() if part.has_queries() and part.has_qrels()}
    return [(split_name(other.rsplit("/", 1)[-1]) if other != name else "dev", part) for other, part in judged.items()]


def _passages(dataset: Any) -> Iterator[Passage]:
    for doc in dataset.docs_iter():
        text = doc.text if hasattr(doc, "text") else doc.default_text()
        yield Passage(str(doc.doc_id), getattr(doc, "title", "") or "", text)


def _topics(dataset: Any) -> Iterator[tuple[str, str]]:
    for query in dataset.queries_iter():
        yield str(query.query_id), query.text if hasattr(query, "text") else query.default_text()


def _judgments(dataset: Any) -> Iterator[Judgment]:
    for qrel in dataset.qrels_iter():
        yield str(qrel.query_id), str(qrel.doc_id), int(qrel.relevance)
