"""A folder in MIRACL's layout, read as a stream and checked line by line.

::

    miracl/miracl-v1.0-LANG/topics/topics.miracl-v1.0-LANG-SPLIT.tsv    qid<TAB>query
    miracl/miracl-v1.0-LANG/qrels/qrels.miracl-v1.0-LANG-SPLIT.tsv      qid<TAB>Q0<TAB>docid<TAB>grade
    miracl-corpus/miracl-corpus-v1.0-LANG/docs-N.jsonl[.gz]             {"docid", "title", "text"} a line

Memory stays bounded whatever the corpus: passages are never held together, and repeated docids are found through a
sorted table of 64-bit hashes on disk (:mod:`mdrbench.data.docid_table`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.languages import CODE, in_order
from mdrbench.core.types import Passage
from mdrbench.data.paths import corpus_folder, split_file, topics_folder
from mdrbench.formats import jsonl
from mdrbench.formats.trec import check_id, count, placed_lines

SHARD_BITS = 40
"""A place is the number of a shard, and in the lower 40 bits the byte of the uncompressed shard (1 TB at the most)."""


def place(shard: int, begin: int) -> int:
    """Return the place of the line that begins at this byte of a shard."""
    return shard << SHARD_BITS | begin


@dataclass(frozen=True)
class MiraclFolder:
    """One data set: a name for result paths and the folder that holds it."""

    name: str
    root: Path

    def languages(self) -> list[str]:
        """Return the languages for which there is a corpus folder, in the order of every table.

        Raises:
            DataError: there is none (the mend names the right folder if one is near), or a corpus folder is not named
                after a language.
        """
        folders = [path for path in self.root.glob(corpus_folder("*")) if path.is_dir()]
        codes = {path.name.removeprefix(Path(corpus_folder("")).name): path for path in folders}
        for code, path in codes.items():
            if not CODE.fullmatch(code):
                mend = "rename it after a code such as de or pt-br, in lower case, or move it away"
                raise DataError(f"'{code}' is not a language code", where=str(path), mend=mend)
        if langs := in_order(codes):
            return langs
        raise DataError("holds no corpus in MIRACL's layout", where=str(self.root), mend=self._where_the_layout_is())

    def _where_the_layout_is(self) -> str:
        """Return what to do about a folder without a corpus: often the right folder is a level up or down."""
        around = (self.root.parent, *sorted(path for path in self.root.glob("*") if path.is_dir()))
        for folder in around:
            if (folder / "miracl-corpus").is_dir():
                return f"give the folder that holds miracl/ and miracl-corpus/: --data {folder}"
        return "give the folder that holds miracl/ and miracl-corpus/ (see docs/data.md)"

    @property
    def corpus_variant(self) -> str:
        """``full``, or the name of the pool that the corpora were cut to; results of different ones are never ranked
        together. A folder's ``dataset.json`` says which it is."""
        from mdrbench.data.record import read_record

        record = read_record(self.root)
        return record.corpus_variant if record else "full"

    @property
    def repair(self) -> str:
        """What to do about a file that is missing or damaged: a user's own data cannot be fetched again."""
        return "write the corpus again"

    def splits_of(self, lang: str) -> list[str]:
        """Return the splits that have topics and qrels, in alphabetical order."""
        prefix = f"topics.miracl-v1.0-{lang}-"
        topics = (self.root / topics_folder(lang) / "topics").glob(f"{prefix}*.tsv")
        return [
            split for split in sorted(path.stem.removeprefix(prefix) for path in topics) if self.has_split(lang, split)
        ]

    def has_split(self, lang: str, split: str) -> bool:
        """Tell whether there are topics and qrels of a split."""
        paths = (self.root / split_file(kind, lang, split) for kind in ("topics", "qrels"))
        return all(path.exists() for path in paths)

    def card(self) -> str:
        """Return the data card, as Markdown: the folder's ``README.md``.

        Raises:
            DataError: there is none.
        """
        path = self.root / "README.md"
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            mend = "write one: sources, licences, how topics and judgments were made, known limits"
            raise DataError(f"The data set '{self.name}' has no data card.", where=str(path), mend=mend) from None

    def _corpus_dir(self, lang: str) -> Path:
        return self.root / corpus_folder(lang)

    def corpus_files(self, lang: str) -> list[Path]:
        """List the shards of a corpus in numeric order.

        Raises:
            DataError: no shard, a gap in their numbers, a number that occurs twice, or a shard that is not a file.
        """
        folder = self._corpus_dir(lang)
        shards: dict[int, Path] = {}
        for path in sorted(folder.glob("docs-*.jsonl*")):
            match = re.fullmatch(r"docs-([0-9]+)\.jsonl(\.gz)?", path.name)
            if match:
                number = int(match[1])
                if number in shards:
                    raise DataError(f"shard {number} occurs twice", where=str(path), mend="remove one of the files")
                shards[number] = _regular(path, "shard")
        if not shards:
            raise DataError("no corpus shard", where=f"{folder}/docs-0.jsonl.gz", mend=self.repair)
        numbers = sorted(shards)
        for expected, number in enumerate(numbers):
            if number != expected:
                raise DataError(
                    f"corpus shard {expected} is missing, but shard {number} is there",
                    where=str(shards[number]),
                    mend=f"number the shards 0, 1, ... without gaps, or {self.repair}",
                )
        return [shards[number] for number in numbers]

    def topics_file(self, lang: str, split: str) -> Path:
        """Return the topics file of a split; a DataError if it is missing."""
        return self._split_file("topics", lang, split)

    def qrels_file(self, lang: str, split: str) -> Path:
        """Return the qrels file of a split; a DataError if it is missing."""
        return self._split_file("qrels", lang, split)

    def _split_file(self, kind: str, lang: str, split: str) -> Path:
        path = self.root / split_file(kind, lang, split)
        if not path.exists() and not path.is_symlink():
            raise DataError(
                f"no {kind} for language '{lang}', split '{split}'",
                where=str(path),
                mend=self._other_splits(lang, split),
            )
        return _regular(path, f"{kind} file")

    def _other_splits(self, lang: str, split: str) -> str:
        """Return what to do about a missing split."""
        splits = ", ".join(self.splits_of(lang))
        if split == "train":
            there = f"'{lang}' has {splits}; " if splits else ""
            return f"{there}add train topics and qrels of '{lang}', or give a recipe that does not train"
        return f"'{lang}' has {splits}; choose with --split" if splits else f"leave '{lang}' out of --langs"

    def numbered_passages(
        self, lang: str, warnings: Counter[str] | None = None, progress: Callable[[int, int], None] = lambda *_: None
    ) -> Iterator[tuple[Path, int, Passage]]:
        """Yield every passage of a corpus with its file and line, repeated docids included.

        Args:
            progress: called with the bytes that were read, and the bytes of all shards.
        """
        for _, path, number, passage in self.placed_passages(lang, warnings, progress):
            yield path, number, passage

    def placed_passages(
        self, lang: str, warnings: Counter[str] | None = None, progress: Callable[[int, int], None] = lambda *_: None
    ) -> Iterator[tuple[int, Path, int, Passage]]:
        """As :meth:`numbered_passages`, with the place of each passage first (:mod:`mdrbench.data.passage_places`)."""
        paths = self.corpus_files(lang)
        before, total = 0, sum(path.stat().st_size for path in paths)

        def read(of_shard: int) -> None:
            progress(before + of_shard, total)

        for shard, path in enumerate(paths):
            for number, begin, line in placed_lines(path, warnings, read):
                if not line.strip():
                    count(warnings, "blank corpus line ignored")
                    continue
                yield place(shard, begin), path, number, parse_passage(line, f"{path}:{number}")
            before += path.stat().st_size
            read(0)

    def passages(self, lang: str, duplicates: Iterable[str] = ()) -> Iterator[Passage]:
        """Yield every passage once: of the docids in ``duplicates`` only the first occurrence."""
        repeated, seen = set(duplicates), set()
        for _, _, passage in self.numbered_passages(lang):
            if passage.docid in repeated:
                if passage.docid in seen:
                    continue
                seen.add(passage.docid)
            yield passage


def _regular(path: Path, kind: str) -> Path:
    """Return the path of a regular file; a DataError for a folder, a pipe or a link that leads nowhere."""
    if not path.is_file():
        raise DataError(f"the {kind} is not a regular file", where=str(path), mend="put the file itself there")
    return path


def parse_passage(line: str, where: str) -> Passage:
    """Read one corpus line; ``title`` may be missing, null or empty, docid and text must be strings."""
    mend = "keys: docid, title, text"
    record = jsonl.parse(line, where)
    docid, title, text = record.get("docid"), record.get("title") or "", record.get("text")
    if not isinstance(docid, str) or not isinstance(text, str) or not isinstance(title, str):
        values = {"docid": docid, "text": text, "title": title}
        key = next(key for key, value in values.items() if not isinstance(value, str))
        raise DataError(f"'{key}' is missing or not a string", where=where, mend=mend)
    check_id("docid", docid, where)
    return Passage(docid, title, text)
