"""The verb `weed_grid`: cells along the rows of each field, and how much of each is weed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agriseg.arrays import among
from agriseg.errors import OptionError
from agriseg.fields.given import GivenField, bands_of, fields_on
from agriseg.fields.kinds import kinds_of
from agriseg.fields.output import frame_of
from agriseg.fields.weeds.cell_cover import BandPixels, CellCover
from agriseg.fields.weeds.lattice import CellSize, Lattice, Line, lattice_on
from agriseg.fields.weeds.patch_count import PatchCounter, Patches
from agriseg.vector.files import PolygonBatch
from agriseg.vector.measure import measure_polygons, placed
from agriseg.vector.source import ClassRaster, ClassReader, open_classes

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["SPECK_PIXELS", "grid_batches", "weed_grid", "weed_values"]

Path_ = str | os.PathLike[str]

SPECK_PIXELS = 4
"""Patches of fewer pixels are noise of the map; `vectorize` merges them by default, too."""


def weed_grid(
    classes: Path_,
    fields: gpd.GeoDataFrame | Path_,
    *,
    cell_width_m: float,
    cell_length_m: float,
    direction_deg: float | None = None,
    ab_line: Line | None = None,
    confidence: Path_ | bool | None = None,
    weed: Sequence[str] = (),
    names: Mapping[int, str] | None = None,
    nodata: float | None = None,
) -> gpd.GeoDataFrame:
    """Weed cover in a grid of cells over each field, turned as its rows or a line that is given.

    Cells are cut to the field and tile it. Pixels count in a cell by the area of theirs that lies
    in it. Memory is that of the cells and of a band of rows, whatever the size of the map.

    Args:
        classes: A class raster: `classes.tif` of a run, or any with named classes.
        fields: Outlines of fields, or a vector file with some, in any CRS.
        cell_width_m: Side of a cell across the way that machines drive, such as a section's width.
        cell_length_m: Side along it.
        direction_deg: That way, clockwise from north; by default along the rows of each field
            (`row_direction_deg`), or where they are unknown along its longest side.
        ab_line: ((x, y), (x, y)) of A and B in the raster's CRS, instead of a direction: it runs
            through the middle of a column of cells, and a row of cells begins at A.
        confidence: As for `vectorize`: by default confidence.tif beside a classes.tif.
        weed: Names of the classes that are weeds; by default `weed`.
        names: Names of the raster's classes, before those in the file.
        nodata: A value that is no class, beside those that the file declares.

    Returns:
        A cell a row, by field, row and column:

        - `cell_id` (field-row-col), `field_id`, `row` and `col` (along and across the way, from 0
          at the field's edge, or at A and below 0 behind it or left of it), `direction_deg`;
        - `area_m2` of the cell within the field, on the ground;
        - `valid_percent` of it for which the map has a class;
        - `weed_percent` of that; NaN where the map has no class;
        - `patches`: patches of weeds whose centre of gravity lies in the cell, so that the sum over
          cells is that of the field; those of fewer than four pixels do not count;
        - `confidence`: mean over the valid area; NaN where it is unknown.

    Raises:
        InputError: The raster or the fields cannot be used.
        OptionError: No class is a weed, or an option makes no sense.
    """
    raster = open_classes(classes, confidence=confidence, nodata=nodata, names=names)
    return frame_of(
        grid_batches(
            raster,
            fields_on(raster.geobox, fields, raster.path).logged(),
            CellSize(cell_width_m, cell_length_m),
            direction_deg=direction_deg,
            ab_line=ab_line,
            weed=weed,
        ),
        raster,
    )


def grid_batches(
    raster: ClassRaster,
    fields: Sequence[GivenField],
    size: CellSize,
    *,
    direction_deg: float | None = None,
    ab_line: Line | None = None,
    weed: Sequence[str] = (),
) -> Iterator[PolygonBatch]:
    """The cells of `weed_grid`, one field after the other.

    Raises:
        InputError, OptionError: As in `weed_grid`; before the first field, where it can be told.
    """
    weeds = weed_values(raster, weed)
    if direction_deg is not None and ab_line is not None:
        raise OptionError("both --direction-deg and --ab-line are given; give one of them")
    way = _Way(size, direction_deg, ab_line)
    return _batches(raster, fields, way, weeds)


@dataclass(frozen=True)
class _Way:
    """How cells are laid over a field."""

    size: CellSize
    direction_deg: float | None
    ab_line: Line | None


def _batches(
    raster: ClassRaster, fields: Sequence[GivenField], way: _Way, weeds: frozenset[int]
) -> Iterator[PolygonBatch]:
    with ClassReader(raster) as reader:
        for field in fields:
            lattice = lattice_on(
                raster.geobox,
                field,
                way.size,
                direction_deg=way.direction_deg,
                ab_line=way.ab_line,
            )
            cover, patches = _counted(reader, raster, lattice, weeds)
            yield _cells(raster, lattice, cover, patches)


def _counted(
    reader: ClassReader, raster: ClassRaster, lattice: Lattice, weeds: frozenset[int]
) -> tuple[CellCover, Patches]:
    """Read a field by bands of rows, and count its pixels and patches."""
    import shapely
    from rasterio.features import rasterize

    field, window = lattice.field, lattice.window
    cover, counter = CellCover(lattice), PatchCounter(window.width)
    listed = sorted(weeds)
    for band in bands_of(window):
        rows = reader.read_window(band)
        edge = shapely.boundary(field.in_pixels(raster.geobox, band))
        on_edge = rasterize([(edge, 1)], band.shape, all_touched=True, dtype="uint8").astype(bool)
        inside = field.covers(raster.geobox, band)
        shown = rows.valid & among(rows.classes, listed)
        row = band.row_off - window.row_off
        cover.add(BandPixels(row, rows.valid, shown, inside, on_edge, rows.steps, rows.has_steps))
        counter.add(shown & inside, row)
    return cover, counter.patches(SPECK_PIXELS)


def _cells(
    raster: ClassRaster, lattice: Lattice, cover: CellCover, patches: Patches
) -> PolygonBatch:
    """The table of one field."""
    import shapely

    cells, places = lattice.pieces
    polygons = lattice.polygons
    row, col = (
        number + first
        for number, first in zip(np.divmod(places, lattice.shape[1]), lattice.first, strict=True)
    )
    size = abs(lattice.to_cells.determinant)
    valid, weed, known = cover.valid[places], cover.weed[places], cover.known[places]
    # Sums of shares of pixels, which come to less than the last digits of doubles.
    seen = valid > 1e-6
    share = np.clip(valid * size / shapely.area(cells), 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cover_percent = np.where(seen, np.clip(100 * weed / valid, 0, 100), np.nan)
        steps = cover.steps[places] / known
        sure = np.where(known > 1e-6, steps * raster.step + raster.step_offset, np.nan)
    field_id = lattice.field.field_id
    names = [f"{field_id}-{r}-{c}" for r, c in zip(row.tolist(), col.tolist(), strict=True)]
    columns: dict[str, NDArray[Any]] = {
        "cell_id": np.array(names, object),
        "field_id": np.full(len(cells), field_id, object),
        "row": row,
        "col": col,
        "area_m2": measure_polygons(polygons, raster.geobox).areas_m2,
        "valid_percent": 100 * share,
        "weed_percent": cover_percent,
        "patches": _by_cell(lattice, patches)[places],
        "confidence": sure if raster.confidence else np.full(len(cells), np.nan),
        "direction_deg": np.full(len(cells), lattice.direction_deg),
    }
    return PolygonBatch(polygons, columns)


def _by_cell(lattice: Lattice, patches: Patches) -> NDArray[np.int64]:
    """Patches in each place of a lattice: where their centre of gravity lies.

    A crescent about a corner of the field may have it outside: that one counts where it begins.
    """
    rows, columns = lattice.shape
    is_cell = np.zeros(rows * columns, bool)
    is_cell[lattice.pieces[1]] = True

    def place(col: NDArray[Any], row: NDArray[Any]) -> NDArray[np.int64]:
        u, v = placed(np.stack([col + 0.5, row + 0.5], axis=1), lattice.to_cells).T
        i = np.clip(np.floor(v).astype(np.int64), 0, rows - 1)
        j = np.clip(np.floor(u).astype(np.int64), 0, columns - 1)
        return np.asarray(i * columns + j)

    centre = place(patches.col, patches.row)
    centre = np.where(is_cell[centre], centre, place(*patches.first.T))
    return np.bincount(centre, minlength=rows * columns)


def weed_values(raster: ClassRaster, weed: Sequence[str]) -> frozenset[int]:
    """The values of a map that are weeds.

    Raises:
        OptionError: There is none, or a name is no class.
    """
    names = raster.names
    if not names:
        raise OptionError(
            f"{raster.path} does not name its classes, so which of them is weed is unknown; give "
            "--names 0=soil,1=crop,2=weed, with its own numbers"
        )
    found = kinds_of(names, weed=weed).weed
    if not found:
        there = ", ".join(names[value] for value in sorted(names))
        raise OptionError(
            f"{raster.path} has no class weed; it has {there}. Segment with a model that tells "
            "crop from weed, such as crop-weed, or say which class is a weed with --weed NAME"
        )
    return found
