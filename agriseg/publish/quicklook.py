"""quicklook.png: a run at a glance, for mails, catalogues and folders full of results."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import AgrisegError
from agriseg.geobox import GeoBox
from agriseg.publish.image import recorded_scene
from agriseg.publish.layers import geobox_of, legend_of
from agriseg.publish.maps import scale_bar
from agriseg.publish.pictures import (
    FALSE_COLOR,
    TRUE_COLOR,
    Picture,
    class_picture,
    frame_of,
    roles_of,
    scene_picture,
)
from agriseg.publish.place import opened, placed
from agriseg.publish.words import class_words
from agriseg.raster.whole_file import write_bytes
from agriseg.runs import Run

__all__ = ["QUICKLOOK_FILE", "write_quicklook"]

QUICKLOOK_FILE = "quicklook.png"
_SIDE = 1200
_DPI = 100
_PAD = 16
_LINE = 26
# Tiny rasters, as of plots, are shown enlarged: the legend needs room.
_LEAST_WIDTH = 480


def write_quicklook(run: str | Path | Run, out: str | Path | None = None) -> Path:
    """Draw the classes over the image as one PNG of at most 1200 pixels a side, with a legend.

    Args:
        run: The run, or its folder.
        out: The picture; by default quicklook.png in the folder.

    Returns:
        The picture.

    Raises:
        InputError: There is no finished run.
        ReadError: Its class map cannot be read.
        OptionError: `out` is no .png file.
        OutputError: It cannot be written.
    """
    run = opened(run)
    path = placed(out, run.path / QUICKLOOK_FILE, (".png",), "a quicklook")
    rows = {row["value"]: (row["area_ha"], row["percent"]) for row in run.record["classes"]}
    legend = legend_of(run)
    words = class_words(legend.names, [rows.get(one.value, (None, 0.0)) for one in legend])
    entries = [(one.color, text) for one, text in zip(legend, words, strict=True)]
    # Columns of the legend: the longest line, in the width of its letters.
    each = 8.2 * max(len(text) for text in words) + 40
    room = _PAD * 2 + _LINE * math.ceil(len(entries) / max(int(_LEAST_WIDTH / each), 1))
    frame = frame_of(geobox_of(run), max_pixels=max(_SIDE - room, _SIDE // 2))
    classes = class_picture(run.classes, legend, frame)
    shown = Picture(_lit(classes, _image(run, frame)), classes.there, frame)
    write_bytes(path, _drawn(shown, entries, each))
    return path


def _image(run: Run, frame: GeoBox) -> Picture | None:
    """The image on the frame, if it is still to be found."""
    try:
        scene = recorded_scene(run)
        if scene is None:
            return None
        date = next((band.date for band in scene.bands if band.role), None)
        keys = roles_of(scene, (*TRUE_COLOR, *FALSE_COLOR), date) or [scene.bands[0]]
        return scene_picture(scene, keys, frame)
    except AgrisegError:
        return None


def _lit(classes: Picture, image: Picture | None) -> NDArray[np.uint8]:
    """Classes as light or dark as the image is: their hue tells the class, as in the legend."""
    if image is None:
        return classes.rgb
    light = image.rgb.mean(axis=2, keepdims=True) / 255
    seen = classes.there[..., None] & image.there[..., None]
    lit = np.where(seen, classes.rgb * (0.55 + 0.75 * light), classes.rgb)
    # What has no class shows the image alone, in grey.
    bare = (image.there & ~classes.there)[..., None]
    shown = np.where(bare, 255 * (0.5 + 0.5 * light), lit)
    found: NDArray[np.uint8] = np.rint(shown.clip(0, 255)).astype(np.uint8)
    return found


def _drawn(picture: Picture, entries: list[tuple[str, str]], each: float) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows, cols = picture.there.shape
    zoom = max(1, math.floor(_LEAST_WIDTH / cols)) if rows * _LEAST_WIDTH <= cols * _SIDE else 1
    wide, high = cols * zoom, rows * zoom
    width = max(wide, _LEAST_WIDTH)
    columns = max(int((width - 2 * _PAD) / each), 1)
    lines = math.ceil(len(entries) / columns)
    height = high + lines * _LINE + 2 * _PAD
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    canvas = figure.add_axes((0, 0, 1, 1))
    canvas.set_axis_off()
    canvas.set_xlim(0, width)
    canvas.set_ylim(height, 0)
    left = (width - wide) / 2
    box = (left, left + wide, high, 0)
    canvas.imshow(picture.rgb, extent=box, interpolation="nearest", aspect="auto")
    for k, (color, text) in enumerate(entries):
        x, y = _PAD + (k % columns) * each, high + _PAD + (k // columns) * _LINE
        canvas.add_patch(Rectangle((x, y + 4), 15, 15, facecolor=color, edgecolor="#888"))
        canvas.text(x + 23, y + 12, text, fontsize=10, va="center", color="#26302b")
    if picture.gsd_m is not None:
        _scale(canvas, picture.gsd_m / zoom, wide, left + wide, high)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI)
    return data.getvalue()


def _scale(canvas: Any, gsd_m: float, width: int, right: float, bottom: float) -> None:
    """A scale bar at the lower right, on a light plate."""
    from matplotlib.patches import FancyBboxPatch

    bar, words = scale_bar(gsd_m, width)
    x, y = right - bar - 26, bottom - 18
    plate = FancyBboxPatch(
        (x - 8, y - 26), bar + 16, 34, boxstyle="round,pad=2", facecolor="white", alpha=0.85, lw=0
    )
    canvas.add_patch(plate)
    canvas.plot([x, x, x + bar, x + bar], [y - 5, y, y, y - 5], color="#1a1a1a", lw=1.6)
    canvas.text(x + bar / 2, y - 7, words, fontsize=10, ha="center", va="bottom", color="#1a1a1a")
