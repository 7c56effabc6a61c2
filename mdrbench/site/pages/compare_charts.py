"""Drawings of a comparison, as positions for templates: a dumbbell a language, and each topic's two scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.site.engine.rendering import number, signed
from mdrbench.site.model.pairs import ALPHA, Pair
from mdrbench.site.pages.charts import COLOURS, Described, Scale

GRID = 20
"""Topics whose scores agree to a part in so many are drawn as one bubble."""

PANEL_GRID = 10
"""The same for the small panels of one language each."""

OUTCOMES = {1: "A better", 0: "equal", -1: "B better"}
SHADES = {1: COLOURS[0], 0: "#8a8f96", -1: COLOURS[1]}

WIDTH = 300
"""Pixels between the ends of a dumbbell's axis."""

ROW = 23
"""Pixels a language."""

LETTER = 6.1
"""Pixels of a letter, at most, on average."""

LABEL = 28
"""Characters of a label, at most."""

SIDE = 320
"""Pixels of a scatter's sides."""


class Bubble(NamedTuple):
    """So many topics near a pair of scores; ``sign`` is 1 where A is better, 0 where both are equal, -1 where B is."""

    a: float
    b: float
    sign: int
    topics: int


class Dots(NamedTuple):
    """Bubbles of one size and kind as they are drawn: points of a line that is ``width`` wide and has round ends.

    ``kind`` says which is better: w (A), t (none), l (B).
    """

    kind: str
    colour: str
    width: str
    path: str


class Panel(NamedTuple):
    """A language's topics."""

    lang: str
    wins: int
    ties: int
    losses: int
    dots: list[Dots]


class Bell(NamedTuple):
    """A language's line: its name, the places of both means, and the difference; ``y`` is its middle."""

    label: str
    y: float
    a: float
    b: float
    difference: str
    real: bool


@dataclass(frozen=True, eq=False)
class Dumbbell(Described):
    """Both means of each language, joined. ``left`` is room for names; ``ticks``: place and label."""

    axis: str
    left: float
    width: int
    height: int
    ticks: list[tuple[float, str]]
    bells: list[Bell]


@dataclass(frozen=True, eq=False)
class Scatter(Described):
    """Topics by their two scores. ``sizes``: place, radius and topics of the circles that explain the others."""

    across: str
    upwards: str
    side: int
    ticks: list[tuple[float, float, str]]
    dots: list[Dots]
    outcomes: list[tuple[str, str]]
    sizes: list[tuple[float, str, int]]


def name(lang: str) -> str:
    """A language's English name, or its code."""
    known = LANGUAGES.get(lang) or SURPRISE.get(lang)
    return known.name if known else lang


def dumbbell(pair: Pair) -> Dumbbell:
    """Both means of each language, joined; the largest difference in favour of A comes first. There is room for words
    right of 1."""
    rows = sorted(pair.languages, key=lambda row: (-row.test.difference, row.lang))
    lowest = min(min(row.test.mean_a, row.test.mean_b) for row in rows)
    start = max(0.0, math.floor(lowest * 10) / 10)
    x = Scale(start, 1 + 0.14 * max(0.1, 1 - start), WIDTH)
    bells = [
        Bell(
            _short(name(row.lang)),
            ROW * at + ROW / 2,
            x(row.test.mean_a),
            x(row.test.mean_b),
            signed(row.test.difference),
            row.p_randomisation_holm < ALPHA,
        )
        for at, row in enumerate(rows)
    ]
    tenths = range(round(10 * start), 11, 1 if start > 0.35 else 2)
    return Dumbbell(
        title=f"Mean {pair.measure} by language",
        summary=f"{pair.a.name} (circle) is ahead in {sum(row.test.difference > 0 for row in rows)} of {len(rows)} "
        f"languages, {pair.b.name} (square) in {sum(row.test.difference < 0 for row in rows)}. "
        "Thick lines are significant differences.",
        columns=["Language", pair.a.name, pair.b.name, "Difference", "Significant"],
        rows=[
            [
                name(row.lang), number(row.test.mean_a), number(row.test.mean_b), signed(row.test.difference),
                "yes" if row.p_randomisation_holm < ALPHA else "no",
            ]
            for row in rows
        ],
        axis=f"mean {pair.measure}",
        left=round(12 + LETTER * max(len(bell.label) for bell in bells)),
        width=WIDTH,
        height=ROW * len(bells),
        ticks=[(x(tenth / 10), f"{tenth / 10:.1f}") for tenth in tenths],
        bells=bells,
    )  # fmt: skip


def scatter(pair: Pair) -> Scatter:
    """All topics of all languages by their two scores, near ones as one bubble."""
    found = bubbles(pair, list(pair.topics), GRID)
    total: Counter[int] = Counter()
    for bubble in found:
        total[bubble.sign] += bubble.topics
    most = max(b.topics for b in found)
    x, y = Scale(-0.05, 1.05, SIDE), Scale(-0.05, 1.05, SIDE, upwards=True)

    def radius(topics: int) -> float:
        return math.sqrt(14 + 886 * topics / most) / 2

    return Scatter(
        title=f"{pair.measure} of each topic",
        summary=f"Of {sum(total.values())} topics {pair.a.name} scores higher on {total[1]}, {pair.b.name} on "
        f"{total[-1]}, and {total[0]} are equal. Points above the diagonal are topics on which B is better.",
        columns=[f"A: {pair.a.name}", f"B: {pair.b.name}", "Topics"],
        rows=[[number(b.a, 2), number(b.b, 2), str(b.topics)] for b in found],
        across=f"A: {pair.a.name[:48]}",
        upwards=f"B: {pair.b.name[:48]}",
        side=SIDE,
        ticks=[(x(at), y(at), f"{at:g}") for at in (0, 0.25, 0.5, 0.75, 1)],
        dots=_dots(found, x, y, radius),
        outcomes=[(OUTCOMES[sign], SHADES[sign]) for sign in OUTCOMES],
        sizes=_sizes([(radius(topics), topics) for topics in sorted({1, max(1, round(most / 4)), most})]),
    )


_KINDS = {1: "w", 0: "t", -1: "l"}


def _dots(found: list[Bubble], x: Scale, y: Scale, radius: Callable[[int], float]) -> list[Dots]:
    """Bubbles by size and kind, the largest first."""
    across = {a: x(a) for a in {bubble.a for bubble in found}}
    upwards = {b: y(b) for b in {bubble.b for bubble in found}}
    places: dict[tuple[int, int], list[str]] = {}
    for a, b, sign, topics in sorted(found, key=lambda bubble: -bubble.topics):
        places.setdefault((topics, sign), []).append(f"M{across[a]} {upwards[b]}h0")
    return [
        Dots(_KINDS[sign], SHADES[sign], f"{2 * radius(topics):.1f}", "".join(group))
        for (topics, sign), group in places.items()
    ]


def _sizes(circles: list[tuple[float, int]]) -> list[tuple[float, str, int]]:
    """Circles beside one another, each with room for its number."""
    found, left = [], 0.0
    for radius, topics in circles:
        place = left + max(6.0, radius)
        found.append((round(place, 1), f"{radius:.1f}", topics))
        left = place + max(6.0, radius) + 4 + 7 * len(str(topics)) + 12
    return found


def panels(pair: Pair) -> list[Panel]:
    """A small scatter for each language, 100 units wide."""
    found = []
    x, y = Scale(0, 1, 100), Scale(0, 1, 100, upwards=True)
    for row in pair.languages:
        t = row.test
        near = bubbles(pair, [row.lang], PANEL_GRID)
        dots = _dots(near, x, y, lambda topics, total=t.topics: 1.6 + 10 * math.sqrt(topics / total))
        found.append(Panel(row.lang, t.wins, t.ties, t.losses, dots))
    return found


def bubbles(pair: Pair, langs: list[str], grid: int) -> list[Bubble]:
    """Topics counted by their two scores, rounded to a part in ``grid``, and by which is the higher."""
    import numpy as np

    a, b = (np.concatenate([pair.topics[lang][side].of(pair.measure) for lang in langs]) for side in (0, 1))
    rounded = np.rint(a * grid) / grid, np.rint(b * grid) / grid, np.sign(a - b).astype(int)
    counts = Counter(zip(*(column.tolist() for column in rounded), strict=True))
    return [Bubble(*place, count) for place, count in sorted(counts.items())]


def _short(label: str) -> str:
    return label if len(label) <= LABEL else f"{label[: LABEL - 1]}…"
