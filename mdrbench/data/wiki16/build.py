"""Build languages of wiki16 on disk.

::

    ROOT/miracl, ROOT/miracl-corpus      finished languages, in MIRACL's layout
    ROOT/provenance/LANG.tsv             docid, source, and number of the group of articles that share a split
    ROOT/counts/LANG.json                how many passages and questions each rule of the builder affected
    ROOT/unfinished/LANG/                a language that is being built; never read

A language is written into ``unfinished``, its files are compared with the pinned SHA-256, and then its folders are
renamed into place, the corpus last. A killed build leaves nothing that looks finished.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from mdrbench.core.errors import StepError
from mdrbench.core.locks import file_lock
from mdrbench.core.types import Passage
from mdrbench.data import writing
from mdrbench.data.wiki16.content import ContentFile, content_of
from mdrbench.data.wiki16.language import BuiltLanguage, build_language
from mdrbench.data.wiki16.passages import Corpus
from mdrbench.data.wiki16.splits import positives_first
from mdrbench.data.wiki16.text import docid_order


def build_on_disk(root: Path, sources: Path, lang: str) -> int:
    """Build a language unless it is there; return how many passages it has.

    Args:
        root: the data set's folder.
        sources: the folder of source files.
        lang: the language.

    Raises:
        DataError: a source file is missing.
        StepError: the built files have another content than they have on every other machine.
    """
    files = content_of([lang])
    work = root / "unfinished" / lang
    work.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(work.with_suffix(".lock")):
        if not all(file.is_in(root) for file in files):
            shutil.rmtree(work, ignore_errors=True)
            write_language(build_language(sources, lang), work)
            _check(work, files)
            _move_into_place(work, root)
    return next(file.lines for file in files if file.kind == "corpus")


def write_language(built: BuiltLanguage, root: Path) -> None:
    """Write a built language below a folder: corpus, topics, qrels, provenance, counts."""
    corpus, lang = built.corpus, built.corpus.lang
    docids = sorted(corpus.passages, key=docid_order)
    passages = (corpus.passages[docid] for docid in docids)
    writing.write_corpus(root, lang, (Passage(passage.docid, passage.title, passage.text) for passage in passages))
    for split, queries in built.splits.items():
        writing.write_topics(root, lang, split, ((query.qid, query.text) for query in queries))
        judgments = ((query.qid, docid, grade) for query in queries for docid, grade in positives_first(query))
        writing.write_qrels(root, lang, split, judgments)
    writing.write_lines(root / f"provenance/{lang}.tsv", provenance_lines(corpus, docids))
    counts = {name: number for name, number in sorted(corpus.counts.items()) if number}
    writing.write_lines(root / f"counts/{lang}.json", [json.dumps(counts, indent=1)])


def provenance_lines(corpus: Corpus, docids: list[str]) -> Iterable[str]:
    """Yield docid, source and group number for each passage; groups are numbered as they come."""
    numbers: dict[str, int] = {}
    for docid in docids:
        number = numbers.setdefault(corpus.article_group(docid), len(numbers))
        yield f"{docid}\t{corpus.passages[docid].source}\t{number}"


def _check(work: Path, files: list[ContentFile]) -> None:
    for file in files:
        if problem := file.problem(work):
            raise StepError(
                f"The built file is not the one of wiki16: {problem}.",
                where=str(work / file.path),
                mend="run `mdrbench data verify --data wiki16`; if the source files are right, report this as a bug",
            )


def _move_into_place(work: Path, root: Path) -> None:
    """Rename a language's files into place; whatever was there before is replaced."""
    for extra in (f"provenance/{work.name}.tsv", f"counts/{work.name}.json"):
        (root / extra).parent.mkdir(exist_ok=True)
        os.replace(work / extra, root / extra)
    writing.place_language(work, root, work.name)
    shutil.rmtree(work)
