"""Maps as pictures in a page: SVG with a scale bar, a north arrow, and outlines that stay sharp."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.html_page import data_uri
from agriseg.publish.areas import BARE, Outline
from agriseg.publish.pictures import Picture
from agriseg.publish.words import length_words

__all__ = ["colored", "encoded", "legend", "map_svg", "pale", "scale_bar"]

# Units of the drawing across: all marks have their size in these.
_WIDTH = 1000.0
# A picture that is far higher than wide would fill pages.
_HIGHEST = 950.0
_JPEG_QUALITY = 84
# Fewer pixels across than this are shown as squares, not as a blur.
_SQUARES = 500
_MOST_NAMES = 60


def scale_bar(gsd_m: float, width: int, *, share: float = 0.22) -> tuple[float, str]:
    """Length of a scale bar in pixels, and what it says: 1, 2 or 5 times a power of ten.

    Args:
        gsd_m: Side of a pixel in metres.
        width: Of the picture in pixels.
        share: Of the width that the bar may take.
    """
    most = gsd_m * width * share
    power = 10.0 ** math.floor(math.log10(most))
    length = next(power * f for f in (5, 2, 1) if power * f <= most * (1 + 1e-9))
    return length / gsd_m, length_words(length)


def encoded(rgb: NDArray[np.uint8], *, photo: bool) -> tuple[bytes, str]:
    """A picture as a file, and its media type: JPEG of photographs, PNG of maps."""
    from matplotlib.image import imsave

    data = io.BytesIO()
    if photo:
        how: dict[str, Any] = {"quality": _JPEG_QUALITY, "optimize": True}
        imsave(data, rgb, format="jpg", pil_kwargs=how)
        return data.getvalue(), "image/jpeg"
    imsave(data, rgb, format="png", pil_kwargs={"optimize": True})
    return data.getvalue(), "image/png"


def pale(picture: Picture) -> NDArray[np.uint8]:
    """A picture in light grey, as ground for what is painted on it."""
    grey = picture.rgb.mean(axis=2, keepdims=True)
    light = np.broadcast_to(255 - (255 - grey) * 0.45, picture.rgb.shape)
    found: NDArray[np.uint8] = np.rint(light).astype(np.uint8)
    return found


def colored(
    codes: NDArray[np.uint8], colors: Sequence[str], ground: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(h, w, 3) codes in their colours over a ground."""
    table = np.array([list(bytes.fromhex(color[1:])) for color in colors], np.uint8)
    shown = codes != BARE
    found = ground.copy()
    found[shown] = table[codes[shown]]
    return found


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(colour, text) of each entry, in a line that wraps."""
    cells = "".join(
        f'<span><i style="background: {escape(color)}"></i>{escape(text)}</span>'
        for color, text in entries
    )
    return f'<p class="legend">{cells}</p>'


def map_svg(
    picture: Picture,
    words: str,
    *,
    photo: bool = False,
    over: Sequence[Outline] = (),
    marks: bool = True,
) -> str:
    """A picture as a map.

    Args:
        picture: What it shows.
        words: For those who do not see it.
        photo: Whether it is one; a map of a few colours is not.
        over: Outlines, which are drawn on it with their names.
        marks: Whether it gets a scale bar and a north arrow, where its place is known.
    """
    rows, cols = picture.there.shape
    unit = _WIDTH / cols
    height = rows * unit
    data, kind = encoded(picture.rgb, photo=photo)
    squares = ' style="image-rendering: pixelated"' if cols < _SQUARES else ""
    widest = min(_WIDTH, _HIGHEST * cols / rows) / _WIDTH
    parts = [
        f'<svg class="map" role="img" viewBox="0 0 {_WIDTH:g} {height:.1f}" '
        'preserveAspectRatio="xMinYMin" '
        f'style="max-width: {100 * widest:.1f}%" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escape(words)}</title>",
        f'<image width="{_WIDTH:g}" height="{height:.1f}" preserveAspectRatio="none"{squares} '
        f'href="{data_uri(data, kind)}"/>',
        *_outlined(over, unit),
    ]
    if marks and picture.box.is_georeferenced and not picture.box.transform.is_identity:
        parts += _marks(picture, unit, height)
    return "\n".join([*parts, "</svg>"])


def _outlined(over: Sequence[Outline], unit: float) -> list[str]:
    if not over:
        return []
    path = "".join(
        "M" + "L".join(f"{x * unit:.1f} {y * unit:.1f}" for x, y in ring[:-1]) + "Z"
        for one in over
        for ring in one.rings
    )
    # White under black is seen on any ground.
    shapes = [
        f'<path d="{path}" fill="none" stroke="#fff" stroke-width="5" stroke-opacity=".7"/>',
        f'<path d="{path}" fill="none" stroke="#1a1a1a" stroke-width="2"/>',
    ]
    # One field alone needs no number.
    if len(over) <= _MOST_NAMES and (len(over) > 1 or not over[0].name.isdigit()):
        shapes += [
            f'<text class="name" x="{one.at[0] * unit:.1f}" y="{one.at[1] * unit:.1f}">'
            f"{escape(one.name)}</text>"
            for one in over
            if one.name
        ]
    return shapes


def _marks(picture: Picture, unit: float, height: float) -> list[str]:
    """A scale bar and a north arrow on a light plate, at the lower left."""
    gsd_m = picture.gsd_m
    bar, words = (0.0, "") if gsd_m is None else scale_bar(gsd_m, picture.there.shape[1])
    length = bar * unit
    wide = 52 + (length + 22 if length else 0)
    arrow = (
        '<path d="M26 8 36 36 26 30 16 36Z" fill="#1a1a1a"/>'
        '<text x="26" y="54" text-anchor="middle">N</text>'
    )
    ruler = ""
    if length:
        ruler = (
            f'<path d="M56 34v10h{length:.1f}v-10" fill="none" stroke="#1a1a1a" '
            f'stroke-width="3"/><text x="{56 + length / 2:.1f}" y="30" text-anchor="middle">'
            f"{escape(words)}</text>"
        )
    return [
        f'<g transform="translate(14 {height - 76:.1f})" class="marks">'
        f'<rect width="{wide:.1f}" height="62" rx="6" fill="#fff" fill-opacity=".85"/>'
        f"{arrow}{ruler}</g>"
    ]
