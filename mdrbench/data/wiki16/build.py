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
from mdrbench.data.wiki16.content import ContentFile, content_of
from mdrbench.data.wiki16.language import BuiltLanguage, build_language
from mdrbench.data.wiki16.passages import Corpus
from mdrbench.data.wiki16.queries import Query
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
            _move_into_place(work, root, files)
    return next(file.lines for file in files if file.kind == "corpus")


def write_language(built: BuiltLanguage, root: Path) -> None:
    """Write a built language below a folder: corpus, topics, qrels, provenance, counts."""
    corpus = built.corpus
    docids = sorted(corpus.passages, key=docid_order)
    _write(root / f"miracl-corpus/miracl-corpus-v1.0-{corpus.lang}/docs-0.jsonl", corpus_lines(corpus, docids))
    for split, queries in built.splits.items():
        for kind, lines in (("topics", topic_lines(queries)), ("qrels", qrel_lines(queries))):
            name = f"{kind}.miracl-v1.0-{corpus.lang}-{split}.tsv"
            _write(root / f"miracl/miracl-v1.0-{corpus.lang}" / kind / name, lines)
    _write(root / f"provenance/{corpus.lang}.tsv", provenance_lines(corpus, docids))
    counts = {name: number for name, number in sorted(corpus.counts.items()) if number}
    _write(root / f"counts/{corpus.lang}.json", [json.dumps(counts, indent=1) + "\n"])


def corpus_lines(corpus: Corpus, docids: list[str]) -> Iterable[str]:
    """Yield a JSON record with docid, title and text for each passage."""
    for docid in docids:
        passage = Passage(docid, corpus.passages[docid].title, corpus.passages[docid].text)
        yield json.dumps(passage._asdict(), ensure_ascii=False) + "\n"


def topic_lines(queries: list[Query]) -> Iterable[str]:
    """Yield the lines of a topics file."""
    return (f"{query.qid}\t{query.text}\n" for query in queries)


def qrel_lines(queries: list[Query]) -> Iterable[str]:
    """Yield the lines of a qrels file."""
    return (f"{query.qid}\tQ0\t{docid}\t{grade}\n" for query in queries for docid, grade in positives_first(query))


def provenance_lines(corpus: Corpus, docids: list[str]) -> Iterable[str]:
    """Yield docid, source and group number for each passage; groups are numbered as they come."""
    numbers: dict[str, int] = {}
    for docid in docids:
        number = numbers.setdefault(corpus.article_group(docid), len(numbers))
        yield f"{docid}\t{corpus.passages[docid].source}\t{number}\n"


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def _check(work: Path, files: list[ContentFile]) -> None:
    for file in files:
        if problem := file.problem(work):
            raise StepError(
                f"The built file is not the one of wiki16: {problem}.",
                where=str(work / file.path),
                mend="run `mdrbench data verify --data wiki16`; if the source files are right, report this as a bug",
            )


def _move_into_place(work: Path, root: Path, files: list[ContentFile]) -> None:
    """Rename a language's folders into place; whatever was there before is replaced."""
    lang = work.name
    for extra in (f"provenance/{lang}.tsv", f"counts/{lang}.json"):
        (root / extra).parent.mkdir(exist_ok=True)
        os.replace(work / extra, root / extra)
    for folder in sorted({file.folder for file in files}):  # miracl/ before miracl-corpus/
        target = root / folder
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        os.rename(work / folder, target)
    shutil.rmtree(work)
