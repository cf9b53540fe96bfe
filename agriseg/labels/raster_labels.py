"""Labels from a raster: numbers, colours or a palette, on the scene's grid or on another one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from agriseg.errors import InputError, LabelError, ReadError
from agriseg.geobox import GeoBox, Window
from agriseg.labels.codes import IGNORE, Codes
from agriseg.labels.raster_place import Place, placed
from agriseg.labels.values import (
    Colors,
    Ranges,
    ValueTable,
    from_legend,
    from_names,
    unlisted,
)
from agriseg.raster import Scene
from agriseg.raster.source import (
    READ_FAULTS,
    Source,
    inspect,
    open_raster,
    read_bands,
    read_error,
)
from agriseg.vector.names import read_names

__all__ = ["RasterLabels", "palette_of"]

# Formats that change values a little; WebP and JPEG 2000 are most often written so.
_NO_PALETTE: tuple[type[Exception], ...] = (ValueError, *READ_FAULTS)
_LOSSY = ("JPEG", "WEBP", "JP2OpenJPEG", "AVIF", "HEIF")


@dataclass(frozen=True)
class RasterLabels:
    """A raster whose values, or colours, say the class of each pixel.

    It lies where its georeference says; without one, or with `by_pixel`, its pixels are those of
    the scene. On another grid or CRS each pixel of the scene takes the nearest one of the labels.

    Args:
        path: The raster.
        codes: The classes.
        table: What its values mean; by default its own names of classes where it has such, else
            the legend's values, with 255 for nothing.
        by_pixel: Lay its pixels on those of the scene, whatever it says of its place.
    """

    path: str
    codes: Codes
    table: ValueTable | None = None
    by_pixel: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """What they are read from."""
        return (self.path,)

    def open(self, scene: Scene) -> _RasterReader:
        """Open it for the grid of `scene`.

        Raises:
            LabelError: It cannot be used with it.
        """
        source = self._source()
        return _RasterReader(
            _meaning(self, source), placed(self.path, source, scene, by_pixel=self.by_pixel), scene
        )

    def look(self, scene: Scene) -> tuple[str, ...]:
        """What a person should know of it, such as that it lies on another grid.

        Raises:
            LabelError: It cannot be used with `scene`.
        """
        source = self._source()
        meaning, place = (
            _meaning(self, source),
            placed(self.path, source, scene, by_pixel=self.by_pixel),
        )
        notes = [place.note] if place.note else []
        if meaning.lossy:
            notes.append(
                f"{self.path} is packed with loss ({source.compression or source.driver}), which "
                "changes values near edges: each pixel takes the nearest one that is listed; "
                "labels keep their edges as PNG or GeoTIFF"
            )
        return tuple(notes)

    def _source(self) -> Source:
        try:
            return inspect(self.path)
        except InputError as error:
            raise LabelError(f"labels: {error}") from error


@dataclass(frozen=True)
class _Meaning:
    """How raw pixels of a file become codes.

    Args:
        path: The file.
        lookup: By numbers, or by colours.
        bands: Which bands are read: one, or red, green and blue.
        palette: (256, 3) colours of a palette that stand for its numbers, or None.
        alpha: Band that is 0 where nothing is labelled, or None.
        has_mask: Whether a mask beside the pixels says so.
        missing: The value that says so, or None.
        lossy: Whether values are not exactly those that were drawn.
        is_gray: Whether three bands should be one and the same.
    """

    path: str
    lookup: Ranges | Colors
    bands: tuple[int, ...]
    palette: NDArray[np.uint8] | None
    alpha: int | None
    has_mask: bool
    missing: float | None
    lossy: bool
    is_gray: bool = False

    def codes(self, raw: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Codes (h, w) of raw values (bands, h, w), and where a value is not listed."""
        if self.is_gray:
            if not self.lossy and ((raw[0] != raw[1]) | (raw[0] != raw[2])).any():
                raise LabelError(
                    f"{self.path} is a picture in colours, and values list numbers; list its "
                    'colours, such as "#ff0000": weed'
                )
            raw = raw[:1]
        if isinstance(self.lookup, Ranges):
            if self.lossy:
                return self.lookup.nearest_lookup(raw[0]), np.zeros(raw.shape[1:], bool)
            return self.lookup.lookup(raw[0])
        rgb = raw if self.palette is None else self.palette[raw[0]].transpose(2, 0, 1)
        if self.lossy:
            return self.lookup.nearest_lookup(rgb), np.zeros(raw.shape[1:], bool)
        return self.lookup.lookup(rgb)

    def fault(self, raw: NDArray[Any], missing: NDArray[np.bool_]) -> str:
        """What to say of values that are not listed."""
        if isinstance(self.lookup, Ranges):
            keys = [f"{a:g}" if a == b else f"{a:g}-{b:g}" for a, b, _ in self.lookup.parts]
            return f"{self.path} has {unlisted(raw[0], missing, keys)}"
        keys = [f"#{color:06x}" for color, _ in self.lookup.parts]
        rgb = raw if self.palette is None else self.palette[raw[0]].transpose(2, 0, 1)
        return f"{self.path} has {unlisted(rgb, missing, keys)}"


def _meaning(labels: RasterLabels, source: Source) -> _Meaning:
    path, table = labels.path, labels.table
    names = read_names(path) if table is None or table.names else {}
    if table is None:
        table = from_names(names, labels.codes, path) if names else from_legend(labels.codes)
    alpha = next(
        (k + 1 for k, color in enumerate(source.colors) if color == "alpha" and source.count > 1),
        None,
    )
    light = tuple(k + 1 for k in range(source.count) if k + 1 != alpha)
    if len(light) not in (1, 3):
        # A fourth band that nobody tagged is alpha in a mask: there is no near infrared in one.
        if len(light) == 4 and alpha is None and set(source.dtypes) == {"uint8"}:
            light, alpha = light[:3], 4
        else:
            raise LabelError(
                f"{path} has {source.count} bands; labels have one, or red, green and blue: take "
                f'the right one out with gdal_translate -b 1 "{path}" labels.tif'
            )
    by_color = bool(table.colors)
    if by_color and (table.numbers or table.names):
        raise LabelError("values list colours and numbers; a file has one or the other")
    palette = palette_of(path) if by_color and len(light) == 1 else None
    if by_color and len(light) == 1 and palette is None:
        raise LabelError(
            f"{path} has one band without a palette, and values list colours; list its numbers, "
            "such as 1: crop"
        )
    if by_color and set(source.dtypes) != {"uint8"}:
        raise LabelError(f"{path} holds {source.dtype}, and colours are 8-bit; list its numbers")
    lossy = source.driver in _LOSSY or (source.compression or "").upper() in ("JPEG", "WEBP")
    lookup = table.by_color() if by_color else table.ranges(names, path)
    return _Meaning(
        path,
        lookup,
        light,
        palette,
        alpha,
        source.dataset_mask,
        _missing(source, lookup if labels.table else None),
        lossy and bool(lookup.parts),
        is_gray=not by_color and len(light) == 3,
    )


def _missing(source: Source, lookup: Ranges | Colors | None) -> float | None:
    """The file's nodata value, unless the user says what it means."""
    value = source.nodata[0]
    if value is None or np.isnan(value) or isinstance(lookup, Colors):
        return None
    said = lookup is not None and any(low <= value <= high for low, high, _ in lookup.parts)
    return None if said else value


def palette_of(path: str) -> NDArray[np.uint8] | None:
    """(256, 3) colours of the file's palette; None where it has none."""
    with open_raster(path) as dataset:
        try:
            entries = dataset.colormap(1)
        except _NO_PALETTE:
            return None
    palette = np.zeros((256, 3), np.uint8)
    for value, color in entries.items():
        if value < 256:
            palette[value] = color[:3]
    return palette


class _RasterReader:
    """Open raster labels. Used in a `with` block, in one thread."""

    def __init__(self, meaning: _Meaning, place: Place, scene: Scene) -> None:
        self._meaning, self._place, self._scene = meaning, place, scene
        self._stack = ExitStack()
        self._dataset: Any = None
        self._alpha = meaning.alpha

    def _open(self) -> Any:
        if self._dataset is None:
            dataset = self._stack.enter_context(open_raster(self._meaning.path))
            if self._place.warp is not None:
                dataset = self._stack.enter_context(self._warped(dataset, self._place.warp))
            self._dataset = dataset
        return self._dataset

    def _warped(self, dataset: Any, grid: GeoBox) -> Any:
        """The labels on the scene's grid, with an alpha band that tells what lies outside."""
        more = {} if self._alpha else {"add_alpha": True}
        if self._alpha is None:
            self._alpha = dataset.count + 1
        return WarpedVRT(
            dataset,
            crs=grid.crs,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=Resampling.nearest,
            **more,
        )

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Codes (h, w) of a window of the scene's grid.

        Raises:
            ReadError: They cannot be read; the message names file and window.
            LabelError: A value is not listed.
        """
        cols = np.floor(
            self._place.cols.factor * (np.arange(window.col_off, window.col_end) + 0.5)
            + self._place.cols.shift
        ).astype(np.int64)
        rows = np.floor(
            self._place.rows.factor * (np.arange(window.row_off, window.row_end) + 0.5)
            + self._place.rows.shift
        ).astype(np.int64)
        box = Window(
            int(cols.min()),
            int(rows.min()),
            int(cols.max() - cols.min()) + 1,
            int(rows.max() - rows.min()) + 1,
        )
        part = box.intersection(self._place.size)
        if part is None:
            return np.full(window.shape, IGNORE, np.uint8)
        codes = self._read(part)
        if part == window.shifted(part.col_off - window.col_off, part.row_off - window.row_off):
            straight = (np.diff(cols) == 1).all() and (np.diff(rows) == 1).all()
            if straight:
                return codes
        out = np.full(box.shape, IGNORE, np.uint8)
        out[part.shifted(-box.col_off, -box.row_off).slices] = codes
        return out[np.ix_(rows - box.row_off, cols - box.col_off)]

    def _read(self, part: Window) -> NDArray[np.uint8]:
        """Codes of a window of the labels' own pixels."""
        meaning = self._meaning
        at = RasterioWindow(part.col_off, part.row_off, part.width, part.height)
        try:
            dataset = self._open()
            raw = read_bands(dataset, meaning.bands, window=at)
            hidden = dataset.read(self._alpha, window=at) == 0 if self._alpha else None
            if meaning.has_mask and not self._alpha:
                hidden = dataset.read_masks(1, window=at) == 0
        except READ_FAULTS as error:
            # GDAL may take what it could not read for empty, and give zeros: open the file anew.
            self._stack.close()
            self._dataset, self._alpha = None, meaning.alpha
            raise ReadError(read_error(meaning.path, part, error)) from error
        codes, missing = meaning.codes(raw)
        if meaning.missing is not None:
            none = raw[0] == raw.dtype.type(meaning.missing)
            hidden = none if hidden is None else hidden | none
        if raw.dtype.kind == "f":
            gone = np.isnan(raw[0])
            hidden = gone if hidden is None else hidden | gone
        if hidden is not None:
            codes[hidden] = IGNORE
            missing &= ~hidden
        if missing.any():
            raise LabelError(meaning.fault(raw, missing))
        return codes

    def __enter__(self) -> _RasterReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
