"""All that a training reads at each step, in files that its processes map: groups, token ids, digests of texts.

One process writes them, with the texts of one language in memory. Queries and passages are numbered by rows: queries in
the order of the groups, passages by their first mention in them.

::

    FOLDER/queries.jsonl           language, qid and the positives' docids of each query
    FOLDER/query-ids, passage-ids  token ids, special tokens included (int32)
    FOLDER/positives, negatives    rows of each query's passages (int32), negatives best first
    FOLDER/docids                  of each passage (UTF-8)
    FOLDER/digests.flat            16 bytes a passage, the same for equal texts (:mod:`mdrbench.core.texts`)
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core import environment
from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256, key_of
from mdrbench.core.texts import text_digest
from mdrbench.hub import loading
from mdrbench.training import EncoderSettings, Key, Material
from mdrbench.training.mapped import Column, Ragged, mapped, note_of, seal, sealed

if TYPE_CHECKING:
    import numpy as np

VERSION = 1

TEXTS_TOKENISED = 1024
"""Texts that the tokenizer gets at once: it keeps a hundred bytes and more for each token until they are done."""

COLUMNS = {"query-ids": "int32", "passage-ids": "int32", "positives": "int32", "negatives": "int32", "docids": "uint8"}


@dataclass(frozen=True)
class TrainingData:
    """The mapped files of :func:`write`.

    Attributes:
        keys: language and qid of each query.
        positive_docids: of each query.
        rows: query -> row.
        queries, passages: int32 token ids of each row.
        positives, negatives: rows of passages, for each query.
        docids: UTF-8 bytes of each passage's docid.
        digests: (passages, 16) uint8.
        bounds: language -> the first row of its passages, and the row after its last.
        sha256: ``texts``: of the queries and of the passages; ``groups``. Part of a training's identity.
        seconds: that the files took to be written.
    """

    keys: list[Key]
    positive_docids: list[tuple[str, ...]]
    rows: dict[Key, int]
    queries: Ragged
    passages: Ragged
    positives: Ragged
    negatives: Ragged
    docids: Ragged
    digests: np.ndarray
    bounds: dict[str, tuple[int, int]]
    sha256: dict[str, Any]
    seconds: float

    @classmethod
    def open(cls, folder: Path) -> TrainingData:
        """Map the files of a finished folder."""
        note = note_of(folder)
        lines = (json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines())
        found = [((row["lang"], row["qid"]), tuple(row["positives"])) for row in lines]
        keys = [key for key, _ in found]
        columns = {name: Ragged.open(folder, name, dtype) for name, dtype in COLUMNS.items()}
        return cls(
            keys,
            positive_docids=[docids for _, docids in found],
            rows={key: row for row, key in enumerate(keys)},
            queries=columns["query-ids"],
            passages=columns["passage-ids"],
            positives=columns["positives"],
            negatives=columns["negatives"],
            docids=columns["docids"],
            digests=mapped(folder / "digests.flat", "uint8").reshape(-1, 16),
            bounds={lang: (start, stop) for lang, (start, stop) in note["bounds"].items()},
            sha256=note["sha256"],
            seconds=note["seconds"],
        )

    def passage_rows(self, lang: str) -> dict[str, int]:
        """Return docid -> row of a language's passages."""
        return {self.docids[row].tobytes().decode(): row for row in range(*self.bounds[lang])}


def write(
    folder: Path,
    model_folder: Path,
    encoder: EncoderSettings,
    languages: Iterable[tuple[str, Material]],
    source: object = None,
) -> bool:
    """Write the files, unless an interrupted training left them whole; tell whether they were written.

    Args:
        languages: language and data, read once, one after another.
        source: JSON that decides ``languages``. With None, files that are there are not used.

    Raises:
        DataError: a query or passage of the groups has no text, or a query has two groups.
    """
    origin = None if source is None else _origin(model_folder, encoder, source)
    if origin is not None and sealed(folder, origin):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seal(folder, origin, _Writer(folder, loading.load_tokenizer(model_folder), encoder).write(languages))
    return True


def _origin(model_folder: Path, encoder: EncoderSettings, source: object) -> str:
    """Return a hash of all that decides the files."""
    return key_of(
        {
            "version": VERSION,
            "source": source,
            "encoder": [encoder.query_prefix, encoder.passage_prefix, encoder.query_length, encoder.passage_length],
            "tokenizer": [
                [path.name, file_sha256(path)]
                for path in sorted(model_folder.iterdir())
                if path.suffix in (".json", ".txt", ".model", ".jinja")
            ],
            "versions": [environment.package_version(name) for name in ("transformers", "tokenizers")],
        }
    )


class _Writer:
    """Writes the files of one folder."""

    def __init__(self, folder: Path, tokenizer: Any, encoder: EncoderSettings):
        self.folder, self.tokenizer, self.encoder = folder, tokenizer, encoder
        self.columns = {name: Column(folder, name) for name in COLUMNS}
        self.bounds: dict[str, tuple[int, int]] = {}
        self.keys: list[Key] = []
        self.groups: dict[str, Path] = {}

    def write(self, languages: Iterable[tuple[str, Material]]) -> dict[str, Any]:
        """Write all languages; return the note."""
        start = time.perf_counter()
        with (
            ExitStack() as open_columns,
            open(self.folder / "queries.jsonl", "w", encoding="utf-8") as queries,
            open(self.folder / "digests.flat", "wb") as digests,
        ):
            for column in self.columns.values():
                open_columns.enter_context(column)
            for lang, material in languages:
                self._language(lang, material, queries.write, digests.write)
                del material  # before the next one is read
        return {
            "bounds": self.bounds,
            "sha256": {
                "texts": [self._sha256("query-ids", self.keys), self._sha256("passage-ids", self._passages())],
                "groups": self._groups_sha256(),
            },
            "seconds": time.perf_counter() - start,
        }

    def _language(
        self, lang: str, material: Material, write_query: Callable[[str], Any], write_digest: Callable[[bytes], Any]
    ) -> None:
        import numpy as np

        first, rows = len(self.columns["passage-ids"]), dict[str, int]()
        queries: dict[str, str] = {}

        def numbered(docids: Iterable[str]) -> np.ndarray:
            return np.array([rows.setdefault(docid, first + len(rows)) for docid in docids], dtype=np.int32)

        for group in material.groups:
            if group.qid in queries:
                raise DataError(f"query '{group.qid}' ({lang}) has two training groups")
            queries[group.qid] = _text(material.queries, group.qid, lang, "query")
            self.columns["positives"].add([numbered(group.positives)])
            self.columns["negatives"].add([numbered(negative.docid for negative in group.negatives)])
            write_query(json.dumps({"lang": lang, "qid": group.qid, "positives": group.positives}) + "\n")
        texts = [_text(material.passages, docid, lang, "passage") for docid in rows]
        self.columns["docids"].add(docid.encode() for docid in rows)
        for text in texts:
            write_digest(text_digest(text))
        settings, tokenizer = self.encoder, self.tokenizer
        self.columns["query-ids"].add(
            tokenise(tokenizer, settings.query_prefix, [*queries.values()], settings.query_length)
        )
        self.columns["passage-ids"].add(tokenise(tokenizer, settings.passage_prefix, texts, settings.passage_length))
        self.keys.extend((lang, qid) for qid in queries)
        self.bounds[lang] = first, first + len(rows)
        self.groups[lang] = self.folder / f"groups-{len(self.groups)}.txt"
        with open(self.groups[lang], "w", encoding="utf-8") as file:
            for group in sorted(material.groups, key=lambda group: group.qid):
                file.write(f"{((lang, group.qid), group)!r}\n")

    def _passages(self) -> Iterator[Key]:
        docids = Ragged.open(self.folder, "docids", COLUMNS["docids"])
        for lang, bounds in self.bounds.items():
            for row in range(*bounds):
                yield lang, docids[row].tobytes().decode()

    def _sha256(self, column: str, names: Iterable[Key]) -> str:
        """Return the SHA-256 of all token ids, their ends, and the names of their texts."""
        digest = hashlib.sha256()
        for path in (self.columns[column].flat, self.columns[column].ends):
            _hash(path, digest)
        for lang, name in names:
            digest.update(f"{lang}\0{name}\n".encode())
        return digest.hexdigest()

    def _groups_sha256(self) -> str:
        """Return the SHA-256 of all groups, sorted by language and qid."""
        digest = hashlib.sha256()
        for _, path in sorted(self.groups.items()):
            _hash(path, digest)
            path.unlink()
        return digest.hexdigest()


def _hash(path: Path, digest: Any) -> None:
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


def tokenise(tokenizer: Any, prefix: str, texts: list[str], length: int) -> Iterator[np.ndarray]:
    """Yield the int32 token ids of each text after the prefix, cut to ``length``, as the encoder makes them."""
    import numpy as np

    for start in range(0, len(texts), TEXTS_TOKENISED):
        part = [prefix + text for text in texts[start : start + TEXTS_TOKENISED]]
        for ids in tokenizer(part, truncation=True, max_length=length, return_attention_mask=False)["input_ids"]:
            yield np.asarray(ids, dtype=np.int32)


def _text(texts: dict[str, str], name: str, lang: str, kind: str) -> str:
    if name not in texts:
        raise DataError(f"{kind} '{name}' ({lang}) of the training groups has no text")
    return texts[name]
