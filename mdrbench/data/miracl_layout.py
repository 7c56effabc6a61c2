"""A folder in MIRACL's layout, read as a stream and checked line by line.

::

    miracl/miracl-v1.0-LANG/topics/topics.miracl-v1.0-LANG-SPLIT.tsv    qid<TAB>query
    miracl/miracl-v1.0-LANG/qrels/qrels.miracl-v1.0-LANG-SPLIT.tsv      qid<TAB>Q0<TAB>docid<TAB>grade
    miracl-corpus/miracl-corpus-v1.0-LANG/docs-N.jsonl[.gz]             {"docid", "title", "text"} a line

Memory stays bounded whatever the corpus: passages are never held together, and repeated docids are found through a
sorted table of 64-bit hashes on disk (:class:`DocidTable`).
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING

from mdrbench.core.errors import DataError
from mdrbench.core.languages import CODE, in_order
from mdrbench.core.types import Passage, is_blank
from mdrbench.data.paths import corpus_folder, split_file, topics_folder
from mdrbench.formats import jsonl
from mdrbench.formats.trec import check_id, count, iter_qrels, lines, read_qrels, read_topics

if TYPE_CHECKING:
    import numpy as np

MAX_DUPLICATES = 10_000
"""The most repeated docids that are tolerated in one corpus; with more, the corpus counts as broken."""


@dataclass(frozen=True)
class MiraclFolder:
    """One data set: a name for result paths and the folder that holds it."""

    name: str
    root: Path

    def languages(self) -> list[str]:
        """Return the languages for which there is a corpus folder, in the order of every table.

        Raises:
            DataError: there is none; the mend names the right folder where one is near.
        """
        folders = self.root.glob(corpus_folder("*"))
        codes = [path.name.removeprefix(Path(corpus_folder("")).name) for path in folders if path.is_dir()]
        if langs := in_order(code for code in codes if CODE.fullmatch(code)):
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
        if split == "train":
            return f"add train topics and qrels of '{lang}', or give a recipe that does not train"
        splits = ", ".join(self.splits_of(lang))
        return f"'{lang}' has {splits}; choose with --split" if splits else f"leave '{lang}' out of --langs"

    def numbered_passages(self, lang: str, warnings: Counter[str] | None = None) -> Iterator[tuple[Path, int, Passage]]:
        """Yield every passage of a corpus with its file and line, repeated docids included."""
        for path in self.corpus_files(lang):
            for number, line in lines(path, warnings):
                if not line.strip():
                    count(warnings, "blank corpus line ignored")
                    continue
                yield path, number, parse_passage(line, f"{path}:{number}")

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


class DocidTable:
    """A sorted table of 64-bit docid hashes: built with memory of one partition, looked up from disk.

    Two docids share a hash with probability n^2 / 2^65 (3e-5 for 33 million passages), so repeated docids are
    confirmed on the corpus itself.
    """

    PARTITIONS = 256
    BUFFER = 4096  # hashes a partition keeps in memory

    def __init__(self, path: Path):
        self.path = path
        self._parts = [array("Q") for _ in range(self.PARTITIONS)]
        self._files = [path.with_name(f"{path.name}.{i}") for i in range(self.PARTITIONS)]

    @staticmethod
    def hash(docid: str) -> int:
        """Return the 64-bit BLAKE2b of a docid."""
        return int.from_bytes(blake2b(docid.encode("utf-8"), digest_size=8).digest(), "big")

    def add(self, docid: str) -> None:
        """Add one docid."""
        value = self.hash(docid)
        part = self._parts[value >> 56]
        part.append(value)
        if len(part) >= self.BUFFER:
            self._flush(value >> 56)

    def _flush(self, index: int) -> None:
        with open(self._files[index], "ab") as file:
            self._parts[index].tofile(file)
        self._parts[index] = array("Q")

    def finish(self) -> list[int]:
        """Write the sorted table to ``path`` and return the hashes that occur more than once."""
        import numpy as np

        repeated: list[int] = []
        with open(self.path, "wb") as out:
            for index, spill in enumerate(self._files):
                values = np.array(self._parts[index], dtype=np.uint64)
                if spill.exists():
                    values = np.concatenate([np.fromfile(spill, dtype=np.uint64), values])
                    spill.unlink()
                unique, counts = np.unique(values, return_counts=True)
                repeated.extend(int(v) for v in unique[counts > 1])
                unique.tofile(out)
        return repeated

    @classmethod
    def lookup(cls, path: Path) -> Callable[[str], bool]:
        """Return a function that tells whether a docid is in the table at ``path``; the table stays on disk."""
        import numpy as np

        table: np.ndarray = np.memmap(path, dtype=np.uint64, mode="r") if path.stat().st_size else np.empty(0)

        def known(docid: str) -> bool:
            value = np.uint64(cls.hash(docid))
            at = int(np.searchsorted(table, value))
            return at < len(table) and table[at] == value

        return known


@dataclass(frozen=True)
class CorpusReport:
    """The outcome of one pass over a corpus; ``passages`` counts distinct docids."""

    passages: int
    characters: int
    fingerprint: str
    duplicates: list[str]
    empty: int
    warnings: dict[str, int]


def check_corpus(
    folder: MiraclFolder, lang: str, table: Path, progress: Callable[[int], None] = lambda done: None
) -> CorpusReport:
    """Read a corpus once and write its docid table; a line that is not a passage raises a DataError.

    The fingerprint is the SHA-256 over the passages in file order, so it does not change with compression or
    sharding. Empty texts and identical repetitions of a passage are counted; a docid with two texts is an error.
    """
    warnings: Counter[str] = Counter()
    digest, docids = sha256(), DocidTable(table)
    total = characters = empty = 0
    for _, _, passage in folder.numbered_passages(lang, warnings):
        total += 1
        characters += len(passage.title) + len(passage.text)
        digest.update("\x1f".join(passage).encode("utf-8") + b"\n")
        docids.add(passage.docid)
        if is_blank(passage.text):
            warnings["passage without text"] += 1
            empty += is_blank(passage.title)
        if total % 1000 == 0:
            progress(total)
    if not total:
        raise DataError("the corpus is empty", where=str(folder.corpus_files(lang)[0]), mend=folder.repair)
    if empty == total:
        raise DataError(
            f"there is nothing to search: none of the {total} passages has a title or a text",
            where=str(folder.corpus_files(lang)[0]),
            mend=f"check the keys title and text, or {folder.repair}",
        )
    repeated = docids.finish()
    duplicates, extra = _confirm_duplicates(folder, lang, set(repeated)) if repeated else ([], 0)
    if extra:
        warnings["repeated passage ignored"] = extra
    progress(total)
    return CorpusReport(
        total - extra, characters, digest.hexdigest(), duplicates, empty, dict(sorted(warnings.items()))
    )


def _confirm_duplicates(folder: MiraclFolder, lang: str, hashes: set[int]) -> tuple[list[str], int]:
    """Return the docids that really occur more than once, and the number of their surplus lines."""
    if len(hashes) > MAX_DUPLICATES:
        raise DataError(
            f"{len(hashes)} docids occur more than once",
            where=str(folder.corpus_files(lang)[0].parent),
            mend=f"look for a shard that is there under two numbers, or {folder.repair}",
        )
    first: dict[str, tuple[str, Passage]] = {}
    duplicates: set[str] = set()
    extra = 0
    for path, number, passage in folder.numbered_passages(lang):
        if DocidTable.hash(passage.docid) not in hashes:
            continue
        if passage.docid not in first:
            first[passage.docid] = (f"{path}:{number}", passage)
            continue
        where, earlier = first[passage.docid]
        if passage != earlier:
            raise DataError(
                f"docid '{passage.docid}' has another text than at {where}",
                where=f"{path}:{number}",
                mend="give one of the two passages another docid, or drop it",
            )
        duplicates.add(passage.docid)
        extra += 1
    return sorted(duplicates), extra


def check_topics(folder: MiraclFolder, lang: str, split: str, known: Callable[[str], bool]) -> dict[str, object]:
    """Check topics and qrels of a split against each other and against the corpus.

    Judgments of an unknown topic or passage are errors, because no run can be scored correctly with them. Topics
    without judgments and topics without a positive are counted.

    Returns:
        Counts and warnings: ``topics``, ``judged_topics``, ``judgments``, ``positives``, ``warnings``.
    """
    warnings: Counter[str] = Counter()
    topics = read_topics(folder.topics_file(lang, split), warnings)
    path = folder.qrels_file(lang, split)
    qrels = read_qrels(path, warnings)
    for number, qid, docid, _ in iter_qrels(path):
        if qid not in topics:
            raise DataError(
                f"judges topic '{qid}', which {folder.topics_file(lang, split).name} lacks",
                where=f"{path}:{number}",
                mend="add the topic or drop the judgment",
            )
        if not known(docid):
            raise DataError(
                f"judges passage '{docid}', which the corpus lacks",
                where=f"{path}:{number}",
                mend="topics, qrels and corpus must be of one release",
            )
    positives = {qid: sum(grade > 0 for grade in judged.values()) for qid, judged in qrels.items()}
    warnings["topic without judgments, not scored"] += len(topics.keys() - qrels.keys())
    warnings["topic without a positive, scores 0"] += sum(n == 0 for n in positives.values())
    warnings["no judgment is positive, every score is 0"] += not any(positives.values())
    return {
        "topics": len(topics),
        "judged_topics": len(qrels),
        "judgments": sum(map(len, qrels.values())),
        "positives": sum(positives.values()),
        "warnings": {flaw: n for flaw, n in sorted(warnings.items()) if n},
    }
