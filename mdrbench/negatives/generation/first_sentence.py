"""A stand-in for a language model: the positive's title and first sentence are the new query.

It asks nothing and costs nothing. The rest of stage 2 (searching, vetoing, filling up) works as with a real generator,
so experiments without a language model can include the stage. It is not the generator of any paper: name it beside
every figure. The "summary" of a generation is the sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import Field

from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.texts import text_digest
from mdrbench.core.types import Generation, Source

END = re.compile(r"(?:[.!?](?=\s)|[。！？।॥؟…])\s*")
"""The end of a sentence. Thai writes none; there, ``max_chars`` ends the sentence at a space."""


class Config(MemberConfig):
    """How long a sentence may be."""

    max_chars: int = Field(default=160, ge=20, description="a longer sentence is cut at the last space before")


class FirstSentence:
    """See :class:`mdrbench.negatives.generation.Generator`."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        self.config = config
        self._counts: Counter[str] = Counter()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Nothing to check."""

    def conventions(self) -> dict[str, Any]:
        """Return the settings."""
        return {"generator": "first-sentence", **self.config.model_dump(mode="json")}

    def generate(self, sources: list[Source], progress: Callable[[int], None]) -> Iterator[Generation]:
        """Yield a sentence and a query for each source; both None if the query would be the one that is known."""
        for done, source in enumerate(sources, 1):
            sentence, cut = first_sentence(source.positive.text, self.config.max_chars)
            title = source.positive.title.strip()
            query = sentence if not title or sentence.startswith(title) else f"{title} {sentence}"
            usable = bool(sentence) and text_digest(query) != text_digest(source.query)
            self._counts.update(generated=1, unreadable=int(not usable), cut=int(cut))
            yield Generation(source.qid, sentence, query) if usable else Generation(source.qid, None, None)
            progress(done)

    def facts(self) -> dict[str, Any]:
        """Count sources, those without a usable query, and sentences that were cut."""
        return {name: self._counts[name] for name in ("generated", "unreadable", "cut")}


def first_sentence(text: str, max_chars: int) -> tuple[str, bool]:
    """Return the first sentence of a text on one line, at most ``max_chars`` long, and whether it was cut.

    A beginning of fewer than 20 characters ("Dr.", "1.") is not a sentence of its own.
    """
    line = " ".join(text.split())
    ends = (match.end() for match in END.finditer(line) if match.end() >= 20)
    sentence = line[: next(ends, len(line))].strip()
    if len(sentence) <= max_chars:
        return sentence, False
    head = sentence[: max_chars + 1]
    return (head[: head.rfind(" ")] if " " in head else head[:max_chars]).strip(), True
