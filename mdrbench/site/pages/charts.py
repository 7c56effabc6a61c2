"""Charts as vector graphics, each with words and a table for what it shows.

Curves and the charts of ablations are drawn by Vega-Lite while the site is built. That takes a tenth of a second each;
where every pair of systems has a chart, a template draws it from the positions that :class:`Scale` gives.

Text and rules take the page's colour (``currentColor``), so one drawing serves light and dark; the colours of data are
those of Okabe and Ito ("Color Universal Design", 2008), which stay apart for colour-blind readers on both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mdrbench.site.engine import keeping

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Blue, vermilion, green, purple, orange, sky: the n-th series has the n-th colour."""

CONFIG: dict[str, Any] = {
    "aria": False,  # the drawing is one image, described as a whole
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
    """Values from ``low`` to ``high`` on a line of so many pixels; ``upwards`` turns it round, as SVG counts down."""

    low: float
    high: float
    length: float
    upwards: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value, to a tenth of a pixel."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.length * (1 - share if self.upwards else share), 1)


@dataclass(frozen=True, eq=False)
class Described:
    """What a drawing says in words (``summary``, its text alternative) and its data as a table of strings."""

    title: str
    summary: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Figure(Described):
    """A chart that Vega-Lite draws."""

    drawing: Drawing
    spec: dict[str, Any]

    @cached_property
    def svg(self) -> Markup:
        """The drawing, made when a page shows it: pages are rendered over the cores."""
        hidden = self.drawing.svg(self.spec).replace("<svg ", '<svg aria-hidden="true" ', 1)  # the page describes it
        return Markup(hidden)


class Drawing:
    """Draws charts; what was drawn before is taken from ``cache``, a folder of SVG files by the hash of their chart."""

    def __init__(self, cache: Path):
        self.cache = cache

    def figure(
        self, chart: Any, *, title: str, summary: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> Figure:
        """A figure of an Altair chart (or its Vega-Lite specification)."""
        spec = chart if isinstance(chart, dict) else chart.to_dict()
        spec = {**spec, "config": CONFIG}
        return Figure(title, summary, list(columns), [list(row) for row in rows], self, spec)

    def svg(self, spec: dict[str, Any]) -> str:
        """The SVG of a Vega-Lite specification."""
        import vl_convert

        text = json.dumps(spec, sort_keys=True, ensure_ascii=False)
        place = self.cache / f"{hashlib.sha256(f'{vl_convert.__version__} {text}'.encode()).hexdigest()}.svg"
        drawn = keeping.kept(place)
        if drawn is None:
            drawn = vl_convert.vegalite_to_svg(spec).encode("utf-8")
            keeping.keep(place, drawn)
        return drawn.decode("utf-8")
