"""Significance letters: two systems share a letter exactly if the test finds no significant difference between them.

The method is Piepho's (2004, "An algorithm for a letter-based representation of all-pairwise comparisons").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, NamedTuple

from mdrbench.site.model import significance
from mdrbench.site.model.significance import Differences
from mdrbench.site.model.topic_scores import ScoreTable

if TYPE_CHECKING:
    import numpy as np


class ColumnTest(NamedTuple):
    """All systems of a leaderboard's column tested against each other.

    Attributes:
        letters: for each system the numbers of its letters. The list is empty for a system that was scored on other
            topics than most systems, and for all systems if fewer than two can be tested.
        p_values: p values of all pairs after Holm's correction, shape (systems, systems); copies are left out.
        rows: tested system -> its row in ``p_values``.
    """

    letters: list[list[int]]
    p_values: np.ndarray | None = None
    rows: dict[int, int] | None = None

    @property
    def systems(self) -> int:
        """The systems of the family of tests. Copies of a system count once."""
        return 0 if self.p_values is None else len(self.p_values)

    @property
    def pairs(self) -> int:
        """The pairs that the correction is over."""
        return self.systems * (self.systems - 1) // 2


def of_column(
    tables: Sequence[Sequence[ScoreTable]], measure: str, known: dict[tuple[ScoreTable, ...], Differences]
) -> ColumnTest:
    """Test all systems of a leaderboard's column against each other.

    Systems with the same score on every topic are copies. A copy changes no p value and gets the same letters.

    Args:
        tables: for each system its scores in each language of the column.
        known: the differences of other columns of the same measure; those of this column are added.
    """
    import numpy as np

    topics = [tuple(table.topics for table in system) for system in tables]
    usual = Counter(topics).most_common(1)[0][0] if tables else ()
    has_measure = [all(measure in table.measures for table in system) for system in tables]
    tested = [i for i, own in enumerate(topics) if own == usual and has_measure[i]]
    lettered: list[list[int]] = [[] for _ in tables]
    if len(tested) < 2 or any(len(qids) < 2 for qids in usual):
        return ColumnTest(lettered)
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
    corrected = significance.corrected(significance.p_values(languages))
    for group, numbers in zip(copies, letter_numbers(corrected < significance.LEVEL, order), strict=True):
        for place in group:
            lettered[tested[place]] = numbers
    return ColumnTest(lettered, corrected, {tested[place]: row for row, group in enumerate(copies) for place in group})


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
