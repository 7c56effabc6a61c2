"""Cut-offs and counts, shared by the judges that run on this machine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from mdrbench.core.types import Judgment, Pair
from mdrbench.llm.spending import Estimate

FREE = Estimate(requests=0, stored=0, input_tokens=0, output_tokens=0, cost=0.0)
"""The cost of judging on this machine."""


LowHigh = tuple[float, float]

DEFAULT = "default"
"""The key of the cut-offs of all languages without their own."""


def _from_yaml(value: Any) -> Any:
    """Take lists for tuples, also in a mapping of languages."""
    if isinstance(value, dict):
        return {key: _from_yaml(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _ascending(cutoffs: LowHigh | dict[str, LowHigh]) -> LowHigh | dict[str, LowHigh]:
    by_language = cutoffs if isinstance(cutoffs, dict) else {DEFAULT: cutoffs}
    if DEFAULT not in by_language:
        raise ValueError(f"cut-offs by language need the key `{DEFAULT}`, for all other languages")
    for low, high in by_language.values():
        if not low <= high:  # also if one is NaN
            raise ValueError(f"the lower cut-off comes first: [{low}, {high}]")
    return cutoffs


Cutoffs = Annotated[LowHigh | dict[str, LowHigh], BeforeValidator(_from_yaml), AfterValidator(_ascending)]
"""``[low, high]``: a score below ``low`` is grade 0, below ``high`` grade 1, any other grade 2. Or a mapping of
language codes to such pairs, with the key ``default`` for all other languages."""


Band = Annotated[LowHigh, BeforeValidator(_from_yaml), AfterValidator(_ascending)]
"""``[low, high]``, the same for all languages."""


def cutoffs_of(cutoffs: LowHigh | dict[str, LowHigh], lang: str) -> LowHigh:
    """Return the cut-offs of a language."""
    return cutoffs.get(lang, cutoffs[DEFAULT]) if isinstance(cutoffs, dict) else cutoffs


def cutoffs_facts(cutoffs: LowHigh | dict[str, LowHigh], langs: Iterable[str]) -> dict[str, Any]:
    """Return which cut-offs the pairs of each language took, for facts; empty if one pair serves all languages."""
    if not isinstance(cutoffs, dict):
        return {}
    return {"cutoffs_from": {lang: lang if lang in cutoffs else DEFAULT for lang in sorted(set(langs))}}


def grade(score: float, low: float, high: float) -> int | None:
    """Return the grade of a score; None if the score is not finite."""
    if not math.isfinite(score):
        return None
    return 0 if score < low else 1 if score < high else 2


class Tally:
    """Counts verdicts as they are given; one score or match serves as both grades."""

    def __init__(self) -> None:
        self.grades: Counter[str] = Counter()
        self.langs: Counter[str] = Counter()

    def verdict(
        self, pair: Pair, accuracy: int | None, completeness: int | None, score: float | None = None
    ) -> Judgment:
        """The judgment of a pair, counted."""
        judgment = Judgment(pair.qid, pair.passage.docid, accuracy, completeness, score)
        self.langs[pair.lang] += 1
        self.grades["unreadable" if judgment.grade is None else str(judgment.grade)] += 1
        return judgment

    def facts(self) -> dict[str, Any]:
        """Pairs judged, how many at each combined grade, and those without one."""
        grades = {name: self.grades[name] for name in ("0", "1", "2")}
        return {"judged": self.grades.total(), "grades": grades, "unreadable": self.grades["unreadable"]}


LEAST = {"fewest_at_once", "batch_size_after_halving", "batch_tokens"}
"""Facts of which the least is kept; other numbers are added."""


def together(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge what judges said of parts of a step (:meth:`Judge.facts`): numbers are added, lists and mappings united.

    Texts that differ are listed. None stays only if no part knows more.
    """
    names = dict.fromkeys(name for one in facts for name in one)
    return {name: _merged(name, [one[name] for one in facts if name in one]) for name in names}


def _merged(name: str, values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    if all(isinstance(value, dict) for value in known):
        return together(known)
    if all(isinstance(value, list) for value in known):
        return sorted({item for value in known for item in value})
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return min(known) if name in LEAST else sum(known)
    different = list(dict.fromkeys(map(str, known)))
    return known[0] if len(different) == 1 else ", ".join(sorted(different))
