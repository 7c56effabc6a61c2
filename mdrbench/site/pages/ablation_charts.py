"""The charts of an ablation's page: effects, cumulative stages, sweeps, seeds."""

from __future__ import annotations

from typing import Any

from mdrbench.site.model.ablations import CumulativeStep, SeedScore, SweepPoint, VariantEffect, as_number
from mdrbench.site.model.number_format import interval, number, signed
from mdrbench.site.pages.charts import COLOURS, Figure, figure

WIDTH = 720
"""Pixels of a chart, its labels included."""
FITTED = {"width": WIDTH, "autosize": {"type": "fit-x", "contains": "padding"}}
ROW = 26
LABELS = {"labelLimit": 330, "labelPadding": 8, "ticks": False, "domain": False, "title": None}
SIGNIFICANT, NOT_SIGNIFICANT = "interval excludes 0", "interval includes 0"
SIGNED = "datum.value == 0 ? '0' : format(datum.value, '+.3~f')"
DIFFERENCE = "difference to the complete recipe"


def effects(rows: list[VariantEffect], measure: str, *, title: str, when: str) -> Figure:
    """Draw a dot with its interval for each variant, in the given order; ``when`` describes the change in words."""
    values = [
        {"at": at, "part": row.name.label, "difference": row.effect.difference, "low": row.effect.low,
         "high": row.effect.high, "significant": SIGNIFICANT if row.significant else NOT_SIGNIFICANT}
        for at, row in enumerate(rows)
    ]  # fmt: skip
    y = {"field": "part", "type": "nominal", "sort": {"field": "at"}, "axis": LABELS}
    colour = {
        "field": "significant", "type": "nominal",
        "scale": {"domain": [SIGNIFICANT, NOT_SIGNIFICANT], "range": [COLOURS[1], "#8a9099"]},
        "legend": {"orient": "top", "title": None, "symbolType": "circle", "symbolOpacity": 1, "symbolStrokeWidth": 0},
    }  # fmt: skip
    layers = [
        _zero(),
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x": _x("low", f"{DIFFERENCE}, {measure}"), "x2": {"field": "high"}, "y": y, "color": colour},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 75, "opacity": 1},
            "encoding": {"x": _x("difference", f"{DIFFERENCE}, {measure}"), "y": y, "color": colour},
        },
    ]
    significant = [row.name.label for row in rows if row.significant]
    worst = rows[0]
    summary = f"Differences in {measure} {when}, with intervals. "
    summary += f"The largest loss is {worst.name.label}: {signed(worst.effect.difference)}. "
    summary += f"Intervals that exclude 0: {', '.join(significant) or 'none'}."
    return figure(
        {"data": {"values": values}, "layer": layers, **FITTED, "height": ROW * len(rows)},
        title=title,
        summary=summary,
        columns=("variant", "score", "difference", "interval", "interval excludes 0"),
        rows=[
            [row.name.label, number(row.effect.score), signed(row.effect.difference),
             interval(row.effect.low, row.effect.high), "yes" if row.significant else "no"]
            for row in rows
        ],
    )  # fmt: skip


def waterfall(steps: list[CumulativeStep], measure: str) -> Figure:
    """Draw the steps from all stages off to the complete recipe: each bar is the difference to the step before."""
    values = []
    for at, step in enumerate(steps):
        before = step.score if step.gain is None else step.score - step.gain
        kind = "start" if step.gain is None else "gain" if step.gain >= 0 else "loss"
        text = number(step.score) + (f"  ({signed(step.gain)})" if step.gain is not None else "")
        values.append(
            {"at": at, "step": step.label, "before": before, "score": step.score, "kind": kind, "text": text,
             "right": max(before, step.score)}
        )  # fmt: skip
    y = {"field": "step", "type": "nominal", "sort": {"field": "at"}, "axis": LABELS}
    scores = [step.score for step in steps]
    low, high = min(scores), max(scores)
    room = max(high - low, 0.002)
    scale = {"zero": False, "nice": False, "domain": [low - 0.08 * room, high + 0.5 * room]}
    colour = {
        "field": "kind", "type": "nominal", "legend": None,
        "scale": {"domain": ["start", "gain", "loss"], "range": ["#8a9099", COLOURS[0], COLOURS[1]]},
    }  # fmt: skip
    x = {"type": "quantitative", "title": measure, "scale": scale, "axis": {"tickCount": 6}}
    layers = [
        {
            "mark": {"type": "bar", "height": {"band": 0.5}},
            "encoding": {"x": {"field": "before", **x}, "x2": {"field": "score"}, "y": y, "color": colour},
        },
        {
            "mark": {"type": "tick", "thickness": 3, "bandSize": ROW * 0.8},
            "encoding": {"x": {"field": "score", **x}, "y": y, "color": colour},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 12},
            "encoding": {"x": {"field": "right", **x}, "y": y, "text": {"field": "text"}},
        },
    ]
    first, last = steps[0], steps[-1]
    summary = f"{measure} from {first.label} ({number(first.score)}) to {last.label} ({number(last.score)}): "
    summary += ", ".join(f"{step.label} {signed(step.gain)}" for step in steps[1:] if step.gain is not None) + "."
    return figure(
        {"data": {"values": values}, "layer": layers, **FITTED, "height": 34 * len(steps)},
        title="From the plain recipe to the complete one",
        summary=summary,
        columns=("step", "score", "added by this step", DIFFERENCE, "its interval"),
        rows=[
            [step.label, number(step.score), "–" if step.gain is None else signed(step.gain),
             signed(step.effect.difference) if step.effect else "–",
             interval(step.effect.low, step.effect.high) if step.effect else "–"]
            for step in steps
        ],
    )  # fmt: skip


def sweep(key: str, points: list[SweepPoint], measure: str) -> Figure:
    """Draw the difference to the complete recipe by the value of a key; the complete recipe's value lies at 0."""
    numbers = [value for point in points if (value := as_number(point.value)) is not None]
    numeric = len(numbers) == len(points)
    values = [
        {"at": at, "value": numbers[at] if numeric else point.value,
         "difference": point.effect.difference if point.effect else 0.0,
         "low": point.effect.low if point.effect else 0.0, "high": point.effect.high if point.effect else 0.0,
         "which": "complete" if point.effect is None else "variant"}
        for at, point in enumerate(points)
    ]  # fmt: skip
    axis: dict[str, Any] = {"labelAngle": 0, "labelLimit": 160}
    x: dict[str, Any] = {"field": "value", "title": key, "axis": axis}
    if numeric:
        x |= {"type": "quantitative", "scale": {"zero": False, "padding": 16}}
        axis |= {"values": sorted(set(numbers)), "grid": False}
    else:
        x |= {"type": "nominal", "sort": {"field": "at"}}
    y: dict[str, Any] = {"field": "difference", "type": "quantitative", "title": f"difference, {measure}"}
    y["axis"] = {"tickCount": 6, "labelExpr": SIGNED}
    colour = {
        "field": "which", "type": "nominal",
        "scale": {"domain": ["variant", "complete"], "range": [COLOURS[0], COLOURS[1]]},
        "legend": {"orient": "top", "title": None, "symbolType": "circle", "symbolOpacity": 1, "symbolStrokeWidth": 0},
    }  # fmt: skip
    layers = [
        {"mark": {"type": "rule", "strokeDash": [3, 3], "opacity": 0.6}, "encoding": {"y": {"datum": 0}}},
        {
            "mark": {"type": "rule", "strokeWidth": 2, "color": COLOURS[0]},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": colour},
        },
    ]
    if numeric:
        layers.insert(
            1, {"mark": {"type": "line", "strokeWidth": 1.4, "color": COLOURS[0]}, "encoding": {"x": x, "y": y}}
        )
    best = max(points, key=lambda point: point.effect.difference if point.effect else 0.0)
    own = next((point.value for point in points if point.effect is None), None)
    summary = f"{measure} by {key}, as difference to the complete recipe"
    summary += f" ({own})" if own is not None else ""
    summary += f". The best of {len(points)} values is {best.value}, with {number(best.score)}."
    return figure(
        {"data": {"values": values}, "layer": layers, "width": min(560, 150 + 90 * len(points)),
         "height": 240},
        title=key,
        summary=summary,
        columns=(key, "score", "difference", "interval"),
        rows=[
            [point.value + (" (complete)" if point.effect is None else ""), number(point.score),
             signed(point.effect.difference) if point.effect else "–",
             interval(point.effect.low, point.effect.high) if point.effect else "–"]
            for point in points
        ],
    )  # fmt: skip


def seeds(runs: list[SeedScore], measure: str) -> Figure | None:
    """Draw a dot for each seed of each recipe; None if no recipe has the results of several seeds."""
    known = [run for run in runs if run.score is not None]
    labels = list(dict.fromkeys(run.label for run in known))
    if len(known) == len(labels):
        return None
    values = [{"at": labels.index(r.label), "recipe": r.label, "score": r.score, "seed": str(r.seed)} for r in known]
    y = {"field": "recipe", "type": "nominal", "sort": {"field": "at"}, "axis": LABELS}
    x = {"field": "score", "type": "quantitative", "title": measure, "scale": {"zero": False}, "axis": {"tickCount": 6}}
    mark = {"type": "point", "filled": True, "size": 55, "opacity": 0.75, "color": COLOURS[0]}
    by_label: dict[str, list[float]] = {}
    for run in known:
        by_label.setdefault(run.label, []).append(run.score or 0.0)
    widest = max(by_label, key=lambda label: max(by_label[label]) - min(by_label[label]))
    summary = f"{measure} of each seed of each recipe. The seeds differ most for {widest}: from "
    summary += f"{number(min(by_label[widest]))} to {number(max(by_label[widest]))}."
    return figure(
        {"data": {"values": values}, "mark": mark, "encoding": {"x": x, "y": y}, **FITTED,
         "height": ROW * len(labels)},
        title="Spread over the seeds",
        summary=summary,
        columns=("recipe", "seed", measure),
        rows=[[run.label, str(run.seed), "–" if run.score is None else number(run.score)] for run in runs],
    )  # fmt: skip


def _zero() -> dict[str, Any]:
    return {"mark": {"type": "rule", "opacity": 0.7}, "encoding": {"x": {"datum": 0}}}


def _x(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "axis": {"tickCount": 6, "labelExpr": SIGNED}}
