"""Recorded summaries and queries from generations-LANG-SPLIT.jsonl files.

A line holds ``qid``, the docid of the ``reference`` positive that was summarised, the ``summary`` and the ``query``
written from it (both null if there was no readable answer). The packaged sample's are read by default.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mdrbench.core import registry
from mdrbench.core.errors import DataError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.types import Generation, Source
from mdrbench.formats import jsonl
from mdrbench.negatives.recorded_answers import Recorded

SAMPLE = registry.PACKAGE / "data" / "datasets" / "sample_data" / "generations"

KEYS: dict[str, jsonl.Types] = {"qid": str, "reference": str, "summary": (str, type(None)), "query": (str, type(None))}


class Config(MemberConfig):
    """The folder of the generations.

    ``missing``: leave out a query without a generation (``unreadable``), or stop (``error``).
    """

    folder: str | None = Field(default=None, description="folder of the files; None: those of the packaged sample")
    split: str = Field(default="train", description="split in the names of the files")
    missing: Literal["unreadable", "error"] = "error"


class Replay:
    """See :class:`mdrbench.negatives.generation.Generator`."""

    spec = Spec(Config, version=1, run_only=("folder",))  # the conventions have its files' hash

    def __init__(self, config: Config):
        self.config = config
        folder = Path(config.folder).expanduser() if config.folder else SAMPLE
        self._files = Recorded(folder, "generations", config.split)
        self._recorded = cache(lambda lang: read(*self._files.candidates(lang)))
        self._counts: Counter[str] = Counter()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Raise a DataError if the folder holds no such file."""
        self._files.require("recorded generations", ", or set generation.folder")

    def conventions(self) -> dict[str, Any]:
        """Return how a missing generation is treated, and the SHA-256 of the files' names and contents."""
        return {
            "generator": "replay",
            "split": self.config.split,
            "missing": self.config.missing,
            "files_sha256": self._files.sha256(),
        }

    def generate(self, sources: list[Source], progress: Callable[[int], None]) -> Iterator[Generation]:
        """Yield the recorded summary and query of each source; count those made from another positive."""
        for done, source in enumerate(sources, 1):
            reference, summary, query = self._recorded(source.lang).get(source.qid) or self._absent(source)
            self._counts["generated"] += 1
            self._counts["unreadable"] += query is None
            self._counts["other_reference"] += reference not in (None, source.positive.docid)
            yield Generation(source.qid, summary, query)
            progress(done)

    def _absent(self, source: Source) -> tuple[None, None, None]:
        self._counts["missing"] += 1
        if self.config.missing == "error":
            raise DataError(
                f"no generation for query '{source.qid}' ({source.lang})",
                where=str(self._files.folder),
                mend="record it, or set negatives.generation.missing to unreadable",
            )
        return None, None, None

    def facts(self) -> dict[str, Any]:
        """Count sources: answered, without a readable query, not recorded, and recorded with another positive."""
        return {name: self._counts[name] for name in ("generated", "unreadable", "missing", "other_reference")}


def read(path: Path) -> dict[str, tuple[str, str | None, str | None]]:
    """qid -> reference, summary, query; a qid that occurs twice, or one half of an answer, is an error."""
    found: dict[str, tuple[str, str | None, str | None]] = {}
    for where, record in jsonl.records(path, KEYS):
        qid, summary, query = record["qid"], record["summary"], record["query"]
        if qid in found:
            raise DataError(f"query '{qid}' occurs twice", where=where, mend="keep one")
        if (summary is None) != (query is None) or not all(text is None or text.strip() for text in (summary, query)):
            raise DataError("a summary or query is missing or empty", where=where, mend="give both, or null for both")
        found[qid] = (record["reference"], summary, query)
    return found
