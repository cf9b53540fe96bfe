"""Weed cover of cells against subpixels that are counted one by one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import InputError, OptionError
from agriseg.fields import given as given_module
from agriseg.fields.weeds.cell_cover import share_below
from agriseg.fields.weeds.grid import weed_grid
from agriseg.fields.weeds.patch_count import PatchCounter
from tests.support import ROOT, UTM, write_raster

NAMES = {0: "soil", 1: "crop", 2: "weed"}
WGS84 = CRS.from_epsg(4326)
MERCATOR = CRS.from_epsg(3857)
# 0.1 m a pixel, turned by 20 degrees and slightly oblong.
TURNED = Affine.translation(360_000.3, 5_350_000.7) @ Affine.rotation(20) @ Affine.scale(0.1, -0.11)


def class_map(height: int, width: int, seed: int = 3) -> NDArray[np.uint8]:
    """Blobs of weed about as large as cells, rows of crop, and a stripe of nodata."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 9 + 2, width // 9 + 2))
    weed = np.kron(coarse, np.ones((9, 9)))[3 : height + 3, 5 : width + 5] > 0.7
    data = np.zeros((height, width), np.uint8)
    data[:, ::7] = 1
    data[weed] = 2
    data[height // 3 : height // 3 + 5, : width // 2] = 255
    return data


def field_frame(shape: Any, crs: CRS | None = UTM, **columns: Any) -> gpd.GeoDataFrame:
    facts = {"field_id": ["north"], **{name: [value] for name, value in columns.items()}}
    return gpd.GeoDataFrame(facts, geometry=[shape], crs=crs and crs.to_wkt())


def on_map(transform: Affine, pixels: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [transform @ pixel for pixel in pixels]


def counted(
    data: NDArray[np.uint8], transform: Affine, grid: gpd.GeoDataFrame, fine: int = 16
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Valid and weed subpixels of each cell of a table, each `fine` x `fine` of a pixel."""
    height, width = data.shape
    cols, rows = np.meshgrid(
        (np.arange(width * fine) + 0.5) / fine, (np.arange(height * fine) + 0.5) / fine
    )
    values = data[rows.astype(int), cols.astype(int)].ravel()
    x, y = transform @ (cols.ravel(), rows.ravel())
    valid, weed = np.zeros(len(grid)), np.zeros(len(grid))
    for place, shape in enumerate(grid.geometry):
        left, bottom, right, top = shape.bounds
        near = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
        inside = values[near][shapely.contains_xy(shape, x[near], y[near])]
        valid[place], weed[place] = (inside != 255).sum(), (inside == 2).sum()
    return valid, weed


def check_against_subpixels(
    data: NDArray[np.uint8], transform: Affine, grid: gpd.GeoDataFrame, pixel_m2: float
) -> None:
    valid, weed = counted(data, transform, grid)
    # Cells of less than a few pixels have too few subpixels for a truth.
    large = grid.area_m2.to_numpy() > 12 * pixel_m2
    assert large.sum() > 15
    true = 100 * weed[large] / np.maximum(valid[large], 1)
    found = grid.weed_percent.to_numpy()[large]
    seen = valid[large] > 0
    assert np.abs(found - true)[seen].max() < 0.5
    assert np.isnan(found[grid.valid_percent.to_numpy()[large] == 0]).all()
    share = 100 * valid[large] / 256 * pixel_m2 / grid.area_m2.to_numpy()[large]
    assert np.abs(grid.valid_percent.to_numpy()[large] - share).max() < 0.7


def test_cover_of_turned_cells_on_a_turned_map_with_a_hole(tmp_path: Path) -> None:
    data = class_map(101, 83)
    path = write_raster(tmp_path / "map.tif", data[None], transform=TURNED, nodata=255)
    ring = on_map(TURNED, [(4.3, 3.1), (78.9, 8.2), (80.2, 95.7), (30.5, 97.9), (2.2, 60.0)])
    hole = on_map(TURNED, [(30.2, 30.1), (50.3, 33.4), (41.7, 52.9)])
    field = shapely.Polygon(ring, [hole])
    frame = field_frame(field, row_direction_deg=27.3)
    grid = weed_grid(path, frame, cell_width_m=1.13, cell_length_m=1.61, names=NAMES)
    assert grid.area_m2.sum() == pytest.approx(field.area, rel=1e-9)
    assert grid.geometry.union_all().symmetric_difference(field).area < 1e-6 * field.area
    assert grid.direction_deg.tolist() == [27.3] * len(grid)
    check_against_subpixels(data, TURNED, grid, 0.011)
    # Whole cells have the sides that were asked for, the long ones along the rows.
    whole = grid[grid.area_m2 > 1.13 * 1.61 - 1e-6]
    corners = shapely.get_coordinates(whole.geometry.iloc[0])
    sides = np.diff(corners, axis=0)
    lengths = np.hypot(*sides.T)
    assert sorted(lengths) == pytest.approx([1.13, 1.13, 1.61, 1.61])
    along = sides[lengths.argmax()]
    assert math.degrees(math.atan2(*along)) % 180 == pytest.approx(27.3)
    # Rows count along the direction, columns to the right of it.
    centres = {
        (r, c): s.centroid for r, c, s in zip(grid.row, grid.col, grid.geometry, strict=True)
    }
    here = whole.iloc[len(whole) // 2]
    one, ahead = centres[here.row, here.col], centres.get((here.row + 1, here.col))
    right = centres.get((here.row, here.col + 1))
    assert ahead
    assert right
    turn = math.radians(27.3)
    if grid.area_m2[(grid.row == here.row + 1) & (grid.col == here.col)].iloc[0] > 1.8:
        assert (ahead.x - one.x, ahead.y - one.y) == pytest.approx(
            (1.61 * math.sin(turn), 1.61 * math.cos(turn))
        )
    assert right.x > one.x
    assert right.y < one.y


@pytest.mark.parametrize("crs", [WGS84, MERCATOR], ids=["degrees", "mercator"])
def test_metres_are_those_of_the_ground(tmp_path: Path, crs: CRS) -> None:
    if crs == WGS84:
        step = 0.1 / 111_320
        transform = Affine(step / math.cos(math.radians(48)), 0, 16.2, 0, -step, 48.0)
    else:
        step = 0.1 / math.cos(math.radians(48))
        transform = Affine(step, 0, 1_803_000.0, 0, -step, 6_106_000.0)
    data = class_map(90, 70)
    path = write_raster(tmp_path / "map.tif", data[None], crs=crs, transform=transform, nodata=255)
    field = shapely.Polygon(on_map(transform, [(3, 4), (66, 2), (68, 86), (5, 83)]))
    frame = field_frame(field, crs)
    # In another CRS than the map's.
    grid = weed_grid(
        path,
        frame.to_crs(UTM.to_wkt()),
        cell_width_m=1.0,
        cell_length_m=1.5,
        direction_deg=27.3,
        names=NAMES,
    )
    truth = frame.to_crs(WGS84.to_wkt()).geometry.iloc[0]
    area = abs(rasterio_geod().geometry_area_perimeter(truth)[0])
    assert grid.area_m2.sum() == pytest.approx(area, rel=1e-5)
    assert grid.area_m2.max() == pytest.approx(1.5, rel=1e-3)
    check_against_subpixels(data, transform, grid, area / (field.area / step_area(transform)))
    # The way of the long sides, by a geodesic.
    whole = grid[grid.area_m2 > 1.5 - 1e-3].to_crs(WGS84.to_wkt()).geometry.iloc[0]
    lon, lat = shapely.get_coordinates(whole).T
    azimuth, _, length = rasterio_geod().inv(lon[:-1], lat[:-1], lon[1:], lat[1:])
    assert length.max() == pytest.approx(1.5, rel=1e-3)
    assert azimuth[length.argmax()] % 180 == pytest.approx(27.3, abs=0.05)


def rasterio_geod() -> Any:
    import pyproj

    return pyproj.Geod(ellps="WGS84")


def step_area(transform: Affine) -> float:
    return abs(transform.determinant)


@settings(max_examples=12, deadline=None)
@given(
    direction=st.floats(0, 360),
    width=st.floats(0.07, 3),
    length=st.floats(0.07, 3),
    seed=st.integers(0, 99),
)
def test_nothing_is_lost_whatever_the_cells(
    tmp_path_factory: Any, direction: float, width: float, length: float, seed: int
) -> None:
    """The cells together hold what the field holds: cut pixel by pixel, without any cells."""
    data = class_map(29, 37, seed)
    path = tmp_path_factory.mktemp("grid") / "map.tif"
    write_raster(path, data[None], transform=TURNED, nodata=255)
    # It reaches out of the map on one side.
    field = shapely.Polygon(on_map(TURNED, [(2.2, 1.1), (40.5, 9.9), (33.3, 25.6), (8.8, 27.1)]))
    grid = weed_grid(
        path,
        field_frame(field),
        cell_width_m=width,
        cell_length_m=length,
        direction_deg=direction,
        names=NAMES,
    )
    row, col = np.nonzero(data != 255)
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    x, y = TURNED @ (col[:, None] + square[:, 0], row[:, None] + square[:, 1])
    areas = shapely.area(shapely.intersection(shapely.polygons(np.stack([x, y], 2)), field))
    valid = grid.area_m2 * grid.valid_percent / 100
    assert valid.sum() == pytest.approx(areas.sum(), rel=1e-6)
    weed = (valid * grid.weed_percent.fillna(0) / 100).sum()
    assert weed == pytest.approx(areas[data[row, col] == 2].sum(), rel=1e-6)
    assert grid.area_m2.sum() == pytest.approx(field.area, rel=1e-6)
    assert grid.weed_percent.dropna().between(0, 100).all()
    assert grid.cell_id.is_unique


def test_an_ab_line_runs_through_the_middle_of_a_column(tmp_path: Path) -> None:
    t = Affine(0.1, 0, 500_000, 0, -0.1, 5_000_010)
    data = class_map(100, 100)
    path = write_raster(tmp_path / "map.tif", data[None], transform=t, nodata=255)
    field = shapely.box(500_001, 5_000_001, 500_009, 5_000_009)
    line = ((500_003.0, 5_000_002.0), (500_003.0, 5_000_007.0))
    grid = weed_grid(
        path, field_frame(field), cell_width_m=2, cell_length_m=3, ab_line=line, names=NAMES
    )
    at_a = grid[(grid.row == 0) & (grid.col == 0)].geometry.iloc[0]
    assert at_a.bounds == pytest.approx((500_002, 5_000_002, 500_004, 5_000_005))
    assert (grid.row.min(), grid.col.min(), grid.col.max()) == (-1, -1, 3)
    assert set(grid.direction_deg) == {0.0}
    assert grid.cell_id.iloc[0] == "north--1--1"
    back = weed_grid(
        path, field_frame(field), cell_width_m=2, cell_length_m=3, ab_line=line[::-1], names=NAMES
    )
    assert set(back.direction_deg) == {180.0}


def test_blocks_and_bands_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = class_map(120, 64)
    sure = (np.arange(data.size).reshape(data.shape) % 201).astype(np.uint8)
    sure[data == 255] = 255
    for name, plane in (("classes", data), ("confidence", sure)):
        write_raster(tmp_path / f"{name}.tif", plane[None], transform=TURNED, nodata=255)
    with rasterio.open(tmp_path / "confidence.tif", "r+") as dataset:
        dataset.scales = (0.005,)
    field = shapely.Polygon(on_map(TURNED, [(4, 3), (60, 8), (62, 110), (5, 115)]))

    def made() -> gpd.GeoDataFrame:
        return weed_grid(
            tmp_path / "classes.tif",
            field_frame(field),
            cell_width_m=1,
            cell_length_m=1,
            names=NAMES,
        )

    whole = made()
    monkeypatch.setattr(given_module, "_BAND_PIXELS", 7 * 64)
    parts = made()
    exact = ["cell_id", "patches", "area_m2"]
    assert whole[exact].equals(parts[exact])
    for name in ("weed_percent", "valid_percent", "confidence"):
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-9)
    # A cell's confidence is the mean over its pixels.
    cell = whole.iloc[len(whole) // 2]
    rows, cols = np.nonzero(data != 255)
    x, y = TURNED @ (cols + 0.5, rows + 0.5)
    inside = shapely.contains_xy(cell.geometry, x, y)
    assert cell.confidence == pytest.approx(
        sure[rows[inside], cols[inside]].mean() * 0.005, abs=0.03
    )


def test_patches_count_once_where_their_middle_is(tmp_path: Path) -> None:
    t = Affine(0.1, 0, 500_000, 0, -0.1, 5_000_004)
    data = np.zeros((1, 40, 60), np.uint8)
    data[0, 5:8, 17:29] = 2  # over the line between two cells, its middle in the second
    data[0, 20:23, 30:33] = 2
    data[0, 23, 33:36] = 2  # touches at a corner only: another patch, of three pixels
    data[0, 36:40, 2:4] = 2
    data[0, 0, :] = 2  # a long one
    path = write_raster(tmp_path / "map.tif", data, transform=t)
    field = shapely.box(500_000, 5_000_000, 500_006, 5_000_004)
    grid = weed_grid(
        path, field_frame(field), cell_width_m=2, cell_length_m=2, direction_deg=0, names=NAMES
    )
    found = {(r, c): n for r, c, n in zip(grid.row, grid.col, grid.patches, strict=True)}
    assert found == {(1, 0): 0, (1, 1): 2, (1, 2): 0, (0, 0): 1, (0, 1): 1, (0, 2): 0}


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_patches_are_joined_over_bands(seed: int, cut: int) -> None:
    from scipy.ndimage import center_of_mass, label

    shown = np.random.default_rng(seed).random((23, 17)) < 0.6
    counter = PatchCounter(17)
    for row in range(0, 23, cut):
        counter.add(shown[row : row + cut], row)
    found = counter.patches(3)
    labels, count = label(shown)
    sizes = np.bincount(labels.ravel())[1:]
    middles = np.array(center_of_mass(shown, labels, np.arange(1, count + 1)))
    kept = sizes >= 3
    assert sorted(found.pixels) == sorted(sizes[kept])
    mine = np.stack([found.row, found.col], 1)
    assert np.allclose(mine[np.lexsort(mine.T)], middles[kept][np.lexsort(middles[kept].T)])


@pytest.mark.parametrize(("p", "q"), [(0.3, 0.2), (0.2, -0.3), (0.1, 0.1), (0.4, 0.0), (1, 1e-9)])
def test_the_share_below_a_line(p: float, q: float) -> None:
    x, y = np.meshgrid((np.arange(900) + 0.5) / 900 - 0.5, (np.arange(900) + 0.5) / 900 - 0.5)
    lines = np.linspace(-0.6, 0.6, 13)
    true = [((p * x + q * y) < line).mean() for line in lines]
    assert share_below(lines, p, q) == pytest.approx(true, abs=2e-3)


def test_without_rows_cells_lie_along_the_longest_side(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "map.tif", class_map(80, 80)[None], transform=TURNED, nodata=255)
    centre = TURNED @ (40, 40)
    field = shapely.affinity.rotate(shapely.box(-3, -1, 3, 1), 33)
    field = shapely.affinity.translate(field, *centre)
    grid = weed_grid(
        path,
        field_frame(field, row_direction_deg=math.nan),
        cell_width_m=1,
        cell_length_m=1,
        names=NAMES,
    )
    assert grid.direction_deg.iloc[0] == pytest.approx(57)
    assert len(grid) == 12


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "map.tif", class_map(30, 30)[None], nodata=255)
    with rasterio.open(path) as dataset:
        field = shapely.box(*dataset.bounds)
        size = {"cell_width_m": 0.1, "cell_length_m": 0.1}
    frame = field_frame(field)
    with pytest.raises(OptionError, match=r"does not name its classes.*--names"):
        weed_grid(path, frame, **size)
    plain = {0: "soil", 1: "vegetation", 2: "water"}
    with pytest.raises(OptionError, match=r"no class weed; it has soil, vegetation, water.*--weed"):
        weed_grid(path, frame, names=plain, **size)
    assert len(weed_grid(path, frame, names=plain, weed=["water"], **size))
    with pytest.raises(OptionError, match="--cell-width-m -1"):
        weed_grid(path, frame, names=NAMES, cell_width_m=-1, cell_length_m=1)
    line = ((0.0, 0.0), (1.0, 1.0))
    with pytest.raises(OptionError, match="give one of them"):
        weed_grid(path, frame, names=NAMES, direction_deg=3, ab_line=line, **size)
    with pytest.raises(OptionError, match="A and B are the same point"):
        weed_grid(path, frame, names=NAMES, ab_line=((0.0, 0.0), (0.0, 0.0)), **size)
    with pytest.raises(OptionError, match="make them larger"):
        weed_grid(path, frame, names=NAMES, cell_width_m=1e-5, cell_length_m=1e-5)
    with pytest.raises(InputError, match="has no CRS"):
        weed_grid(path, field_frame(field, None), names=NAMES, **size)
    far = field_frame(shapely.affinity.translate(field, 1000, 0))
    with pytest.raises(InputError, match="map"):
        weed_grid(path, far, names=NAMES, **size)
    with pytest.raises(InputError, match="nothing of the parcels"):
        weed_grid(path, field_frame(shapely.Point(field.centroid)), names=NAMES, **size)
    with pytest.raises(InputError, match=r"nowhere\.gpkg"):
        weed_grid(path, tmp_path / "nowhere.gpkg", names=NAMES, **size)


def test_the_simulated_field_has_all_its_weeds() -> None:
    """The true labels of the sample: its weeds stand in patches, over rows at 17 degrees."""
    labels = ROOT / "sample_data" / "field_labels.tif"
    with rasterio.open(labels) as dataset:
        data, transform, crs = dataset.read(1), dataset.transform, dataset.crs
    window = [(200, 150), (1200, 150), (1200, 950), (200, 950)]
    field = shapely.Polygon(on_map(transform, window))
    frame = field_frame(field, crs, row_direction_deg=107.0)
    grid = weed_grid(labels, frame, cell_width_m=0.75, cell_length_m=1.0, names=NAMES)
    part = data[150:950, 200:1200]
    assert (grid.weed_percent * grid.area_m2).sum() / 100 == pytest.approx(
        (part == 2).sum() * 0.0004
    )
    # In patches: most of the weed in a few of the cells.
    weed = np.sort(grid.weed_percent * grid.area_m2)[::-1]
    assert weed[: len(weed) // 4].sum() > 0.6 * weed.sum()
    assert grid.patches.sum() > 400
