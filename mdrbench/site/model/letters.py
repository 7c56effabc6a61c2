"""Significance letters: two systems share a letter exactly if the test finds no significant difference between them.

All pairs of a column are tested as ``mdrbench compare`` tests them: over topics, and over the seeds that both systems
have. If fewer seeds than :attr:`Protocol.star_seeds` are shared, letters hold for these trainings alone; pages mark
such systems.

The method is Piepho's (2004, "An algorithm for a letter-based representation of all-pairwise comparisons").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, NamedTuple

from mdrbench.evaluation import inference
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import seeds
from mdrbench.results.seeds import Seeds
from mdrbench.site.model import significance
from mdrbench.site.model.significance import Differences
from mdrbench.site.model.topic_scores import ScoreTable

if TYPE_CHECKING:
    import numpy as np


Runs = Mapping[Seeds | None, tuple[ScoreTable, ...]]
"""A system's runs by their seeds: its scores in each language of a column. The first run is the one that is shown."""


class ColumnTest(NamedTuple):
    """All systems of a leaderboard's column tested against each other.

    Attributes:
        letters: for each system the numbers of its letters. The list is empty for a system that was scored on other
            topics than most systems, and for all systems if fewer than two can be tested.
        few: for each system whether its letters hold for its trainings alone, because too few seeds are counted.
        p_values: p values of all pairs after Holm's correction, shape (systems, systems); copies are left out.
        seeds: the paired seeds that each test counts, same shape; 1: topics alone; 0: neither system is trained.
        rows: tested system -> its row in ``p_values``.
    """

    letters: list[list[int]]
    few: list[bool]
    p_values: np.ndarray | None = None
    seeds: np.ndarray | None = None
    rows: dict[int, int] | None = None

    @property
    def systems(self) -> int:
        """The systems of the family of tests. Copies of a system count once."""
        return 0 if self.p_values is None else len(self.p_values)

    @property
    def pairs(self) -> int:
        """The pairs that the correction is over."""
        return self.systems * (self.systems - 1) // 2


def of_column(systems: Sequence[Runs], measure: str, known: dict[tuple[ScoreTable, ...], Differences]) -> ColumnTest:
    """Test all systems of a leaderboard's column against each other.

    Systems with the same score on every topic are copies. A copy changes no p value and gets the same letters.

    Args:
        known: the differences of other columns of the same measure; those of this column are added.
    """
    import numpy as np

    tables = [next(iter(runs.values())) for runs in systems]
    topics = [tuple(table.topics for table in system) for system in tables]
    usual = Counter(topics).most_common(1)[0][0] if tables else ()
    has_measure = [all(measure in table.measures for table in system) for system in tables]
    tested = [i for i, own in enumerate(topics) if own == usual and has_measure[i]]
    lettered: list[list[int]] = [[] for _ in tables]
    if len(tested) < 2 or any(len(qids) < 2 for qids in usual):
        return ColumnTest(lettered, [False] * len(systems))
    copies = _copies([tables[i] for i in tested], measure)
    distinct = [tested[group[0]] for group in copies]
    languages = []
    for n in range(len(usual)):
        same_language = [tables[i][n] for i in distinct]
        key = tuple(same_language)
        if key not in known:
            qids = same_language[0].qids
            known[key] = significance.differences(np.stack([t.in_order(qids).of(measure) for t in same_language]))
        languages.append(known[key])
    order = np.argsort(-np.mean([language.means for language in languages], axis=0), kind="stable").tolist()
    p_values, counts = _with_seeds(significance.p_values(languages), [systems[i] for i in distinct], measure)
    corrected = significance.corrected(p_values)
    for group, numbers in zip(copies, letter_numbers(corrected < significance.LEVEL, order), strict=True):
        for place in group:
            lettered[tested[place]] = numbers
    rows = {tested[place]: row for row, group in enumerate(copies) for place in group}
    return ColumnTest(lettered, [_few(runs, systems) for runs in systems], corrected, counts, rows)


def _few(runs: Runs, systems: Sequence[Runs]) -> bool:
    """Whether a trained system has too few seeds, or shares too few with another system that has enough."""
    if None in runs:
        return False
    enough = [other for other in systems if len(other) >= PROTOCOL.star_seeds]
    return min(len(runs), *(len(runs.keys() & other.keys()) for other in [runs, *enough])) < PROTOCOL.star_seeds


def _with_seeds(p_values: np.ndarray, systems: Sequence[Runs], measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Test the pairs that share several seeds again, over topics and seeds; return p values and how many are counted.

    Two rows that are runs of one recipe are compared as they are.
    """
    import numpy as np

    trained = np.array([None not in runs for runs in systems])
    counts = (trained[:, None] | trained[None, :]).astype(int)
    p_values = p_values.copy()
    several = [i for i, runs in enumerate(systems) if len(runs) > 1]
    for i, j in sorted({(min(i, j), max(i, j)) for i in several for j in range(len(systems)) if i != j}):
        a, b = dict(systems[i]), dict(systems[j])
        pairs = seeds.shared(a, b)
        if len(pairs) < 2 or next(iter(b.values())) in a.values():
            continue
        gaps = []
        for n, first in enumerate(pairs[0][0]):
            of = [[run[n].in_order(first.qids).of(measure) for run in pair] for pair in pairs]
            gaps.append(np.stack([x - y for x, y in of])[..., None])  # (seeds, topics, 1)
        p_values[i, j] = p_values[j, i] = inference.differences(gaps)[0].p
        counts[i, j] = counts[j, i] = len(pairs)
    return p_values, counts


def _copies(systems: Sequence[Sequence[ScoreTable]], measure: str) -> list[list[int]]:
    """Group systems with the same score on every topic; systems of a group keep their order."""
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for place, tables in enumerate(systems):
        first = systems[0]
        key = tuple(table.in_order(one.qids).of(measure).tobytes() for table, one in zip(tables, first, strict=True))
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def letter_numbers(differing: np.ndarray, order: Sequence[int]) -> list[list[int]]:
    """Return for each system the numbers of its letters; 0 is a letter of the best system.

    Args:
        differing: which pairs differ, boolean, shape (systems, systems).
        order: the systems, best first.
    """
    numbers: list[list[int]] = [[] for _ in range(len(differing))]
    for letter, group in enumerate(_groups(differing, order)):
        for system in group:
            numbers[system].append(letter)
    return numbers


def _groups(differing: np.ndarray, order: Sequence[int]) -> list[list[int]]:
    """Return sets of systems of which no two differ, and which together hold every pair that does not differ.

    There is one set for each letter. Each set is in ``order``, and the set of the best system comes first. A system
    that differs from all others is a set by itself.
    """
    import numpy as np

    packed = np.packbits(~differing[np.ix_(order, order)], axis=1, bitorder="little")
    # each system's alike systems as bits, by their place in the order, without the system itself
    alike = [int.from_bytes(row.tobytes(), "little") & ~(1 << place) for place, row in enumerate(packed)]
    missing = alike.copy()  # pairs that no set holds yet
    grouped = [False] * len(order)
    groups: list[list[int]] = []
    for first in range(len(order)):
        while missing[first] or not grouped[first]:
            members = [first]
            candidates = alike[first]
            if missing[first]:
                partner = (missing[first] & -missing[first]).bit_length() - 1
                members.append(partner)
                candidates &= alike[partner]
            while candidates:
                member = (candidates & -candidates).bit_length() - 1
                members.append(member)
                candidates &= alike[member]
            held = sum(1 << member for member in members)
            for member in members:
                missing[member] &= ~held
                grouped[member] = True
            groups.append(sorted(members))
    return [[order[place] for place in group] for group in sorted(groups)]


def spelled(numbers: Sequence[int]) -> str:
    """Write letter numbers as letters: ``ab``. Three or more in a row are shortened to ``b–e``."""
    parts: list[str] = []
    first = 0
    while first < len(numbers):
        last = first
        while last + 1 < len(numbers) and numbers[last + 1] == numbers[last] + 1:
            last += 1
        if last > first + 1:
            parts.append(f"{_letter(numbers[first])}–{_letter(numbers[last])}")
        else:
            parts += [_letter(number) for number in numbers[first : last + 1]]
        first = last + 1
    return "".join(parts)


def _letter(number: int) -> str:
    """Return a to z, then a1 to z1, a2 and so on."""
    turn, letter = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[letter] + (str(turn) if turn else "")
