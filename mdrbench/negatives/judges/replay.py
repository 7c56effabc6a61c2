"""Recorded verdicts of an annotator or another judge, from judgments-LANG-SPLIT.jsonl files.

A line holds ``qid``, ``docid``, the ``reference`` positive that the verdict was given with (a docid, or null),
``accuracy`` and ``completeness`` (0, 1 or 2; both null if there was no readable answer). The packaged sample's
are read by default; ``docs/sample.md`` says what they mean.
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
from mdrbench.core.types import Judgment, Pair
from mdrbench.formats import jsonl
from mdrbench.negatives.judges import Estimate
from mdrbench.negatives.judges._local import FREE, Tally
from mdrbench.negatives.recorded_answers import Recorded

SAMPLE = registry.PACKAGE / "data" / "datasets" / "sample_data" / "judgments"

KEYS: dict[str, jsonl.Types] = {
    "qid": str,
    "docid": str,
    "reference": (str, type(None)),
    "accuracy": (int, type(None)),
    "completeness": (int, type(None)),
}


class Config(MemberConfig):
    """The folder of the verdicts, and what happens to a pair without a verdict.

    ``ungraded``: ``about-something-else`` gives the pair grade 0 (the sample's files leave such pairs out on purpose),
    ``unreadable`` gives it no grade, ``error`` stops.
    """

    folder: str | None = Field(default=None, description="folder of the files; None: those of the packaged sample")
    split: str = Field(default="train", description="split in the names of the files")
    ungraded: Literal["about-something-else", "unreadable", "error"] = "error"


class Replay:
    """See :class:`mdrbench.negatives.judges.Judge`."""

    spec = Spec(Config, version=1, run_only=("folder",))  # the conventions have its files' hash
    reference = "ignored"

    def __init__(self, config: Config):
        self.config = config
        folder = Path(config.folder).expanduser() if config.folder else SAMPLE
        self._files = Recorded(folder, "judgments", config.split)
        self._recorded = cache(lambda lang: read(*self._files.candidates(lang)))
        self._tally = Tally()
        self._counts: Counter[str] = Counter()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Raise a DataError if the folder holds no such file."""
        self._files.require("recorded verdicts", ", or set judge.folder")

    def conventions(self) -> dict[str, Any]:
        """Return how ungraded pairs are treated, and the SHA-256 of the files' names and contents."""
        return {
            "judge": "replay",
            "split": self.config.split,
            "ungraded": self.config.ungraded,
            "files_sha256": self._files.sha256(),
        }

    def holds(self, pair: Pair) -> bool:
        """Whether a verdict on the pair is recorded."""
        return (pair.qid, pair.passage.docid) in self._recorded(pair.lang)

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Nothing: the verdicts are there."""
        return FREE

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """Yield the recorded verdict of each pair; verdicts given with another reference are used and counted."""
        for done, pair in enumerate(pairs, 1):
            found = self._recorded(pair.lang).get((pair.qid, pair.passage.docid))
            if found is None:
                yield self._ungraded(pair)
            else:
                reference, accuracy, completeness = found
                if pair.reference is not None and pair.reference.docid != reference:
                    self._counts["other_reference"] += 1
                yield self._tally.verdict(pair, accuracy, completeness)
            progress(done)

    def _ungraded(self, pair: Pair) -> Judgment:
        self._counts["ungraded"] += 1
        if self.config.ungraded == "error":
            raise DataError(
                f"no verdict on passage '{pair.passage.docid}' for query '{pair.qid}' ({pair.lang})",
                where=str(self._files.folder),
                mend="record it, or set negatives.judge.ungraded to about-something-else or unreadable",
            )
        assumed = 0 if self.config.ungraded == "about-something-else" else None
        return self._tally.verdict(pair, assumed, assumed)

    def facts(self) -> dict[str, Any]:
        """Grades given; of these how many were not recorded, and how many recorded with another reference."""
        return {**self._tally.facts(), **{name: self._counts[name] for name in ("ungraded", "other_reference")}}


def read(path: Path) -> dict[tuple[str, str], tuple[str | None, int | None, int | None]]:
    """(qid, docid) -> reference, accuracy, completeness; a pair that occurs twice is an error."""
    found = {}
    for where, record in jsonl.records(path, KEYS):
        pair = record["qid"], record["docid"]
        grades = record["accuracy"], record["completeness"]
        if pair in found:
            raise DataError(f"query '{pair[0]}' and passage '{pair[1]}' occur twice", where=where, mend="keep one")
        if grades != (None, None) and not set(grades) <= {0, 1, 2}:
            raise DataError(f"{grades[0]} and {grades[1]} are not grades", where=where, mend="0, 1 or 2; or both null")
        found[pair] = (record["reference"], *grades)
    return found
