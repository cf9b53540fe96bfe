"""A picture of a split: what each part holds, and where it lies."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from agriseg.labels.split import PARTS, Split
from agriseg.labels.survey import Survey
from agriseg.raster.whole_file import write_bytes

__all__ = ["draw_split"]

_COLORS = ("#e8e8e8", "#4c78a8", "#f58518", "#54a24b")
_MOST_MAPS = 24


def draw_split(split: Split, survey: Survey, path: str | Path) -> None:
    """Draw a split as a PNG.

    Args:
        split: What each pixel is for.
        survey: What the labels hold.
        path: Where to.

    Raises:
        OutputError: It cannot be written.
    """
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    divided = [k for k, mask in enumerate(split.masks) if len(np.unique(mask)) > 1][:_MOST_MAPS]
    cols = min(len(divided), 6)
    rows = math.ceil(len(divided) / 6)
    figure = Figure(figsize=(9, 3.2 + 1.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(1 + bool(rows), 1, height_ratios=[3.2, 1.8 * rows][: 1 + bool(rows)])
    upper, *lower = np.atleast_1d(np.array(parts, object)).tolist()
    _bars(upper.subplots(), split, survey)
    for below in lower:
        colors = ListedColormap(_COLORS)
        axes = below.subplots(rows, cols, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, index in zip(axes, divided, strict=False):
            axis.imshow(split.masks[index], cmap=colors, vmin=-0.5, vmax=3.5)
            axis.set_title(split.names[index], fontsize=7)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    write_bytes(Path(path), data.getvalue())


def _bars(axis: object, split: Split, survey: Survey) -> None:
    """Shares of the kinds of labels in each part."""
    from typing import Any

    plot: Any = axis
    counts = split.counts(survey)
    legend = survey.codes.legend
    kinds = range(len(survey.totals) - 1)
    used = [part for part in PARTS if counts[part].any()]
    left = np.zeros(len(used))
    scenes = [sum(bool((mask == PARTS[p]).any()) for mask in split.masks) for p in used]
    mega = [counts[part][:-1].sum() / 1e6 for part in used]
    words = [
        f"{part}\n{count} scene{'s' if count != 1 else ''}, {pixels:.2f} Mpixel"
        for part, count, pixels in zip(used, scenes, mega, strict=True)
    ]
    for kind in kinds:
        share = np.array(
            [counts[part][kind] / max(counts[part][:-1].sum(), 1) for part in used], float
        )
        color = legend.classes[kind].color if kind < len(legend) else "#999999"
        plot.barh(words, share, left=left, color=color, label=survey.codes.name(kind))
        for place, part_share in enumerate(share):
            if part_share > 0.04:
                middle = left[place] + part_share / 2
                plot.text(middle, place, f"{part_share:.0%}", ha="center", va="center", fontsize=8)
        left += share
    plot.invert_yaxis()
    plot.set_xlim(0, 1)
    plot.set_xlabel("share of the labelled pixels")
    plot.set_title(f"Split {split.how}", fontsize=10)
    plot.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    # The parts themselves, as the maps below show them.
    for tick, part in zip(plot.get_yticklabels(), used, strict=True):
        tick.set_color(_COLORS[PARTS[part]])
