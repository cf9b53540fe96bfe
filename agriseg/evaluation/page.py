"""One picture of an evaluation: scores, mistakes, confidence, sizes, and maps beside the truth."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agriseg.evaluation.page_pictures import draw_pictures, pictures_height
from agriseg.raster.whole_file import write_bytes

if TYPE_CHECKING:
    from agriseg.evaluation.result import Comparison, Evaluation

__all__ = ["INK", "PALE", "STYLE", "draw_evaluation", "evaluation_png", "size_label"]

INK, PALE, _ACCENT, _OTHER = "#26302b", "#8a958f", "#2e6f57", "#c77d1a"
_DPI = 110
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def draw_evaluation(found: Evaluation, path: str | Path) -> Path:
    """Draw the page as a PNG, and give its path back.

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(path)
    write_bytes(path, evaluation_png(found))
    return path


def evaluation_png(found: Evaluation, *, heading: bool = True) -> bytes:
    """The page as a PNG in memory, with a heading or for a place that has its own."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    pictures = found.pictures[:4]
    with rc_context(STYLE):
        top, below = (8.4 if heading else 7.2), pictures_height(pictures)
        figure = Figure(figsize=(13, top + below), dpi=_DPI, facecolor="white")
        heights = [top, below] if pictures else [top]
        parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
        upper = parts[0, 0]
        if heading:
            _heading(upper, found)
        axes = upper.subplots(2, 3, width_ratios=[1.15, 1, 1])
        upper.subplots_adjust(
            0.09, 0.63 / top, 0.97, 0.8 if heading else 0.95, wspace=0.42, hspace=0.48
        )
        _scores(axes[0, 0], found)
        _confusion(axes[0, 1], found)
        _reliability(axes[0, 2], found)
        _areas(axes[1, 0], found)
        _objects(axes[1, 1], found)
        if found.series:
            _series(axes[1, 2], found)
        elif found.comparison is not None:
            _differences(axes[1, 2], found.comparison, found)
        else:
            _scenes(axes[1, 2], found)
        if pictures:
            draw_pictures(parts[1, 0], found.matched, pictures)
        data = io.BytesIO()
        figure.savefig(data, format="png")
    return data.getvalue()


def _heading(figure: Any, found: Evaluation) -> None:
    against = found.comparison
    title = found.model if against is None else f"{found.model} against {against.other.model}"
    figure.text(0.03, 0.965, title, fontsize=17, weight="bold", va="top")
    scenes = len(found.scenes)
    facts = f"{scenes} scene{'s' if scenes > 1 else ''}, {found.pixels.labelled:,} labelled pixels"
    if found.pixels.truth_ha is not None:
        facts += f" ({found.pixels.truth_ha.sum():.3g} ha)"
    facts += f"; bars are 95 % intervals over {found.unit.words}"
    figure.text(0.03, 0.92, facts, color=PALE, va="top")
    figure.text(0.03, 0.895, "\n".join(textwrap.wrap(found.words, 135)), va="top", fontsize=11)


def _scores(axes: Any, found: Evaluation) -> None:
    """IoU and boundary F1 of each class with intervals; a second model beside it."""
    names = [*found.names, "mean"]
    kinds = (
        ("iou", "mean_iou", "o", "IoU"),
        ("boundary_f1", "mean_boundary_f1", "D", "boundary F1"),
    )
    models = [(found, _ACCENT)]
    if found.comparison is not None:
        models.append((found.comparison.other, _OTHER))
    offsets = np.linspace(-0.22, 0.22, len(kinds) * len(models))
    place = 0
    for one, color in models:
        for by_class, mean, marker, label in kinds:
            measure, total = one.measures[by_class], one.measures[mean]
            value, low, high = (
                np.append(getattr(measure, part), getattr(total, part))
                for part in ("value", "low", "high")
            )
            at = np.arange(len(names)) + offsets[place]
            text = label if len(models) == 1 else f"{one.model}, {label}"
            is_main = by_class == "iou"
            axes.hlines(at, low, high, color=color, alpha=0.45, linewidth=3 if is_main else 2)
            axes.plot(
                value,
                at,
                marker,
                color=color if is_main else "white",
                label=text,
                markeredgecolor=color,
                markersize=6.5 if is_main else 5,
            )
            if len(models) == 1 and is_main:
                for v, y in zip(value, at, strict=True):
                    words = f"{v:.3f}" if np.isfinite(v) else "not in the labels"
                    axes.annotate(
                        words,
                        (v if np.isfinite(v) else 0.02, y),
                        xytext=(0, 6),
                        textcoords="offset points",
                        ha="center" if np.isfinite(v) else "left",
                        fontsize=8.5,
                        color=INK if np.isfinite(v) else PALE,
                    )
            place += 1
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.set_xlim(-0.03, 1.03)
    axes.grid(axis="x", color="#e6eae8")
    axes.set_axisbelow(True)
    axes.axhline(len(names) - 1.5, color="#d5dbd8", linewidth=1)
    axes.set_title("How good each class is")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, fontsize=8.5)


def _confusion(axes: Any, found: Evaluation) -> None:
    """Where the pixels of each label went, in percent of the label."""
    counts = np.asarray(found.pixels.counts, float)
    rows = [code for code in range(len(counts)) if counts[code].sum() > 0]
    if not found.matched.is_single or len(found.matched.scored) < len(found.matched.codes.legend):
        # Classes that are scored as one are one row.
        table, labels = found.confusion, list(found.names)
        keep = [k for k in range(len(table)) if table[k].sum() > 0]
        table, labels = table[keep], [labels[k] for k in keep]
    else:
        table, labels = counts[rows], [found.matched.code_name(code) for code in rows]
    share = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Greens", vmin=0, vmax=115, aspect="auto")
    for (row, col), value in np.ndenumerate(share):
        text = "<1" if 0 < value < 0.95 else f"{value:.0f}"
        axes.text(
            col,
            row,
            f"{text} %",
            ha="center",
            va="center",
            fontsize=11,
            color="white" if value > 62 else INK,
        )
    axes.set_xticks(range(len(found.names)), [f"called\n{name}" for name in found.names])
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("What each label is taken for")


def _reliability(axes: Any, found: Evaluation) -> None:
    one = found.calibration.reliability
    there = one.pixels > 0
    share = one.pixels / max(one.pixels.sum(), 1)
    width = np.diff(one.edges)
    axes.plot([0, 1], [0, 1], color=PALE, linestyle="--", linewidth=1, label="as it should be")
    axes.bar(
        one.edges[:-1],
        np.where(there, share, 0),
        width,
        align="edge",
        color="#dfe7e3",
        label="share of pixels",
    )
    # A handful of pixels says nothing of a bin.
    solid = there & (share > 1e-4)
    axes.plot(
        one.confidence[solid],
        one.accuracy[solid],
        "-o",
        color=_ACCENT,
        markersize=4,
        label="right where sure so",
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence in the map")
    error = found.calibration.error
    text = f"calibration error {error:.3f}" if np.isfinite(error) else "too few labels of one class"
    if found.calibration.factor is not None and np.isfinite(error):
        text += (
            f"\ntemperature x {found.calibration.factor:.2f}: {found.calibration.error_after:.3f}"
        )
    axes.text(0.03, 0.985, text, transform=axes.transAxes, va="top", fontsize=8.5)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0.86), fontsize=8)
    axes.set_title("Can its confidence be trusted?")


def _areas(axes: Any, found: Evaluation) -> None:
    """Area of each class in the truth and in the map."""
    truth, called, unit = found.confusion.sum(axis=1), found.confusion.sum(axis=0), "megapixels"
    scale = 1e-6
    if found.pixels.truth_ha is not None and found.pixels.map_ha is not None:
        truth, called, unit = found.pixels.truth_ha, found.pixels.map_ha, "ha"
        scale = 1.0
        if truth.sum() < 0.5:
            unit, scale = "m²", 1e4
    at = np.arange(len(found.names))
    colors = [label.color for label in found.matched.scored]
    axes.barh(at - 0.19, truth * scale, 0.36, color=colors, label="labelled")
    axes.barh(at + 0.19, called * scale, 0.36, color=colors, alpha=0.5, label="in the map")
    for k in at:
        change = f"{100 * (called[k] / truth[k] - 1):+.0f} %" if truth[k] else ""
        axes.annotate(
            change,
            (called[k] * scale, k + 0.19),
            xytext=(4, 0),
            va="center",
            textcoords="offset points",
            fontsize=8.5,
            color=INK,
        )
    axes.set_yticks(at, found.names)
    axes.set_ylim(len(at) - 0.5, -0.5)
    axes.margins(x=0.14)
    axes.set_xlabel(f"{unit} (full: labelled, pale: in the map)")
    axes.set_title("Area: labelled, and in the map")


def size_label(low: float, high: float, unit: str) -> str:
    """From one size to another, such as `3-10 cm²`."""
    if unit == "pixels":
        return f"{low:g}-{high:g}" if high < 1000 else f"{_short(low)}-{_short(high)}"
    for name, factor in (("m²", 1.0), ("cm²", 1e4), ("mm²", 1e6)):
        if low * factor >= 0.99:
            return f"{_short(low * factor)}-{_short(high * factor)} {name}"
    return f"below {_short(high * 1e6)} mm²"


def _short(value: float) -> str:
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit * 0.999:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def _objects(axes: Any, found: Evaluation) -> None:
    """Recall, and dotted precision, of connected pieces by size."""
    sizes = sorted({(one.low, one.high) for one in found.objects})
    unit = found.objects[0].unit if found.objects else "pixels"
    for label in found.matched.scored:
        mine = [one for one in found.objects if one.class_name == label.name]
        if not mine:
            continue
        at = [sizes.index((one.low, one.high)) for one in mine]
        for share, total, line, fill, named in (
            ("recall", "objects", "-", label.color, label.name),
            ("precision", "called", ":", "white", None),
        ):
            values = [getattr(one, share) for one in mine]
            area = [12 + 14 * np.log10(getattr(one, total) + 1) for one in mine]
            axes.plot(at, values, line, color=label.color, linewidth=1.2)
            axes.scatter(
                at, values, area, color=fill, edgecolors=label.color, label=named, zorder=3
            )
    axes.set_xticks(
        range(len(sizes)),
        [size_label(*size, unit) for size in sizes],
        rotation=55,
        ha="right",
        rotation_mode="anchor",
        fontsize=7.5,
    )
    axes.set_ylim(-0.03, 1.05)
    axes.grid(axis="y", color="#e6eae8")
    if found.objects:
        for line, fill, words in (("-o", INK, "found"), (":o", "white", "on the map: right")):
            axes.plot([], [], line, color=INK, markerfacecolor=fill, linewidth=1.2, label=words)
        axes.legend(loc="lower right", fontsize=8)
    axes.set_title(f"Pieces found, by size{' in pixels' if unit == 'pixels' else ''}")


def _scenes(axes: Any, found: Evaluation) -> None:
    """How far scenes differ."""
    values = np.array([one.mean_iou for one in found.scenes])
    values = values[np.isfinite(values)]
    axes.set_title("Mean IoU of each scene")
    axes.set_xlim(0, 1)
    if len(values) > 12:
        axes.hist(values, np.linspace(0, 1, 26), color=_ACCENT, alpha=0.8)
        axes.set_ylabel("scenes")
    else:
        order = np.argsort(-values)
        known = [one.name for one in found.scenes if np.isfinite(one.mean_iou)]
        axes.barh(np.arange(len(values)), values[order], 0.6, color=_ACCENT, alpha=0.8)
        axes.set_yticks(np.arange(len(values)), [known[k][:22] for k in order], fontsize=8)
        axes.set_ylim(max(len(values), 3) - 0.5, -0.5)
        for place, k in enumerate(order):
            axes.annotate(
                f"{values[k]:.2f}",
                (values[k], place),
                xytext=(4, 0),
                va="center",
                textcoords="offset points",
                fontsize=8.5,
            )
    axes.set_xlabel("mean IoU")


def _differences(axes: Any, comparison: Comparison, found: Evaluation) -> None:
    """IoU of the first model minus that of the other, with the interval of the difference."""
    by_class, mean = comparison.differences["iou"], comparison.differences["mean_iou"]
    names = [*found.names, "mean"]
    value, low, high = (
        np.append(getattr(by_class, part), getattr(mean, part)) for part in ("value", "low", "high")
    )
    at = np.arange(len(names))
    axes.axvline(0, color=PALE, linewidth=1)
    axes.hlines(at, low, high, color=_ACCENT, alpha=0.45, linewidth=3)
    axes.plot(value, at, "o", color=_ACCENT, markersize=6.5)
    for place in at[np.isfinite(value)]:
        axes.annotate(
            f"{value[place]:+.3f}",
            (value[place], place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )
    axes.set_yticks(at, names)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.margins(x=0.2)
    axes.set_xlabel(f"IoU of {found.model} minus {comparison.other.model}")
    axes.set_title("Difference of the two")


def _series(axes: Any, found: Evaluation) -> None:
    """IoU against time, by pixel size."""
    points = [one for one in found.series if one.seconds_per_ha]
    axes.set_title("Pixel size: quality against time", pad=16)
    if not points:
        return
    seconds = [one.seconds_per_ha or 0.0 for one in points]
    for k, label in enumerate(found.matched.scored):
        iou = [float(one.measures["iou"].value[k]) for one in points]
        axes.plot(seconds, iou, "-o", color=label.color, markersize=5, label=label.name)
    for one, x in zip(points, seconds, strict=True):
        text = f"{100 * (one.gsd_m or 0):.3g} cm"
        axes.annotate(
            text,
            (x, 1.0),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=PALE,
        )
        axes.axvline(x, color="#e6eae8", zorder=0)
    # A decade and more in logarithms, less from zero on.
    if max(seconds) > 10 * min(seconds):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.set_xlim(0, 1.15 * max(seconds))
    axes.set_ylim(0, 1)
    axes.set_xlabel("seconds a hectare")
    axes.set_ylabel("IoU")
    axes.legend(loc="lower right", fontsize=8)
