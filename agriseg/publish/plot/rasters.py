"""Images, class maps and indices as maps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agriseg.bands import Band, Radiometry
from agriseg.errors import OptionError, nearest
from agriseg.geobox import GeoBox
from agriseg.indices.choice import default_indices, find_index
from agriseg.indices.compute import compute
from agriseg.legend import NODATA
from agriseg.publish.colors import GROWTH
from agriseg.publish.pictures import (
    FALSE_COLOR,
    TRUE_COLOR,
    Picture,
    class_codes,
    frame_of,
    roles_of,
    sampled,
    scene_picture,
)
from agriseg.publish.plot.given import ClassMap, PathLike, class_map_of, run_of, scene_given
from agriseg.publish.plot.maps import Entry, key, map_axes, map_of
from agriseg.publish.words import class_words
from agriseg.raster import Inputs, Pixels, Scene
from agriseg.raster.opener import open_raster
from agriseg.raster.source import inspect
from agriseg.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["classes", "index", "overlay", "run", "scene"]

_WORDS = {"true": (*TRUE_COLOR, *FALSE_COLOR), "false": (*FALSE_COLOR, *TRUE_COLOR)}
# Percentiles that a ramp reaches over: a glint must not take the colours of the crop.
_LOW, _HIGH = 2.0, 98.0
# With more classes the legend tells of those only that are there.
_ALL_LISTED = 8
_ABOVE_VECTORS = 0.5


def scene(
    what: Run | Scene | Inputs,
    *,
    bands: str | Sequence[str] = "true",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw an image.

    Args:
        what: A run, an open scene, or what `open_scene` opens.
        bands: "true" colour, "false" colour, which shows plants in red (each the other where bands
            lack), or three roles for red, green and blue, such as "nir,red,green"; one for grey.
        title: Above it; by default the scene's name.
        ax: Axes to draw on.

    Raises:
        InputError: It cannot be opened.
        BandError: The scene has no such band.
    """
    found = scene_given(what)
    picture = scene_picture(found, _keys(found, bands), map_of(ax) or frame_of(found.geobox))
    ax = map_axes(ax, picture.box, found.name if title is None else title)
    _show(ax, _with_alpha(picture), picture.box)
    return ax


def classes(
    what: Run | PathLike,
    *,
    only: str | Collection[str] | None = None,
    alpha: float = 1.0,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a class map, with hectares and percent of each class.

    Args:
        what: A run, its folder, or a class raster of bytes with names and colours or without.
        only: Names of classes to draw; all by default.
        alpha: Opacity.
        title: Above it.
        ax: Axes to draw on; on a map it lies upon what is there.

    Raises:
        InputError: There is no class raster.
        OptionError: A class has another name.
    """
    found = class_map_of(what)
    values = _values(found, only)
    codes, frame = class_codes(found.path, map_of(ax))
    if found.nodata is not None:
        codes[codes == found.nodata] = NODATA
    table = np.zeros((NODATA + 1, 4), np.uint8)
    for label in found.legend:
        if label.value in values:
            table[label.value] = (*label.rgb, round(255 * alpha))
    ax = map_axes(ax, frame, title)
    _show(ax, table[codes], frame)
    key(ax, _entries(found, values))
    return ax


def overlay(
    what: Run | PathLike,
    *,
    only: str | Collection[str] | None = None,
    alpha: float = 0.45,
    bands: str | Sequence[str] = "true",
    image: Scene | Inputs | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a class map over its image, to see whether it is right.

    Args:
        what: A run, its folder, or a class raster.
        only: Names of classes to draw; all by default.
        alpha: Opacity of the classes.
        bands: As in `scene`.
        image: The image; that of the run by default.
        title: Above it.
        ax: Axes to draw on.

    Raises:
        InputError: The image is gone, or there are no classes.
    """
    if image is None and run_of(what) is None:
        raise OptionError(
            f"{what} does not tell its image; say which it is: overlay(..., image=PATH)"
        )
    name = "" if title is None else title
    ax = scene(what if image is None else image, bands=bands, title=name, ax=ax)
    return classes(what, only=only, alpha=alpha, ax=ax)


def index(
    what: Run | Scene | Inputs,
    name: str | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a vegetation index: light where it is low, dark blue where it is high.

    It is that of the mean reflectance of each pixel of the picture.

    Args:
        what: A run, a scene, what `open_scene` opens, or a raster that `agriseg.indices` wrote.
        name: Of the index; by default NDVI, or the first that the bands allow.
        low, high: Ends of the ramp; by default the 2nd and 98th percentile.
        title: Above it.
        ax: Axes to draw on.

    Raises:
        InputError: It cannot be opened.
        BandError: The scene lacks its bands.
        OptionError: There is no such index.
    """
    frame = map_of(ax)
    values, frame, label = _index_values(what, name, frame)
    usable = values[np.isfinite(values)]
    ends = np.percentile(usable, (_LOW, _HIGH)) if usable.size else (0.0, 1.0)
    from matplotlib.colors import LinearSegmentedColormap

    ramp = LinearSegmentedColormap.from_list("growth", GROWTH)
    ax = map_axes(ax, frame, title)
    shown = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=ramp,
        vmin=float(ends[0]) if low is None else low,
        vmax=float(ends[1]) if high is None else high,
        extent=_extent(frame),
        interpolation="nearest",
        aspect=ax.get_aspect(),
    )
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(
        shown, ax=ax, location="bottom", shrink=0.6, pad=0.02, label=label, extend="both"
    )
    return ax


def run(
    what: Run | PathLike,
    *,
    bands: str | Sequence[str] = "true",
    image: Scene | Inputs | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw a run: its image, and its class map beside it.

    Args:
        what: A run or its folder.
        bands: As in `scene`.
        image: The image, where it was moved since.
        axes: Two axes to draw on.

    Raises:
        InputError: There is no run, or its image is gone.
    """
    found = scene_given(what if image is None else image)
    if axes is None:
        left, right = _pair(frame_of(found.geobox))
    else:
        left, right = axes
    scene(found, bands=bands, ax=left)
    classes(what, ax=right, title="classes")
    return left, right


def _pair(frame: GeoBox) -> tuple[Axes, Axes]:
    from matplotlib import pyplot

    gsd = frame.gsd_m or (1.0, 1.0)
    share = min(max(frame.height * gsd[1] / (frame.width * gsd[0]), 0.3), 2.0)
    _, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5.3 * share + 1.3), layout="constrained")
    return left, right


def _keys(found: Scene, bands: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(bands, str) and bands in _WORDS:
        keys = roles_of(found, _WORDS[bands])
        return keys or (str(next(band.key for band in found.bands if band.key)),)
    keys = tuple(part.strip() for part in bands.split(",")) if isinstance(bands, str) else (*bands,)
    if len(keys) not in (1, 3):
        raise OptionError(
            f"bands {', '.join(keys)}: three are needed for red, green and blue, or one for grey; "
            f'or "true" or "false"; {found.band_summary()}'
        )
    for one in keys:
        found.band(one)
    return keys


def _with_alpha(picture: Picture) -> NDArray[np.uint8]:
    return np.dstack([picture.rgb, np.where(picture.there, 255, 0).astype(np.uint8)])


def _extent(frame: GeoBox) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of a frame, for imshow."""
    t = frame.transform
    return t.c, t.c + t.a * frame.width, t.f + t.e * frame.height, t.f


def _show(ax: Axes, picture: NDArray[Any], frame: GeoBox) -> None:
    # imshow would set limits and aspect of its own.
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(picture, extent=_extent(frame), aspect=ax.get_aspect(), zorder=_ABOVE_VECTORS)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])


def _values(found: ClassMap, only: str | Collection[str] | None) -> set[int]:
    """Values of the classes that are wanted."""
    if only is None:
        return {label.value for label in found.legend}
    wanted = [only] if isinstance(only, str) else list(only)
    for name in wanted:
        if name not in found.legend.names:
            raise OptionError(
                f"only {name!r}: the map has no such class{nearest(name, found.legend.names)}; it "
                f"has {', '.join(found.legend.names)}"
            )
    return {label.value for label in found.legend if label.name in wanted}


def _entries(found: ClassMap, values: set[int]) -> list[Entry]:
    labels = [label for label in found.legend if label.value in values]
    if len(labels) > _ALL_LISTED:
        labels = [one for one in labels if found.areas.get(one.value, (0, 0.0))[1] > 0] or labels
    if not found.areas:
        return [Entry(label.name, label.color) for label in labels]
    rows = [found.areas.get(label.value, (None, 0.0)) for label in labels]
    words = class_words([label.name for label in labels], rows)
    return [Entry(text, label.color) for text, label in zip(words, labels, strict=True)]


def _index_values(
    what: Run | Scene | Inputs, name: str | None, frame: GeoBox | None
) -> tuple[NDArray[np.float32], GeoBox, str]:
    """(h, w) values, NaN where there are none, their frame, and what they are."""
    written = None if isinstance(what, Run | Scene) else _written(what, name)
    if written is not None:
        band, box, label = written
        frame = frame or frame_of(box)
        values, there = sampled(
            Scene("index", (band,), box, Radiometry("reflectance", "an index")), [band], frame
        )
        return np.where(there, values[0], np.float32(np.nan)), frame, label
    found = scene_given(what)
    frame = frame or frame_of(found.geobox)
    usual = default_indices(found)
    if name is None and not usual:
        raise OptionError(f"{found.name} has the bands of no usual index; {found.band_summary()}")
    one = find_index(name or usual[0], found)
    keys = list(one.keys)
    values, there = sampled(found, [found.band(k) for k in keys], frame)
    return compute(one, Pixels(values, there), keys).data, frame, one.name


def _written(what: Inputs, name: str | None) -> tuple[Band, GeoBox, str] | None:
    """A band of a raster of indices: floats whose descriptions are names; else None."""
    if not isinstance(what, str) and not hasattr(what, "__fspath__"):
        return None
    if run_of(what) is not None:
        return None
    with open_raster(str(what)) as dataset:
        if dataset.tags(1).get("formula") is None:
            return None
        names = [str(text or f"band {k}") for k, text in enumerate(dataset.descriptions, 1)]
    wanted = names[0] if name is None else name
    same = [k for k, one in enumerate(names, 1) if one.lower() == wanted.lower()]
    if not same:
        raise OptionError(f"{what} has no index {wanted}; it has {', '.join(names)}")
    return Band(str(what), same[0]), inspect(str(what)).geobox, names[same[0] - 1]
