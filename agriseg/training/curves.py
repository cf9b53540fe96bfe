"""Loss and IoU over the steps, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from agriseg.evaluation.page import INK, PALE, STYLE
from agriseg.legend import Legend
from agriseg.training.keeper import Row

__all__ = ["curves_png"]

_FEW_POINTS = 30


def curves_png(history: Sequence[Row], legend: Legend) -> bytes:
    """A PNG of the loss, and beside it the IoU of each class on the validation chips."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    steps = [row["step"] for row in history]
    scored = any(row.get("iou") for row in history)
    marker = "o" if len(history) <= _FEW_POINTS else ""
    with rc_context(STYLE):
        figure = Figure(figsize=(13, 3.6), dpi=110, facecolor="white", layout="constrained")
        plots: Any = figure.subplots(1, 2 if scored else 1, squeeze=False)[0]
        plots[0].plot(
            steps, [row["loss"] for row in history], color=INK, marker=marker, markersize=3
        )
        plots[0].set_title("Loss in training")
        plots[0].set_ylim(bottom=0)
        if scored:
            _iou(plots[1], history, steps, legend, marker)
        for plot in plots:
            plot.set_xlabel("steps")
            plot.grid(axis="y", color="#e6eae8")
        data = io.BytesIO()
        figure.savefig(data, format="png")
    return data.getvalue()


def _iou(
    plot: Any, history: Sequence[Row], steps: Sequence[int], legend: Legend, marker: str
) -> None:
    lines = [(label.name, label.color) for label in legend]
    for name, color in [*lines, ("mean", INK)]:
        values = [_number(row, name) for row in history]
        style = "--" if name == "mean" else "-"
        plot.plot(steps, values, style, color=color, marker=marker, markersize=3, label=name)
    mean = [_number(row, "mean") for row in history]
    best = max(range(len(mean)), key=lambda k: -1.0 if mean[k] != mean[k] else mean[k])
    plot.axvline(steps[best], color=PALE, linewidth=1, linestyle=":")
    plot.annotate(
        "kept",
        (steps[best], 0.02),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color=PALE,
    )
    plot.set_ylim(0, 1)
    plot.set_title("IoU on the validation chips")
    plot.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8.5)


def _number(row: Row, name: str) -> float:
    value = (row.get("iou") or {}).get(name)
    return float("nan") if value is None else float(value)
