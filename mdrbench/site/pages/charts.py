"""Charts as vector graphics, each with a description in words and a table of its data.

Curves and the charts of ablations are Vega-Lite specifications; ``engine/render.py`` draws them. Every pair of systems
has charts too: templates draw these from the positions that :class:`Scale` gives.

Text and rules have the page's colour (``currentColor``), so that one drawing serves light and dark. The colours of data
are those of Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers can tell apart on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b8608f", "#b57a00", "#2f8fc7")
"""Blue, vermilion, green, purple, orange, sky blue; the n-th series has the n-th colour.

The last three are darker than Okabe and Ito's: each has a contrast of at least 3:1 to the light and the dark page.
"""

CONFIG: dict[str, Any] = {
    "aria": False,  # the page describes the chart as a whole
    "background": None,
    "font": "Arial, Liberation Sans, Helvetica, sans-serif",  # the widths that labels are laid out with
    "axis": {
        "labelColor": "currentColor", "titleColor": "currentColor", "domainColor": "currentColor",
        "tickColor": "currentColor", "gridColor": "#88888855", "labelFontSize": 12, "titleFontSize": 12,
    },
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12},
    "header": {"labelColor": "currentColor", "titleColor": "currentColor"},
    "title": {"color": "currentColor"},
    "text": {"color": "currentColor"},
    "rule": {"color": "currentColor"},
    "view": {"stroke": None},
    "range": {"category": list(COLOURS)},
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """Map values from ``low`` to ``high`` to a line of ``length`` pixels.

    ``upwards`` reverses the line, because SVG counts downwards.
    """

    low: float
    high: float
    length: float
    upwards: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, to a tenth of a pixel."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.length * (1 - share if self.upwards else share), 1)


@dataclass(frozen=True, eq=False)
class DescribedChart:
    """A chart's title, its text alternative (``summary``) and its data as a table of strings."""

    title: str
    summary: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Figure(DescribedChart):
    """A chart that Vega-Lite draws from ``spec``."""

    spec: dict[str, Any]


def figure(
    spec: dict[str, Any], *, title: str, summary: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> Figure:
    """Return a figure of a Vega-Lite specification in the site's style."""
    return Figure(title, summary, columns, rows, {"$schema": SCHEMA, **spec, "config": CONFIG})
