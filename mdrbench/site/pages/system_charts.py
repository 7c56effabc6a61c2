"""The chart of a system's page: how its encoder was trained."""

from __future__ import annotations

from typing import Any

from mdrbench.site.pages.charts import COLOURS, Figure, figure

TABLE_ROWS = 60
"""Rows of the table behind a training curve; the log has all of them."""
DOTS = 40
"""A curve of up to this many steps has a dot for each step."""
WIDTH = 620


def training_curve(log: list[dict[str, Any]], name: str) -> Figure | None:
    """Draw the loss of batches and held-out queries by step, above the learning rate; None for an empty log."""
    train = [line for line in log if line["kind"] == "train"]
    held_out = [line for line in log if line["kind"] == "validation"]
    if not train:
        return None
    return figure(
        _curves(train, held_out),
        title="Loss and learning rate",
        summary=_summary(train, held_out, name),
        columns=("step", "loss", "held-out loss", "learning rate", "norm of the gradient"),
        rows=_rows(train, held_out),
    )


def _curves(train: list[dict[str, Any]], held_out: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a Vega-Lite specification of two panels over the same steps."""
    steps = {"field": "step", "type": "quantitative", "scale": {"nice": False, "domainMin": 0}}
    whole: dict[str, Any] = {"format": "d", "tickMinStep": 1}
    colour = {"scale": {"domain": ["batches", "held-out queries"], "range": list(COLOURS[:2])}}
    legend = {"orient": "top", "title": None, "symbolType": "circle", "symbolOpacity": 1}

    def encoding(field: str, title: str, label: str, x: dict[str, Any]) -> dict[str, Any]:
        y: dict[str, Any] = {"field": field, "type": "quantitative", "title": title, "scale": {"zero": field == "lr"}}
        y["axis"] = {"tickCount": 5, **({"format": "~e"} if field == "lr" else {})}
        return {"x": x, "y": y, "color": {"datum": label, "type": "nominal", "legend": legend, **colour}}

    mark = {"type": "line", "point": {"size": 26} if len(train) <= DOTS else False, "strokeWidth": 1.6}
    bare = {**steps, "title": None, "axis": {**whole, "labels": False, "ticks": False}}
    losses = [
        {
            "data": {"values": [{"step": line["step"], "loss": line["loss"]} for line in train]},
            "mark": mark,
            "encoding": encoding("loss", "loss", "batches", bare),
        }
    ]
    if held_out:
        losses.append(
            {
                "data": {"values": [{"step": line["step"], "loss": line["loss"]} for line in held_out]},
                "mark": {"type": "line", "point": {"size": 60, "filled": True}, "strokeWidth": 1.6},
                "encoding": encoding("loss", "loss", "held-out queries", bare),
            }
        )
    rate = encoding("lr", "learning rate", "batches", {**steps, "title": "step", "axis": whole})
    rate["color"] = {"value": COLOURS[2]}
    rates = {
        "data": {"values": [{"step": line["step"], "lr": line["lr"]} for line in train if line.get("lr") is not None]},
        "mark": {"type": "line", "strokeWidth": 1.6},
        "encoding": rate,
        "width": WIDTH,
        "height": 80,
    }
    return {
        "vconcat": [{"layer": losses, "width": WIDTH, "height": 220}, rates],
        "spacing": 12,
    }


def _summary(train: list[dict[str, Any]], held_out: list[dict[str, Any]], name: str) -> str:
    first, last = train[0], train[-1]
    text = f"Training of {name}: the loss of the batches went from {first['loss']:.4g} at step {first['step']}"
    text += f" to {last['loss']:.4g} at step {last['step']}."
    if held_out:
        best = min(held_out, key=lambda line: line["loss"])
        text += f" The lowest loss of the held-out queries was {best['loss']:.4g}, after step {best['step']}."
    rates = [line["lr"] for line in train if line.get("lr") is not None]
    return text + (f" The learning rate was at most {max(rates):.3g}." if rates else "")


def _rows(train: list[dict[str, Any]], held_out: list[dict[str, Any]]) -> list[list[str]]:
    """Return at most :data:`TABLE_ROWS` evenly spaced steps, and every validation."""
    stride = max(1, -(-len(train) // TABLE_ROWS))
    chosen = {line["step"]: line for at, line in enumerate(train) if at % stride == 0 or at == len(train) - 1}
    validated = {line["step"]: line["loss"] for line in held_out}
    rows = []
    for step in sorted({*chosen, *validated}):
        line = chosen.get(step, {})
        cells = [line.get("loss"), validated.get(step), line.get("lr"), line.get("grad_norm")]
        rows.append([str(step), *("–" if value is None else f"{value:.4g}" for value in cells)])
    return rows
