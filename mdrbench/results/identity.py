"""Which data a result was measured on, by content: two collections whose folders share a name are two data sets.

Results in one folder are ranked together, so all of them must be of the same passages, topics and judgments. A result
of other content is never joined, replaced or placed beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench import results
from mdrbench.core.atomic_files import clear_leftovers
from mdrbench.core.environment import PACKAGES
from mdrbench.core.errors import DataError
from mdrbench.core.locks import file_lock
from mdrbench.core.store import stat_mark
from mdrbench.results import DatasetRecord

ELSEWHERE = (
    "if they are two collections, rename the folder of one or write elsewhere with --results DIR; if the data were "
    "corrected, remove the results of the old data"
)


class Content(NamedTuple):
    """The data of one language: the corpus' fingerprint (None: not known yet) and SHA-256 of the split's files."""

    fingerprint: str | None
    files: Mapping[str, str]

    def unlike(self, other: Content) -> str | None:
        """Return what differs from another content, None if nothing that is known does."""
        if self.fingerprint and other.fingerprint and self.fingerprint != other.fingerprint:
            return "the passages"
        differing = [name for name in self.files if other.files.get(name, self.files[name]) != self.files[name]]
        return differing[0] if differing else None


def content_of(data: DatasetRecord) -> Content:
    """Return the content that a result recorded. Corpus files are left out: they may be packed in another way."""
    return Content(data.fingerprint, judged_files(data.files))


def judged_files(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files of topics and qrels among the files that a language was measured on."""
    return {name: sha256 for name, sha256 in files.items() if name.startswith(("topics.", "qrels."))}


@lru_cache(maxsize=4096)
def _contents(path: Path, mark: str) -> tuple[str, dict[str, Content]]:
    """Return the split and the contents by language of a result file, read again only if the file changed.

    A file that cannot be read has no contents: it is not ranked either, and ``report`` and ``verify`` name it.
    """
    try:
        result = results.read(path)
    except DataError:
        return "", {}
    return result.split, {lang: content_of(one.dataset) for lang, one in result.languages.items() if one.dataset}


def refuse_other_content(
    root: Path, dataset: str, split: str, contents: Mapping[str, Content], replaced: Path | None = None
) -> None:
    """Raise a DataError if a result of the same data set and split was measured on other data.

    Args:
        root: the results folder.
        contents: the data of each language that is to be written.
        replaced: a result file that is replaced on request, so its data do not matter.
    """
    for path in results.files(root):
        if path.relative_to(root).parts[0] != dataset or path == replaced:
            continue
        other_split, others = _contents(path, stat_mark(path))
        for lang, content in contents.items():
            if other_split == split and lang in others and (what := content.unlike(others[lang])):
                raise DataError(
                    f"was measured on other data that are called '{dataset}' too: {what} of '{lang}' differ",
                    where=str(path),
                    mend=ELSEWHERE,
                )


def software(conventions: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the versions in the conventions of a language: of packages, models and members of families."""
    found: dict[str, Any] = {}
    for name, value in conventions.items():
        if isinstance(value, Mapping):
            found |= software(value, f"{prefix}{name}.")
        elif name in PACKAGES or name == "anserini" or name.endswith(("version", "revision")):
            found[prefix + name] = value
    return found


@contextmanager
def writing(root: Path, dataset: str) -> Iterator[None]:
    """Hold the lock under which the results of a data set are read, completed and written."""
    folder = root / dataset
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / ".lock", temporary=True):
        for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            clear_leftovers(place)
        yield
