"""The inputs of a step: token ids, passages drawn by seed, and which of them count as negatives."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.core.texts import text_digest
from mdrbench.training import EncoderSettings, Key, Material
from mdrbench.training.curriculum import allowed

if TYPE_CHECKING:
    import numpy as np

TEXTS_TOKENISED = 1024
"""Texts that the tokenizer gets at once: it keeps a hundred bytes and more for each token until they are done."""


class Batch(NamedTuple):
    """The queries of a step and the passages drawn for them.

    Attributes:
        keys: B queries.
        passages: P times (language, docid): each query's positive followed by its hard negatives. A passage drawn for
            two queries occurs twice.
        targets: B positions of the positives in ``passages``, ascending.
    """

    keys: list[Key]
    passages: list[Key]
    targets: list[int]

    def shares(self, processes: int) -> list[tuple[slice, slice]]:
        """Return queries and their passages for each process: neighbours, shared as evenly as possible."""
        bounds = [len(self.keys) * i // processes for i in range(processes + 1)]
        columns = [*self.targets, len(self.passages)]
        return [(slice(a, b), slice(columns[a], columns[b])) for a, b in pairwise(bounds)]

    def owners(self) -> list[int]:
        """Return for each passage the position of the query that it was drawn for."""
        ends = [*self.targets[1:], len(self.passages)]
        return [i for i, (a, b) in enumerate(zip(self.targets, ends, strict=True)) for _ in range(b - a)]


class Examples:
    """The training groups of all languages, by language and qid."""

    def __init__(
        self,
        data: dict[str, Material],
        negatives: int,
        seed: int,
        curriculum: float | None = None,
        steps: int = 0,
        *,
        with_replacement: bool = False,
    ):
        self._negatives, self._seed, self._again = negatives, seed, with_replacement
        self._curriculum, self._steps = curriculum, steps
        self.groups = {(lang, group.qid): group for lang, material in data.items() for group in material.groups}
        self._texts = {
            (lang, docid): text_digest(text)
            for lang, material in data.items()
            for docid, text in material.passages.items()
        }

    def draw(self, step: int, keys: list[Key]) -> Batch:
        """Draw one positive and up to ``negatives`` different hard negatives for each query, by seed, step and query.

        A query that is in the batch twice draws twice. If a group has fewer negatives, the query has fewer. With
        replacement, a negative may be drawn twice, and only a group without negatives gives fewer.

        Raises:
            DataError: a query that has no training group.
        """
        passages: list[Key] = []
        targets: list[int] = []
        times: Counter[Key] = Counter()
        for key in keys:
            if key not in self.groups:
                raise DataError(f"step {step} asks for query '{key[1]}' ({key[0]}), which has no training group")
            group = self.groups[key]
            dice = random.Random(f"{self._seed}\0{step}\0{key[0]}\0{key[1]}\0{times[key]}")
            times[key] += 1
            offered = group.negatives
            if self._curriculum is not None:
                offered = tuple(allowed(offered, step, self._steps, self._curriculum))
            if self._again and offered:
                chosen = dice.choices(offered, k=self._negatives)
            else:
                chosen = dice.sample(offered, min(self._negatives, len(offered)))
            targets.append(len(passages))
            docids = (dice.choice(group.positives), *(negative.docid for negative in chosen))
            passages.extend((key[0], docid) for docid in docids)
        return Batch(list(keys), passages, targets)

    def ignored(self, batch: Batch) -> np.ndarray:
        """Return booleans (B, P): true for a query's other positives and for passages with the text of a positive.

        Two docids may have the same text, in one language or in two.
        """
        import numpy as np

        rows = np.zeros((len(batch.keys), len(batch.passages)), dtype=bool)
        texts = [self._text(passage) for passage in batch.passages]
        for i, key in enumerate(batch.keys):
            positives = {self._text((key[0], docid)) for docid in self.groups[key].positives}
            rows[i] = [text in positives for text in texts]
            rows[i, batch.targets[i]] = False
        return rows

    def _text(self, passage: Key) -> object:
        """Return the digest of a passage's text: the same for equal passages."""
        return self._texts.get(passage, passage)


class Tokens:
    """The token ids of many texts, laid end to end in one array."""

    def __init__(self, flat: np.ndarray, ends: np.ndarray, rows: dict[Key, int]):
        self._flat, self._ends, self._rows = flat, ends, rows

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, key: Key) -> np.ndarray:
        """Return the int32 token ids of a text, special tokens included."""
        row = self._rows[key]
        return self._flat[self._ends[row - 1] if row else 0 : self._ends[row]]

    def sha256(self) -> str:
        """Return the SHA-256 of all ids, lengths and names."""
        digest = hashlib.sha256(self._flat.tobytes() + self._ends.tobytes())
        for lang, name in self._rows:
            digest.update(f"{lang}\0{name}\n".encode())
        return digest.hexdigest()


def tokenise(tokenizer: Any, prefix: str, texts: dict[Key, str], length: int) -> Tokens:
    """Return token ids of each text after the prefix, cut to ``length``, as the encoder makes them."""
    import numpy as np

    names = list(texts)
    parts: list[np.ndarray] = []
    lengths: list[int] = []
    for start in range(0, len(names), TEXTS_TOKENISED):
        part = [prefix + texts[name] for name in names[start : start + TEXTS_TOKENISED]]
        rows = tokenizer(part, truncation=True, max_length=length, return_attention_mask=False)["input_ids"]
        lengths.extend(map(len, rows))
        parts.append(np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]))
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
    return Tokens(flat, np.cumsum(np.asarray(lengths, dtype=np.int64)), {name: i for i, name in enumerate(names)})


def tokens(tokenizer: Any, encoder: EncoderSettings, data: dict[str, Material]) -> tuple[Tokens, Tokens]:
    """Return token ids of the queries and of the groups' passages, each text once.

    Raises:
        DataError: a query or passage of the groups has no text.
    """
    queries: dict[Key, str] = {}
    passages: dict[Key, str] = {}
    for lang, material in data.items():
        for group in material.groups:
            queries[lang, group.qid] = _text(material.queries, group.qid, lang, "query")
            for docid in (*group.positives, *(negative.docid for negative in group.negatives)):
                passages[lang, docid] = _text(material.passages, docid, lang, "passage")
    return (
        tokenise(tokenizer, encoder.query_prefix, queries, encoder.query_length),
        tokenise(tokenizer, encoder.passage_prefix, passages, encoder.passage_length),
    )


def _text(texts: dict[str, str], name: str, lang: str, kind: str) -> str:
    if name not in texts:
        raise DataError(f"{kind} '{name}' ({lang}) of the training groups has no text")
    return texts[name]


def weights_of(keys: Iterable[Key], weight: Callable[[Key], float]) -> dict[Key, float]:
    """Return the weight of each query.

    Raises:
        DataError: a weight that is not a positive number.
    """
    found = {}
    for key in keys:
        found[key] = float(weight(key))
        if not 0 < found[key] < float("inf"):
            raise DataError(f"the weight of query '{key[1]}' ({key[0]}) is {found[key]}, not a positive number")
    return found
