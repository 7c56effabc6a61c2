"""The charts of a comparison, as positions for templates: a dumbbell for each language, and a scatter of topics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from markupsafe import Markup

from mdrbench.results.comparison import LanguageComparison
from mdrbench.site.model.collection import language_name
from mdrbench.site.model.comparisons import SystemComparison
from mdrbench.site.model.number_format import number, signed
from mdrbench.site.pages.charts import COLOURS, DescribedChart, Scale

GRID = 20
"""Scores are rounded to multiples of 1 / GRID; topics with the same two scores are drawn as one bubble."""

PANEL_GRID = 10
"""The same for the small panels of one language."""

OUTCOMES = {1: "A better", 0: "equal", -1: "B better"}
SHADES = {1: COLOURS[0], 0: "#8a8f96", -1: COLOURS[1]}

WIDTH = 300
"""Pixels between the ends of a dumbbell's axis."""

ROW = 23
"""Pixels of a language's row."""

LETTER = 6.1
"""Pixels of an average letter, estimated high."""

LABEL = 28
"""The most characters of a label."""

SIDE = 320
"""Pixels of a side of the scatter."""


class Bubble(NamedTuple):
    """The number of topics near a pair of scores, which are multiples of 1 / grid.

    ``sign`` is 1 if A is better, -1 if B is better, 0 if neither.
    """

    a: int
    b: int
    sign: int
    topics: int


class Dots(NamedTuple):
    """Bubbles of one size and kind, drawn as the points of a line that is ``width`` wide and has round ends.

    ``kind`` says which system is better: w (A), t (neither), l (B).
    """

    kind: str
    colour: str
    width: str
    path: str


class Panel(NamedTuple):
    """A language's topics; ``dots`` is SVG."""

    lang: str
    wins: int
    ties: int
    losses: int
    dots: Markup


class DumbbellRow(NamedTuple):
    """A language's row: its name, the places of both means, and the difference; ``y`` is the middle of the row."""

    label: str
    y: float
    a: float
    b: float
    difference: str
    significant: bool


@dataclass(frozen=True, eq=False)
class Dumbbell(DescribedChart):
    """Both means of each language, joined. ``left`` is the room for names; ``ticks`` are places and labels."""

    axis: str
    left: float
    width: int
    height: int
    ticks: list[tuple[float, str]]
    rows_drawn: list[DumbbellRow]


@dataclass(frozen=True, eq=False)
class Scatter(DescribedChart):
    """Topics by their two scores. ``sizes``: place, radius and topics of the circles in the legend."""

    across: str
    upwards: str
    side: int
    ticks: list[tuple[float, float, str]]
    dots: list[Dots]
    outcomes: list[tuple[str, str]]
    sizes: list[tuple[float, str, int]]


def dumbbell(pair: SystemComparison) -> Dumbbell:
    """Draw both means of each language, joined; the largest difference in favour of A comes first."""
    rows = sorted(pair.languages, key=lambda row: (-row.test.difference, row.lang))
    lowest = min(min(row.test.mean_a, row.test.mean_b) for row in rows)
    start = max(0.0, math.floor(lowest * 10) / 10)
    x = Scale(start, 1 + 0.14 * max(0.1, 1 - start), WIDTH)  # with room for a difference right of 1
    drawn = [
        DumbbellRow(
            _short(language_name(row.lang)),
            ROW * at + ROW / 2,
            x(row.test.mean_a),
            x(row.test.mean_b),
            signed(row.test.difference),
            bool(row.mark),
        )
        for at, row in enumerate(rows)
    ]
    tenths = range(round(10 * start), 11, 1 if start > 0.35 else 2)
    return Dumbbell(
        title=f"Mean {pair.measure} by language",
        summary=f"{pair.a.name} (circle) is ahead in {sum(row.test.difference > 0 for row in rows)} of {len(rows)} "
        f"languages, {pair.b.name} (square) in {sum(row.test.difference < 0 for row in rows)}. "
        "Thick lines are differences marked with * or †.",
        columns=["Language", pair.a.name, pair.b.name, "Difference", "Mark"],
        rows=[
            [
                language_name(row.lang), number(row.test.mean_a), number(row.test.mean_b), signed(row.test.difference),
                row.mark or "no",
            ]
            for row in rows
        ],
        axis=f"mean {pair.measure}",
        left=round(12 + LETTER * max(len(row.label) for row in drawn)),
        width=WIDTH,
        height=ROW * len(drawn),
        ticks=[(x(tenth / 10), f"{tenth / 10:.1f}") for tenth in tenths],
        rows_drawn=drawn,
    )  # fmt: skip


def scatter(pair: SystemComparison) -> Scatter:
    """Draw all topics of all languages by their two scores."""
    drawn = _bubbles(pair, list(pair.scores), GRID)
    total: Counter[int] = Counter()
    for bubble in drawn:
        total[bubble.sign] += bubble.topics
    most = max(bubble.topics for bubble in drawn)
    x, y = Scale(-0.05, 1.05, SIDE), Scale(-0.05, 1.05, SIDE, upwards=True)

    def radius(topics: int) -> float:
        return math.sqrt(14 + 886 * topics / most) / 2

    return Scatter(
        title=f"{pair.measure} of each topic",
        summary=f"Of {sum(total.values())} topics {pair.a.name} scores higher on {total[1]}, {pair.b.name} on "
        f"{total[-1]}, and {total[0]} are equal. Points above the diagonal are topics on which B is better.",
        columns=[f"A: {pair.a.name}", f"B: {pair.b.name}", "Topics"],
        rows=[[number(b.a / GRID, 2), number(b.b / GRID, 2), str(b.topics)] for b in drawn],
        across=f"A: {pair.a.name[:48]}",
        upwards=f"B: {pair.b.name[:48]}",
        side=SIDE,
        ticks=[(x(at), y(at), f"{at:g}") for at in (0, 0.25, 0.5, 0.75, 1)],
        dots=_dots(drawn, _grid(x, GRID), _grid(y, GRID), radius),
        outcomes=[(OUTCOMES[sign], SHADES[sign]) for sign in OUTCOMES],
        sizes=_sizes([(radius(topics), topics) for topics in sorted({1, max(1, round(most / 4)), most})]),
    )


_KINDS = {1: "w", 0: "t", -1: "l"}


@lru_cache(maxsize=8)
def _grid(scale: Scale, grid: int) -> list[float]:
    """Return the places of all multiples of 1 / grid."""
    return [scale(at / grid) for at in range(grid + 1)]


def _dots(drawn: list[Bubble], across: list[float], upwards: list[float], radius: Callable[[int], float]) -> list[Dots]:
    """Return bubbles by size and kind, the largest first."""
    places: dict[tuple[int, int], list[str]] = {}
    for a, b, sign, topics in sorted(drawn, key=lambda bubble: -bubble.topics):
        places.setdefault((topics, sign), []).append(f"M{across[a]} {upwards[b]}h0")
    return [
        Dots(_KINDS[sign], SHADES[sign], f"{2 * radius(topics):.1f}", "".join(group))
        for (topics, sign), group in places.items()
    ]


def _sizes(circles: list[tuple[float, int]]) -> list[tuple[float, str, int]]:
    """Place circles beside each other, each with room for its number."""
    placed, left = [], 0.0
    for radius, topics in circles:
        place = left + max(6.0, radius)
        placed.append((round(place, 1), f"{radius:.1f}", topics))
        left = place + max(6.0, radius) + 4 + 7 * len(str(topics)) + 12
    return placed


def panels(pair: SystemComparison) -> list[Panel]:
    """Draw a small scatter for each language, 100 units wide."""
    return [_panel(pair, row) for row in pair.languages]


def _panel(pair: SystemComparison, row: LanguageComparison) -> Panel:
    test = row.test

    def radius(topics: int) -> float:
        return 1.6 + 10 * math.sqrt(topics / test.topics)

    across, upwards = (_grid(Scale(0, 1, 100, upwards=side), PANEL_GRID) for side in (False, True))
    dots = _dots(_bubbles(pair, [row.lang], PANEL_GRID), across, upwards, radius)
    paths = (f'<path class="dots {kind}" stroke-width="{width}" d="{path}"/>' for kind, _, width, path in dots)
    return Panel(row.lang, test.wins, test.ties, test.losses, Markup("\n".join(paths)))


def _bubbles(pair: SystemComparison, langs: list[str], grid: int) -> list[Bubble]:
    """Count topics by their two scores, rounded to multiples of 1 / ``grid``, and by which score is higher."""
    import numpy as np

    a, b = (np.concatenate([pair.scores[lang][side].of(pair.measure) for lang in langs]) for side in (0, 1))
    rounded = np.stack([np.rint(a * grid), np.rint(b * grid), np.sign(a - b)]).astype(int).tolist()
    counts = Counter(zip(*rounded, strict=True))
    return [Bubble(a, b, sign, topics) for (a, b, sign), topics in sorted(counts.items())]


def _short(label: str) -> str:
    return label if len(label) <= LABEL else f"{label[: LABEL - 1]}…"
