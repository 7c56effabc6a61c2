"""Drawings of a comparison: a dumbbell a language, and each topic's two scores."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

from mdrbench.languages import LANGUAGES, SURPRISE
from mdrbench.site.charts import COLOURS, Drawing, Figure
from mdrbench.site.pairs import ALPHA, Pair
from mdrbench.site.rendering import number, signed

GRID = 20
"""Topics whose scores agree to a part in so many are drawn as one bubble."""

PANEL_GRID = 10
"""The same for the small panels of one language each."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""Specifications are written out: Altair takes a tenth of a second to check one, drawn before or not."""

OUTCOMES = {1: "A better", 0: "equal", -1: "B better"}
SHADES = (COLOURS[0], "#8a8f96", COLOURS[1])


class Bubble(NamedTuple):
    """So many topics near a pair of scores; ``sign`` is 1 where A is better, 0 where both are equal, -1 where B is."""

    a: float
    b: float
    sign: int
    topics: int


class Panel(NamedTuple):
    """A language's topics."""

    lang: str
    wins: int
    ties: int
    losses: int
    total: int
    bubbles: list[Bubble]


def name(lang: str) -> str:
    """A language's English name, or its code."""
    known = LANGUAGES.get(lang) or SURPRISE.get(lang)
    return known.name if known else lang


def dumbbell(pair: Pair, drawing: Drawing) -> Figure:
    """Both means of each language, joined; the largest difference in favour of A comes first."""
    rows = sorted(pair.languages, key=lambda row: (-row.test.difference, row.lang))
    lowest = min(min(row.test.mean_a, row.test.mean_b) for row in rows)
    start = max(0.0, math.floor(lowest * 10) / 10)
    values = [
        {
            "language": name(row.lang),
            "a": row.test.mean_a,
            "b": row.test.mean_b,
            "right": max(row.test.mean_a, row.test.mean_b),
            "difference": signed(row.test.difference),
            "real": row.p_randomisation_holm < ALPHA,
        }
        for row in rows
    ]
    return drawing.figure(
        _dumbbell(values, start, f"mean {pair.measure}"),
        title=f"Mean {pair.measure} by language",
        summary=f"{pair.a.name} (circle) is ahead in {sum(row.test.difference > 0 for row in rows)} of {len(rows)} "
        f"languages, {pair.b.name} (square) in {sum(row.test.difference < 0 for row in rows)}. "
        "Thick lines are significant differences.",
        columns=["Language", pair.a.name, pair.b.name, "Difference", "Significant"],
        rows=[
            [row["language"], number(row["a"]), number(row["b"]), row["difference"], "yes" if row["real"] else "no"]
            for row in values
        ],
    )


def _dumbbell(values: list[dict[str, Any]], start: float, title: str) -> dict[str, Any]:
    """Its Vega-Lite specification; there is room for words right of 1."""
    scale = {"domain": [start, 1 + 0.14 * (1 - start)], "nice": False}
    ticks = [tenth / 10 for tenth in range(round(10 * start), 11, 1 if start > 0.35 else 2)]
    axis = {"values": ticks, "format": ".1f", "titleFontWeight": "normal"}

    def x(field: str) -> dict[str, Any]:
        return {"field": field, "type": "quantitative", "scale": scale, "title": title, "axis": axis}

    def if_real(yes: float, no: float) -> dict[str, Any]:
        return {"condition": {"test": "datum.real", "value": yes}, "value": no}

    mark = {"type": "point", "filled": True, "opacity": 1}
    words = {"x": x("right"), "text": {"field": "difference", "type": "nominal"}, "opacity": if_real(1, 0.65)}
    labels = {"domain": False, "ticks": False, "labelPadding": 8, "grid": False}
    return {
        "$schema": SCHEMA,
        "data": {"values": values},
        "width": 300,
        "height": 23 * len(values),
        "encoding": {"y": {"field": "language", "type": "nominal", "sort": None, "title": None, "axis": labels}},
        "layer": [
            {
                "mark": {"type": "rule", "opacity": 0.55},
                "encoding": {"x": x("a"), "x2": {"field": "b"}, "strokeWidth": if_real(3, 1)},
            },
            {"mark": {**mark, "shape": "circle", "size": 62, "color": COLOURS[0]}, "encoding": {"x": x("a")}},
            {"mark": {**mark, "shape": "square", "size": 56, "color": COLOURS[1]}, "encoding": {"x": x("b")}},
            {"mark": {"type": "text", "align": "left", "dx": 9, "fontSize": 11}, "encoding": words},
        ],
    }


def scatter(pair: Pair, drawing: Drawing) -> Figure:
    """All topics of all languages by their two scores, near ones as one bubble."""
    found = bubbles([both for lang in pair.topics for both in _scores(pair, lang)], GRID)
    total = Counter(b.sign for b in found for _ in range(b.topics))
    return drawing.figure(
        _scatter(found, f"A: {pair.a.name[:48]}", f"B: {pair.b.name[:48]}"),
        title=f"{pair.measure} of each topic",
        summary=f"Of {sum(total.values())} topics {pair.a.name} scores higher on {total[1]}, {pair.b.name} on "
        f"{total[-1]}, and {total[0]} are equal. Points above the diagonal are topics on which B is better.",
        columns=[f"A: {pair.a.name}", f"B: {pair.b.name}", "Topics"],
        rows=[[number(b.a, 2), number(b.b, 2), str(b.topics)] for b in found],
    )


def _scatter(found: list[Bubble], across: str, upwards: str) -> dict[str, Any]:
    """Its Vega-Lite specification."""
    most = max(b.topics for b in found)
    axis = {"values": [0, 0.25, 0.5, 0.75, 1], "format": ".2~f", "titleFontWeight": "normal"}
    scale = {"domain": [-0.05, 1.05], "nice": False}

    def place(field: str, title: str) -> dict[str, Any]:
        return {"field": field, "type": "quantitative", "scale": scale, "axis": axis, "title": title}

    sizes = {
        "title": "topics",
        "titleFontWeight": "normal",
        "values": sorted({1, max(1, round(most / 4)), most}),
        "orient": "bottom",
        "symbolFillColor": SHADES[1],
        "symbolStrokeWidth": 0,
    }
    outcome = {
        "field": "outcome",
        "type": "nominal",
        "scale": {"domain": list(OUTCOMES.values()), "range": list(SHADES)},
        "legend": {"title": None, "symbolOpacity": 0.9, "orient": "top"},
    }
    values = [{"a": b.a, "b": b.b, "outcome": OUTCOMES[b.sign], "topics": b.topics} for b in found]
    return {
        "$schema": SCHEMA,
        "width": 320,
        "height": 320,
        "layer": [
            {
                "data": {"values": [{"a": 0, "b": 0}, {"a": 1, "b": 1}]},
                "mark": {"type": "line", "color": "#88888888", "strokeDash": [4, 4], "strokeWidth": 1},
                "encoding": {"x": place("a", across), "y": place("b", upwards)},
            },
            {
                "data": {"values": values},
                "mark": {"type": "circle", "opacity": 0.75},
                "encoding": {
                    "x": place("a", across),
                    "y": place("b", upwards),
                    "size": {
                        "field": "topics",
                        "type": "quantitative",
                        "scale": {"domain": [0, most], "range": [14, 900]},
                        "legend": sizes,
                    },
                    "color": outcome,
                    "order": {"field": "topics", "type": "quantitative", "sort": "descending"},
                },
            },
        ],
    }


def panels(pair: Pair) -> list[Panel]:
    """A small scatter for each language, for the template to draw."""
    found = []
    for row in pair.languages:
        drawn = bubbles(_scores(pair, row.lang), PANEL_GRID)
        t = row.test
        found.append(Panel(row.lang, t.wins, t.ties, t.losses, t.topics, drawn))
    return found


def bubbles(scores: list[tuple[float, float]], grid: int) -> list[Bubble]:
    """Topics counted by their two scores, rounded to a part in ``grid``, and by which is the higher."""
    counts = Counter((round(a * grid) / grid, round(b * grid) / grid, (a > b) - (a < b)) for a, b in scores)
    return [Bubble(*place, count) for place, count in sorted(counts.items())]


def _scores(pair: Pair, lang: str) -> list[tuple[float, float]]:
    a, b = (scored.of(pair.measure).tolist() for scored in pair.topics[lang])
    return list(zip(a, b, strict=True))
