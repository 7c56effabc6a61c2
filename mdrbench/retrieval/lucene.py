"""Facts about Lucene and Anserini: analyzers, live documents, and why an operation failed."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import SetupError, StepError
from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.core.store import default_root, stat_mark
from mdrbench.retrieval import java

WHITESPACE = "WhitespaceAnalyzer"

PRETOKENISED = ("sw", "yo")
"""Languages that are split at white space, without lower-casing, as in Pyserini's regressions."""

TABLE_FORMAT = 2
"""Format of the table of analyzers in the cache; format 2 holds every language of the engine."""

FALLBACK = "Unicode words, NFKC, lower case; pre-tokenised"
"""What is recorded for a language that the engine has no analyzer for."""

REMARKS = {
    "DefaultEnglishAnalyzer": "Porter, stop words",
    "JapaneseAnalyzer": "Kuromoji",
    "KoreanAnalyzer": "Nori",
}
"""What is worth knowing about an analyzer beside its class; shown in the result."""


def _directory(path: Path) -> Any:
    from jnius import autoclass

    return autoclass("org.apache.lucene.store.FSDirectory").open(autoclass("java.nio.file.Paths").get(str(path)))


def live_documents(index: Path) -> int:
    """Return the number of documents of a Lucene index that can be found; documents that Lucene lost do not count."""
    from jnius import autoclass

    reader = autoclass("org.apache.lucene.index.DirectoryReader").open(_directory(index))
    try:
        return int(reader.numDocs())
    finally:
        reader.close()


def join(parts: list[Path], out: Path) -> None:
    """Copy the segments of indexes into one index, and merge none."""
    from jnius import autoclass, cast

    with errors(out):
        settings = autoclass("org.apache.lucene.index.IndexWriterConfig")()
        settings.setMergePolicy(autoclass("org.apache.lucene.index.NoMergePolicy").INSTANCE)
        writer = autoclass("org.apache.lucene.index.IndexWriter")(_directory(out), settings)
        writer.addIndexes(*(cast("org.apache.lucene.store.Directory", _directory(path)) for path in parts))
        writer.close()


# -- errors of Lucene --------------------------------------------------------------------------------------------------


@contextmanager
def errors(index: Path) -> Iterator[None]:
    """Turn a Java exception into an error of ours; a full disk is a SetupError."""
    from jnius import JavaException

    try:
        yield
    except JavaException as error:
        text = " ".join(map(str, (error, *(getattr(error, "stacktrace", None) or ()))))
        if "No space left" in text or "Disk quota" in text:
            raise _full_disk(index) from None
        check_space(index)
        raise StepError(
            f"Lucene failed: {error}", where=str(index), mend="run the command again, or report this message"
        ) from error


SPACE_NEEDED = 4 << 20
"""Bytes that must be free on the disk of an index before a failure of Lucene is put down to something else."""


def check_space(index: Path) -> None:
    """Raise a SetupError if the disk is full: Lucene's background threads lose the reason of their failure."""
    if shutil.disk_usage(index).free < SPACE_NEEDED:
        raise _full_disk(index)


def _full_disk(index: Path) -> SetupError:
    return SetupError(
        "the disk is full while Lucene writes or reads the index",
        where=str(index),
        mend="free some space (`mdrbench cache gc`), or set MDRBENCH_CACHE to a folder on another disk",
    )


# -- analyzers ---------------------------------------------------------------------------------------------------------


def engine_language(lang: str) -> str | None:
    """Return the code under which the engine has an analyzer: the language's own, or that of ``zh`` for ``zh-tw``.

    None if there is neither; the texts are then split by :func:`unicode_words`.
    """
    table = analyzers()
    return next((code for code in (lang, lang.partition("-")[0]) if code in table), None)


def unicode_words(text: str) -> str:
    """Return the words of a text in lower case, a space between two: runs of letters, marks and digits (NFKC)."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_ONLY_WORDS)


class _OnlyWords(dict[int, int]):
    """Maps every character that belongs to no word to a space; filled as characters come."""

    def __missing__(self, code: int) -> int:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else ord(" ")
        return self[code]


_ONLY_WORDS = _OnlyWords()


def analyzer(lang: str) -> str:
    """Return the analyzer of a language as it is recorded: the class in the engine, and a remark where there is one."""
    code = engine_language(lang)
    if code is None:
        return FALLBACK
    name = analyzers()[code]
    return f"{name} ({REMARKS[name]})" if name in REMARKS else name


@cache
def analyzers() -> dict[str, str]:
    """Return language -> simple name of the analyzer's class, read from the installed Anserini.

    The table is kept in the cache (``analyzers.json``) together with the state of Anserini's jar, so that a plan does
    not start a JVM each time. Indexing and searching compare it with the analyzer that runs.
    """
    jar = java.anserini_jar()
    mark = f"{jar}:{stat_mark(jar)}"
    try:
        kept = json.loads(analyzer_file().read_text(encoding="utf-8"))
        if (kept["format"], kept["jar"]) == (TABLE_FORMAT, mark):
            return dict(kept["analyzers"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    table = _read_analyzers()
    with suppress(OSError):  # a cache that cannot be written costs the start of a JVM at the next plan
        write_atomically(
            analyzer_file(), json.dumps({"format": TABLE_FORMAT, "jar": mark, "analyzers": table}, indent=1) + "\n"
        )
    return table


def analyzer_file() -> Path:
    return default_root() / "analyzers.json"


def _read_analyzers() -> dict[str, str]:
    """Ask Anserini for all languages of its table; a language of MIRACL without an entry gets the English analyzer."""
    java.start()
    from jnius import autoclass

    chosen = autoclass("io.anserini.analysis.AnalyzerMap")
    default = class_name(autoclass("io.anserini.index.IndexCollection").DEFAULT_ANALYZER)
    listed = [str(code) for code in chosen.analyzerMap.keySet().toArray()]
    table = dict.fromkeys((*LANGUAGES, *SURPRISE, *sorted(listed)), default)
    for lang in table:
        if lang in PRETOKENISED:
            table[lang] = WHITESPACE
        elif chosen.analyzerMap.containsKey(lang):
            table[lang] = class_name(chosen.getLanguageSpecificAnalyzer(lang))
    return table


def class_name(java_object: Any) -> str:
    """Return the name of a Java object's class without its package."""
    return str(java_object.getClass().getName()).rsplit(".", 1)[-1]


def analyzer_of_indexer(indexer: Any) -> str:
    """Return the analyzer's class of an Anserini ``SimpleIndexer``, from its private field."""
    return class_name(indexer.analyzer)
