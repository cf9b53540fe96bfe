"""A map to move about in, inside a notebook: no server, no tiles, nothing from outside."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import Resampling, calculate_default_transform, reproject, transform_bounds

from agriseg.errors import AgrisegError, InputError, OptionError
from agriseg.geobox import GeoBox
from agriseg.html_page import data_uri
from agriseg.legend import NODATA
from agriseg.publish.pictures import (
    FALSE_COLOR,
    TRUE_COLOR,
    class_codes,
    frame_of,
    roles_of,
    scene_picture,
)
from agriseg.publish.plot.areas import zone_colors
from agriseg.publish.plot.given import PathLike, class_map_of, scene_given, table_of
from agriseg.publish.words import number
from agriseg.raster.source import inspect
from agriseg.runs import Run, open_run

if TYPE_CHECKING:
    import geopandas as gpd
    import ipyleaflet

__all__ = ["interactive"]

# What Leaflet draws in: pictures must be in it, or they would lie askew.
_WEB = CRS.from_epsg(3857)
_LONLAT = "EPSG:4326"
# Pictures travel to the browser inside the notebook.
_SIDE = 1000
_MOST_ZOOM = 26
# Columns that a click shows, where they are there.
_TOLD = (
    "name",
    "field_id",
    "zone_name",
    "area_ha",
    "ndvi_median",
    "ndvi_mean",
    "cover_crop_percent",
    "cover_weed_percent",
    "uniformity_percent",
    "stressed_ha",
)


def interactive(what: Run | PathLike, *, height: str = "500px") -> ipyleaflet.Map:
    """Show a run as a map in a notebook, with layers to switch: image, classes, zones, fields.

    All of it travels inside the notebook, so it works without a network; there is no map beneath. A
    click on a field or zone shows its numbers. It needs ipyleaflet: pip install
    'agriseg[notebook]'.

    Args:
        what: A run or its folder.
        height: Of the map, in the words of CSS.

    Raises:
        InputError: There is no run, or it has no place on the globe.
        OptionError: ipyleaflet is not installed.
    """
    try:
        import ipyleaflet
        import ipywidgets
    except ImportError as error:
        raise OptionError(
            "the interactive map needs ipyleaflet: pip install 'agriseg[notebook]'"
        ) from error
    run = what if isinstance(what, Run) else open_run(what)
    found = class_map_of(run)
    frame = frame_of(inspect(found.path).geobox, max_pixels=_SIDE)
    if frame.crs is None:
        raise InputError(f"{run.path} has no CRS, so it has no place on a map of the globe")
    codes, _ = class_codes(found.path, frame)
    palette = np.zeros((NODATA + 1, 4), np.uint8)
    for label in found.legend:
        palette[label.value] = (*label.rgb, 255)
    layers: list[Any] = []
    try:
        scene = scene_given(run)
        keys = roles_of(scene, (*TRUE_COLOR, *FALSE_COLOR)) or (str(scene.bands[0].key),)
        picture = scene_picture(scene, keys, frame)
        rgba = np.dstack([picture.rgb, np.where(picture.there, 255, 0).astype(np.uint8)])
        layers.append(_overlay(ipyleaflet, "image", rgba, frame, photo=True))
    except AgrisegError:
        pass  # the image was moved: the map shows what there is
    layers.append(_overlay(ipyleaflet, "classes", palette[codes], frame, opacity=0.6))
    said = ipywidgets.HTML("click on a zone, or the edge of a field")
    layers += [
        _shapes(ipyleaflet, name, table_of(run, name), said)
        for name, path in (("zones", run.zones), ("fields", run.fields))
        if path is not None
    ]
    left, bottom, right, top = transform_bounds(frame.crs, _LONLAT, *frame.bounds)
    # A tile of 256 pixels is the globe at zoom 0; some 700 pixels are to hold the map.
    zoom = int(np.clip(np.log2(360 / max(right - left, 1e-7) * 700 / 256) - 0.3, 1, _MOST_ZOOM))
    world = ipyleaflet.Map(
        layers=tuple(layers),
        center=((bottom + top) / 2, (left + right) / 2),
        zoom=zoom,
        max_zoom=_MOST_ZOOM,
        zoom_snap=0,
        scroll_wheel_zoom=True,
        layout={"height": height},
    )
    world.add(ipyleaflet.LayersControl(position="topright", collapsed=False))
    world.add(ipyleaflet.ScaleControl(position="bottomleft", imperial=False))
    if run.fields is not None or run.zones is not None:
        world.add(ipyleaflet.WidgetControl(widget=said, position="bottomright"))
    return world


def _overlay(
    ipyleaflet: Any,
    name: str,
    rgba: NDArray[np.uint8],
    frame: GeoBox,
    *,
    photo: bool = False,
    opacity: float = 1.0,
) -> Any:
    """A picture (h, w, 4), laid where Leaflet wants it."""
    from matplotlib.image import imsave

    assert frame.crs is not None
    transform, width, height = calculate_default_transform(
        frame.crs, _WEB, frame.width, frame.height, *frame.bounds
    )
    turned = np.zeros((4, height, width), np.uint8)
    reproject(
        np.ascontiguousarray(np.moveaxis(rgba, -1, 0)),
        turned,
        src_transform=frame.transform,
        src_crs=frame.crs,
        dst_transform=transform,
        dst_crs=_WEB,
        resampling=Resampling.nearest,
    )
    data = io.BytesIO()
    # WebP has transparency as PNG does, in a fifth of the bytes; classes must keep their colours.
    kind, how = ("webp", {"quality": 85}) if photo else ("png", {"optimize": True})
    imsave(data, np.moveaxis(turned, 0, -1), format=kind, pil_kwargs=how)
    box = GeoBox(_WEB, transform, width, height)
    left, bottom, right, top = transform_bounds(_WEB, _LONLAT, *box.bounds)
    return ipyleaflet.ImageOverlay(
        url=data_uri(data.getvalue(), f"image/{kind}"),
        bounds=((bottom, left), (top, right)),
        name=name,
        opacity=opacity,
    )


def _shapes(ipyleaflet: Any, name: str, frame: gpd.GeoDataFrame, said: Any) -> Any:
    """Polygons whose numbers a click shows in the widget `said`."""
    told = [column for column in _TOLD if column in frame]
    frame = frame.to_crs(_LONLAT) if frame.crs is not None else frame
    fills: list[str | None] = [None] * len(frame)
    if "zone" in frame:
        texts, colors = zone_colors(frame)
        fills = [colors[text] for text in texts]
    data = frame[[*told, frame.geometry.name]].to_geo_dict()
    for feature, color in zip(data["features"], fills, strict=True):
        words = "".join(
            f"<tr><td>{escape(key)}</td><td>{escape(_word(value))}</td></tr>"
            for key, value in feature["properties"].items()
            if value is not None and value == value
        )
        # Filled fields would take the clicks from the zones within.
        fill = {"fill": False} if color is None else {"fillColor": color, "fillOpacity": 0.7}
        line = {"color": "#1a1a1a", "weight": 2.5 if color is None else 1.0}
        feature["properties"] = {"words": f"<table>{words}</table>", "style": line | fill}
    layer = ipyleaflet.GeoJSON(data=data, name=name, hover_style={"weight": 4})

    def tell(**clicked: Any) -> None:
        said.value = clicked["feature"]["properties"]["words"]

    layer.on_click(tell)
    return layer


def _word(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
