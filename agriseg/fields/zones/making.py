"""The verb `make_zones`: where in each field the crop is weak, and where it is strong."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.errors import InputError, OptionError
from agriseg.fields.given import GivenField, fields_on
from agriseg.fields.kinds import kinds_of
from agriseg.fields.output import frame_of
from agriseg.fields.pixels import PixelChoice, choose_pixels
from agriseg.fields.zones.breaks import natural_breaks, quantile_breaks, weighted_quantiles
from agriseg.fields.zones.shapes import zone_tiles
from agriseg.fields.zones.table import no_zones, zone_rows
from agriseg.fields.zones.vigour import (
    CoarseGrid,
    Vigour,
    coarse_grid,
    read_vigour,
    smoothed,
)
from agriseg.geobox import GeoBox
from agriseg.indices import Index, default_indices, find_index
from agriseg.indices.compute import constants_of, fits_units
from agriseg.raster.opening import open_scene
from agriseg.raster.reader import SceneReader, apart_words, crs_words
from agriseg.raster.scene import Scene
from agriseg.vector.files import PolygonBatch
from agriseg.vector.measure import measure_polygons
from agriseg.vector.source import ClassRaster, ClassReader, open_classes

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["METHODS", "ZoneBasis", "ZoneOptions", "make_zones", "zone_basis", "zone_batches"]

Path_ = str | os.PathLike[str]
Breaks = Callable[[NDArray[np.float64], NDArray[np.float64], int], NDArray[np.float64]]

METHODS: Mapping[str, Breaks] = {"natural": natural_breaks, "quantiles": quantile_breaks}

# The default smoothing: so many parts of a field's side, at most so many metres, and at least so
# many metres, which a machine can keep to, row spacings, and pixels.
_PARTS, _MOST_M, _LEAST_M, _ROWS, _PIXELS = 20, 10.0, 3.0, 2, 2
# The least zone by default, in squares of the smoothing's width: smaller ones cannot be told.
_SQUARES = 4
# Where nine tenths of a field lie within this part of its median, zones would be of noise.
_UNIFORM = 0.05


@dataclass(frozen=True)
class ZoneOptions:
    """How zones are made.

    Args:
        index: What tells vigour; None: the scene's first default index, NDVI where it has one.
        zones: How many, at most: 2 to 5.
        method: "natural": breaks where values differ most; "quantiles": zones of equal area.
        smooth_m: Width of the smoothing in metres; None: from field, rows and pixels.
        min_zone_m2: No part of a zone is smaller; None: four squares of `smooth_m`.
        pixels: Whose index counts: "crop", "plants" (crop and weeds), or "all", soil too; None:
            that of crop, or all where pixels are larger than plants.
        crop, weed, ground: Names of classes that are crop, weeds, or bare, where their names do not
            tell.
        params: Constants of the index's formula that shall have another value.
        uncalibrated: Take an index that needs reflectance of whatever numbers there are.
    """

    index: str | None = None
    zones: int = 4
    method: str = "natural"
    smooth_m: float | None = None
    min_zone_m2: float | None = None
    pixels: str | None = None
    crop: tuple[str, ...] = ()
    weed: tuple[str, ...] = ()
    ground: tuple[str, ...] = ()
    params: Mapping[str, float] = field(default_factory=dict)
    uncalibrated: bool = False

    def __post_init__(self) -> None:
        if self.zones not in (2, 3, 4, 5):
            raise OptionError(f"--zones {self.zones}: 2 to 5 zones can be made")
        if self.method not in METHODS:
            raise OptionError(f"--method {self.method}: possible are {', '.join(METHODS)}")
        for option, value in (("smooth-m", self.smooth_m), ("min-zone-m2", self.min_zone_m2)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise OptionError(f"--{option} {value:g}: 0 or a positive number is needed")


def make_zones(
    scene: Scene | Path_,
    classes: Path_,
    fields: gpd.GeoDataFrame | Path_,
    *,
    index: str | None = None,
    zones: int = 4,
    method: str = "natural",
    smooth_m: float | None = None,
    min_zone_m2: float | None = None,
    pixels: PixelChoice | None = None,
    names: Mapping[int, str] | None = None,
) -> gpd.GeoDataFrame:
    """Divide each field into zones of vigour, from an index of its crop.

    The index is averaged over the crop around each place, so that soil between rows has no part in
    it, and cut into zones where its values differ most (natural breaks, as the k-means of
    Management Zone Analyst; Fridgen et al. 2004, Agron. J. 96). Places with next to no crop, which
    have no index, belong to the weakest zone; `crop_percent` tells. Zones tile the part of the
    field that is on the map, without gap or overlap.

    Args:
        scene: The scene, or its raster.
        classes: Its class raster: `classes.tif` of a run. Where the two grids differ, the scene is
            resampled to that of the classes.
        fields: Outlines of fields, or a vector file with some, in any CRS.
        index: Name of the index; by default NDVI, or what the scene has instead.
        zones: How many zones, at most: 2 to 5.
        method: "natural" breaks, or "quantiles" for zones of about equal area.
        smooth_m: Width of the smoothing on the ground (full width at half maximum of a Gaussian).
            By default a twentieth of the field's side, at most 10 m, but at least 3 m, two row
            spacings and two pixels. 0: none.
        min_zone_m2: Parts of zones that are smaller go to a neighbour. By default four squares of
            `smooth_m`.
        pixels: Whose index counts: "crop", "plants" (crop and weeds), or "all" of the ground; by
            default that of crop, or all where pixels are larger than a metre.
        names: Names of the raster's classes, before those in the file.

    Returns:
        A zone a row, by field and from the weakest, 1, on; as multipolygons:

        - `field_id`, `zone`, `zone_name` (low, ..., high), `area_ha` on the ground,
          `share_percent` of the field's zones;
        - `<index>_mean` over the pixels that count, and `relative_percent`: that by the mean of the
          field, NaN where this is not above 0;
        - `<index>_field_median` over the field's area, of the smoothed index;
        - `crop_percent`: pixels that count, of all of the zone;
        - `smooth_m`, and `note`: why a field has but one zone. Zone 0 stands for a field of which
          nothing is known.

    Raises:
        InputError: A raster or the fields cannot be used.
        BandError: The scene lacks bands of the index.
        OptionError: An option makes no sense, or no class is a crop.
    """
    options = ZoneOptions(index, zones, method, smooth_m, min_zone_m2, pixels)
    opened = scene if isinstance(scene, Scene) else open_scene(scene)
    raster = open_classes(classes, confidence=False, names=names)
    basis = zone_basis(opened, raster, options)
    given = fields_on(raster.geobox, fields, raster.path).logged()
    return frame_of(zone_batches(basis, given), raster)


@dataclass(frozen=True)
class ZoneBasis:
    """What zones are made from.

    Args:
        scene: The scene, on the grid of its classes.
        raster: The classes.
        index: What tells vigour.
        pixels: Whose index counts.
        kinds: The classes of these pixels; None: all.
        options: How.
    """

    scene: Scene
    raster: ClassRaster
    index: Index
    pixels: PixelChoice
    kinds: tuple[int, ...] | None
    options: ZoneOptions


def zone_basis(scene: Scene, raster: ClassRaster, options: ZoneOptions) -> ZoneBasis:
    """Make sure, before any work, that zones can be made of a scene and its classes.

    Raises:
        InputError, BandError, OptionError: As in `make_zones`.
    """
    name = options.index
    if name is None:
        usual = default_indices(scene)
        if not usual:
            raise OptionError(
                f"{scene.name} has no bands for an index of vegetation by default; "
                f"{scene.band_summary()}; name one with -i, or the bands with --bands"
            )
        name = usual[0]
    index = find_index(name, scene)
    index = replace(index, constants=tuple(constants_of(index, options.params).items()))
    # Zones are within a scene: values that are comparable there only will do.
    fits_units(index, scene, uncalibrated=options.uncalibrated)
    pixels = choose_pixels(options.pixels, raster.geobox)
    kinds = _kinds(raster, pixels, options)
    return ZoneBasis(_on_grid(scene, raster), raster, index, pixels, kinds, options)


def zone_batches(basis: ZoneBasis, fields: Sequence[GivenField]) -> Iterator[PolygonBatch]:
    """The zones of `make_zones`, one field after the other.

    Raises:
        ReadError: Pixels cannot be read; the message names file and window.
    """
    with (
        SceneReader(basis.scene, basis.index.keys) as pixels,
        ClassReader(basis.raster) as classes,
    ):
        for field in fields:
            yield _of_field(basis, pixels, classes, field)


def _kinds(
    raster: ClassRaster, pixels: PixelChoice, options: ZoneOptions
) -> tuple[int, ...] | None:
    """Classes whose pixels count; None: all."""
    if pixels == "all":
        return None
    if not raster.names:
        raise OptionError(
            f"{raster.path} does not name its classes, so which of them is crop is unknown; give "
            "--names 0=soil,1=crop,2=weed with its own numbers, or --pixels all"
        )
    kinds = kinds_of(raster.names, crop=options.crop, weed=options.weed, ground=options.ground)
    found = kinds.crop if pixels == "crop" else kinds.plants
    if not found:
        there = ", ".join(raster.names[value] for value in sorted(raster.names))
        raise OptionError(
            f"{raster.path} has no class that is crop; it has {there}. Say which one is with "
            "--crop NAME, or take --pixels all"
        )
    return tuple(sorted(found))


def _on_grid(scene: Scene, raster: ClassRaster) -> Scene:
    """The scene on the grid of its classes."""
    box = raster.geobox
    if scene.geobox.crs != box.crs:
        warp = f'gdalwarp -r near -t_srs "{crs_words(scene.geobox)}" "{raster.path}" classes.tif'
        raise InputError(apart_words(raster.path, box, scene.name, scene.geobox, warp))
    placed = replace(scene, geobox=box)
    # Opened once here: grids that are turned against each other are refused before any work.
    with SceneReader(placed):
        pass
    return placed


def _of_field(
    basis: ZoneBasis, pixels: SceneReader, classes: ClassReader, field: GivenField
) -> PolygonBatch:
    index, options = basis.index, basis.options
    box = pixels.scene.geobox
    area_m2 = float(measure_polygons(np.array([field.shape], object), box).areas_m2[0])
    smooth_m = options.smooth_m
    if smooth_m is None:
        gsd = box.mean_gsd_m or 0.0
        side = min(math.sqrt(area_m2) / _PARTS, _MOST_M)
        rows = _ROWS * (field.row_spacing_m or 0)
        smooth_m = max(side, _LEAST_M, rows, _PIXELS * gsd)
    least = _SQUARES * smooth_m**2 if options.min_zone_m2 is None else options.min_zone_m2
    grid = coarse_grid(box, field.window, smooth_m)
    vigour = read_vigour(pixels, classes, field, index, grid, basis.kinds)
    if not vigour.usable.any():
        return no_zones(field, index, box, "no data")
    what = {"crop": "crop", "plants": "plants", "all": "index"}[basis.pixels]
    if not vigour.counts.any():
        return no_zones(field, index, box, f"no {what}", smooth_m, cover=0.0)
    values, enough = smoothed(vigour, grid, smooth_m)
    labels, note = _labels(values, enough, vigour, options, area_m2 < 2 * least)
    tiles = zone_tiles(labels, vigour.valid, grid.box, _clip(field, grid, box), least)
    if not len(tiles.faces):
        return no_zones(field, index, box, "no data")
    median = _median(values, enough, vigour)
    return zone_rows(field, index, grid, vigour, tiles, (median, smooth_m, note))


def _labels(
    values: NDArray[np.float64],
    enough: NDArray[np.bool_],
    vigour: Vigour,
    options: ZoneOptions,
    is_small: bool,
) -> tuple[NDArray[np.uint8], str]:
    """Zone of each cell, 1 where there is no crop; and why there is only one."""
    labels = np.ones(values.shape, np.uint8)
    told = enough & (vigour.usable > 0)
    some, weights = values[told], vigour.usable[told].astype(np.float64)
    if is_small:
        return labels, "too small for zones"
    low, middle, high = weighted_quantiles(some, weights, np.array([0.05, 0.5, 0.95])).tolist()
    if high - low <= _UNIFORM * abs(middle):
        return labels, "uniform"
    breaks = METHODS[options.method](some, weights, options.zones)
    labels[enough] = 1 + np.searchsorted(breaks, values[enough], side="right")
    # Along the field's edge lie cells with no pixel of its own: nothing is known of them.
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(
        vigour.usable == 0, return_distances=False, return_indices=True
    )
    return labels[tuple(nearest)], ""


def _median(values: NDArray[np.float64], enough: NDArray[np.bool_], vigour: Vigour) -> float:
    told = enough & (vigour.usable > 0)
    weights = vigour.usable[told].astype(np.float64)
    return float(weighted_quantiles(values[told], weights, np.array([0.5]))[0])


def _clip(field: GivenField, grid: CoarseGrid, box: GeoBox) -> Any:
    """The field in cells of its grid, as far as the raster reaches."""
    (across, down), (col, row) = grid.pixels, grid.first
    shape = field.in_pixels(box, box.window)
    shape = shapely.transform(shape, lambda xy: xy / (across, down) - (col, row))
    raster = shapely.box(-col, -row, box.width / across - col, box.height / down - row)
    return shapely.intersection(shapely.make_valid(shape), raster)
