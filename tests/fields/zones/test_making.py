"""Zones of vigour on fields that were made so that the zones are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import BandError, InputError, OptionError
from agriseg.fields import given as given_module
from agriseg.fields.zones.breaks import natural_breaks, quantile_breaks, weighted_quantiles
from agriseg.fields.zones.making import make_zones
from agriseg.fields.zones.table import stressed_ha
from agriseg.raster.opening import open_scene
from agriseg.raster.scene import Scene
from tests.support import UTM, write_raster

NAMES = {0: "soil", 1: "crop", 2: "weed"}
T = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_100)
TURNED = Affine.translation(500_000, 5_000_100) @ Affine.rotation(-25) @ Affine.scale(0.5, -0.5)


def scene_of(
    folder: Path, ndvi: NDArray[np.float64], *, crs: CRS = UTM, transform: Affine = T
) -> Scene:
    """A scene whose NDVI is this; NaN has no data."""
    red = np.full(ndvi.shape, 0.1)
    nir = red * (1 + ndvi) / (1 - ndvi)
    data = np.stack([red, nir]).astype(np.float32)
    data[:, np.isnan(ndvi)] = -1
    path = write_raster(folder / "scene.tif", data, crs=crs, transform=transform, nodata=-1)
    return open_scene(path, bands=["red", "nir"], scale=1)


def rows_of(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Rows of crop, soil between them, weeds here and there."""
    data = np.zeros(shape, np.uint8)
    data[:, ::3] = 1
    data[::17, 1::3] = 2
    return data


def classes_of(
    folder: Path, data: NDArray[np.uint8], *, crs: CRS = UTM, transform: Affine = T
) -> Path:
    return write_raster(
        folder / "classes.tif", data[None], crs=crs, transform=transform, nodata=255
    )


def field_frame(*shapes: Any, crs: CRS = UTM, **columns: Any) -> gpd.GeoDataFrame:
    ids = [f"f{number}" for number in range(len(shapes))]
    return gpd.GeoDataFrame({"field_id": ids, **columns}, geometry=list(shapes), crs=crs.to_wkt())


def on_map(transform: Affine, pixels: list[tuple[float, float]]) -> shapely.Polygon:
    return shapely.Polygon([transform @ pixel for pixel in pixels])


def test_a_gradient_becomes_zones_in_order_and_soil_has_no_part(tmp_path: Path) -> None:
    columns = np.arange(160)
    steps = np.select([columns < 40, columns < 90], [0.4, 0.6], 0.8)
    ndvi = np.tile(steps, (120, 1)).astype(float)
    data = rows_of((120, 160))
    ndvi[data == 0] = 0.1
    ndvi[data == 2] = 0.95
    scene, classes = scene_of(tmp_path, ndvi), classes_of(tmp_path, data)
    field = shapely.box(500_000, 5_000_040, 500_080, 5_000_100)
    found = make_zones(
        scene, classes, field_frame(field), zones=3, smooth_m=3, min_zone_m2=100, names=NAMES
    )
    assert found.zone.tolist() == [1, 2, 3]
    assert found.zone_name.tolist() == ["low", "medium", "high"]
    # Borders at 20 m and 45 m, within a cell or so.
    left = found.geometry.bounds.minx - 500_000
    assert left.tolist() == pytest.approx([0, 20, 45], abs=1.0)
    assert found.ndvi_mean.tolist() == pytest.approx([0.4, 0.6, 0.8], abs=0.015)
    assert found.area_ha.sum() == pytest.approx(0.48)
    assert found.share_percent.tolist() == pytest.approx([25, 31.25, 43.75], abs=2)
    mean = (40 * 0.4 + 50 * 0.6 + 70 * 0.8) / 160
    assert found.relative_percent.iloc[0] == pytest.approx(100 * 0.4 / mean, rel=0.03)
    assert found.crop_percent.tolist() == pytest.approx([100 / 3] * 3, abs=2)
    assert set(found.note) == {""}
    whole = make_zones(
        scene, classes, field_frame(field), zones=3, smooth_m=3, pixels="all", names=NAMES
    )
    assert whole.crop_percent.tolist() == pytest.approx([100] * len(whole))
    assert whole.ndvi_mean.max() < 0.5


def lumpy(shape: tuple[int, int], seed: int) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = gaussian_filter(noise, 6)
    return 0.6 + 0.15 * smooth / smooth.std().clip(1e-9) + 0.05 * noise


def check_tiling(zones: gpd.GeoDataFrame, area: Any, least: float, slack: float = 1e-4) -> None:
    """They tile an area without gap and overlap; every part is large enough."""
    shapes = zones.geometry.array
    assert shapely.coverage_is_valid(shapes)
    union = shapely.coverage_union_all(shapes)
    assert union.symmetric_difference(area).area < slack
    assert sum(shapely.area(shapes)) == pytest.approx(union.area)
    parts = shapely.get_parts(shapes)
    if len(parts) > 1:
        assert shapely.area(parts).min() >= least * 0.999
    assert zones.ndvi_mean.is_monotonic_increasing
    assert zones.zone.tolist() == list(range(1, len(zones) + 1))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), smooth=st.floats(0.5, 8), least=st.floats(0, 300))
def test_zones_tile_their_field(
    tmp_path_factory: Any, seed: int, smooth: float, least: float
) -> None:
    folder = tmp_path_factory.mktemp("zones")
    data = rows_of((103, 91))
    scene = scene_of(folder, lumpy((103, 91), seed), transform=TURNED)
    classes = classes_of(folder, data, transform=TURNED)
    ring = [(2.2, 4.1), (40, 1.3), (88.8, 9.7), (70, 40), (89.5, 99), (50, 60.2), (9, 101)]
    hole = [(30.1, 20.2), (45, 25), (33, 41)]
    field = shapely.Polygon(on_map(TURNED, ring).exterior, [on_map(TURNED, hole).exterior])
    found = make_zones(
        scene, classes, field_frame(field), smooth_m=smooth, min_zone_m2=least, names=NAMES
    )
    check_tiling(found, field, least)
    if least < 100:
        assert len(found) > 1


def test_what_is_not_on_the_map_is_left_out(tmp_path: Path) -> None:
    ndvi = lumpy((103, 91), 5)
    ndvi[40:60, 20:48] = np.nan  # on the lines of cells of 4 pixels
    scene, classes = scene_of(tmp_path, ndvi), classes_of(tmp_path, rows_of((103, 91)))
    # Reaches out of the raster on the right, where the last cell is cut.
    field = on_map(T, [(8, 8), (120, 8), (120, 96), (8, 96)])
    found = make_zones(scene, classes, field_frame(field), smooth_m=16, min_zone_m2=30, names=NAMES)
    seen = on_map(T, [(8, 8), (91, 8), (91, 96), (8, 96)])
    hole = on_map(T, [(20, 40), (48, 40), (48, 60), (20, 60)])
    check_tiling(found, seen.difference(hole), 30)
    assert found.area_ha.sum() == pytest.approx((seen.area - hole.area) / 1e4)


def test_a_gap_in_the_crop_is_the_weakest_place(tmp_path: Path) -> None:
    data = rows_of((120, 120))
    data[30:90, 30:80] = 0
    ndvi = lumpy((120, 120), 8)
    scene, classes = scene_of(tmp_path, ndvi), classes_of(tmp_path, data)
    field = shapely.box(500_000, 5_000_040, 500_060, 5_000_100)
    found = make_zones(scene, classes, field_frame(field), smooth_m=4, names=NAMES)
    gap = on_map(T, [(36, 36), (74, 36), (74, 84), (36, 84)])
    assert found.geometry.iloc[0].intersection(gap).area > 0.9 * gap.area
    assert found.crop_percent.iloc[0] < 20 < found.crop_percent.iloc[-1]
    check_tiling(found, field, 4 * 16)


def test_no_slivers_without_smoothing(tmp_path: Path) -> None:
    """Edge cells that the field only touches have no pixel of their own, and no zone of theirs."""
    ndvi = np.tile(np.where(np.arange(80) < 40, 0.5, 0.7), (60, 1))
    scene = scene_of(tmp_path, ndvi, transform=TURNED)
    classes = classes_of(tmp_path, np.ones((60, 80), np.uint8), transform=TURNED)
    field = on_map(TURNED, [(10.3, 5.2), (70.8, 9.7), (66.1, 52.6), (12.4, 50.3)])
    found = make_zones(
        scene, classes, field_frame(field), zones=2, smooth_m=0, min_zone_m2=0, names=NAMES
    )
    assert len(shapely.get_parts(found.geometry.array)) == 2
    check_tiling(found, field, 0)
    halves = [on_map(TURNED, [(a, 0), (b, 0), (b, 60), (a, 60)]) for a, b in ((0, 40), (40, 80))]
    for shape, half in zip(found.geometry, halves, strict=True):
        # The border may move by half a pixel, of half a metre, along its 24 m.
        assert shape.difference(half.buffer(0.25)).area < 0.05


def test_blocks_and_neighbours_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(tmp_path, lumpy((130, 91), 2))
    classes = classes_of(tmp_path, rows_of((130, 91)))
    one = on_map(T, [(3, 2), (80, 9), (77, 60), (5, 55)])
    other = on_map(T, [(5, 70), (88, 66), (81, 124), (12, 128)])
    whole = make_zones(scene, classes, field_frame(one, other), smooth_m=5, names=NAMES)
    monkeypatch.setattr(given_module, "_BAND_PIXELS", 91 * 7)
    parts = make_zones(scene, classes, field_frame(one, other), smooth_m=5, names=NAMES)
    assert whole.equals(parts)
    alone = make_zones(scene, classes, field_frame(one), smooth_m=5, names=NAMES)
    assert alone.equals(whole[whole.field_id == "f0"])
    assert set(whole.field_id) == {"f0", "f1"}


def test_fields_without_zones_say_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    ndvi = np.full((100, 200), 0.7)
    ndvi[:, 150:] = lumpy((100, 50), 1)
    ndvi[:, 60:90] = np.nan
    data = rows_of((100, 200))
    data[:, 100:145] = 0
    scene, classes = scene_of(tmp_path, ndvi), classes_of(tmp_path, data)

    def strip(left: int, right: int) -> shapely.Polygon:
        return on_map(T, [(left, 5), (right, 5), (right, 95), (left, 95)])

    small = on_map(T, [(160, 10), (170, 10), (170, 20), (160, 20)])
    fields = field_frame(strip(5, 55), strip(62, 88), strip(105, 140), small, strip(152, 198))
    found = make_zones(scene, classes, fields, smooth_m=4, names=NAMES)
    rows = found.groupby("field_id").first()
    assert rows.note.tolist() == ["uniform", "no data", "no crop", "too small for zones", ""]
    assert rows.zone.tolist() == [1, 0, 0, 1, 1]
    assert rows.zone_name.tolist()[:4] == ["whole field", "none", "none", "whole field"]
    assert rows.ndvi_mean.isna().tolist() == [False, True, True, False, False]
    assert rows.crop_percent.iloc[2] == 0
    assert (found.field_id == "f4").sum() == 4
    assert rows.smooth_m.tolist()[0] == 4
    told = stressed_ha(found).set_index("field_id")
    assert told.stressed_ha.isna().tolist() == [False, True, True, False, False]
    assert told.stressed_ha.iloc[0] == 0
    last = found[found.field_id == "f4"]
    weak = last[last.ndvi_mean < 0.9 * last.ndvi_field_median.iloc[0]]
    assert 0 < told.stressed_ha.iloc[4] == pytest.approx(weak.area_ha.sum())
    assert told.stressed_percent.iloc[4] == pytest.approx(
        100 * weak.area_ha.sum() / last.area_ha.sum()
    )


def test_degrees_are_measured_on_the_ground(tmp_path: Path) -> None:
    step = 0.5 / 111_320
    transform = Affine(step / math.cos(math.radians(48)), 0, 16.2, 0, -step, 48.0)
    crs = CRS.from_epsg(4326)
    ndvi = lumpy((120, 130), 4)
    scene = scene_of(tmp_path, ndvi, crs=crs, transform=transform)
    classes = classes_of(tmp_path, rows_of(ndvi.shape), crs=crs, transform=transform)
    field = on_map(transform, [(10, 10), (110, 10), (110, 110), (10, 110)])
    frame = field_frame(field, crs=crs).to_crs(UTM.to_wkt())
    found = make_zones(scene, classes, frame, smooth_m=4, names=NAMES)
    assert len(found) == 4
    assert found.area_ha.sum() == pytest.approx(0.25, rel=2e-3)
    metres = found.to_crs(UTM.to_wkt()).explode()
    assert metres.area.min() > 64 * 0.99


def test_the_default_smoothing_follows_rows_and_pixels(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, lumpy((160, 160), 3))
    classes = classes_of(tmp_path, rows_of((160, 160)))
    field = on_map(T, [(2, 2), (158, 2), (158, 158), (2, 158)])
    for spacing, expected in ((math.nan, 3.9), (0.75, 3.9), (2.5, 5.0)):
        frame = field_frame(field, row_spacing_m=[spacing])
        found = make_zones(scene, classes, frame, names=NAMES)
        assert found.smooth_m.tolist() == pytest.approx([expected] * len(found))


def test_another_grid_than_that_of_the_classes(tmp_path: Path) -> None:
    """Maps made with --gsd or --bounds lie on a grid of their own."""
    ndvi = np.tile(np.where(np.arange(160) < 80, 0.5, 0.7), (120, 1))
    scene = scene_of(tmp_path, ndvi)
    coarse = T @ Affine.translation(20, 8) @ Affine.scale(2, 2)
    classes = classes_of(tmp_path, np.ones((50, 65), np.uint8), transform=coarse)
    field = on_map(T, [(24, 12), (140, 12), (140, 100), (24, 100)])
    found = make_zones(scene, classes, field_frame(field), zones=2, smooth_m=4, names=NAMES)
    assert found.ndvi_mean.tolist() == pytest.approx([0.5, 0.7], abs=0.02)
    check_tiling(found, field, 0)
    turned = classes_of(tmp_path, np.ones((50, 65), np.uint8), transform=TURNED)
    with pytest.raises(InputError, match="turned"):
        make_zones(scene, turned, field_frame(field), names=NAMES)
    other = classes_of(tmp_path, np.ones((50, 65), np.uint8), crs=CRS.from_epsg(32634))
    with pytest.raises(InputError, match=r"EPSG:32634.*gdalwarp"):
        make_zones(scene, other, field_frame(field), names=NAMES)


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, lumpy((40, 40), 3))
    classes = classes_of(tmp_path, rows_of((40, 40)))
    frame = field_frame(on_map(T, [(2, 2), (38, 2), (38, 38)]))
    for options, words in (
        ({"zones": 7}, "--zones 7: 2 to 5"),
        ({"method": "jenks"}, "--method jenks: possible are natural, quantiles"),
        ({"pixels": "soil"}, "--pixels soil"),
        ({"smooth_m": -1}, "--smooth-m -1"),
        ({"min_zone_m2": math.nan}, "--min-zone-m2 nan"),
    ):
        with pytest.raises(OptionError, match=words):
            make_zones(scene, classes, frame, names=NAMES, **options)
    with pytest.raises(OptionError, match=r"does not name its classes.*--pixels all"):
        make_zones(scene, classes, frame)
    with pytest.raises(OptionError, match=r"no class that is crop; it has soil, weed"):
        make_zones(scene, classes, frame, names={0: "soil", 1: "weed"})
    with pytest.raises(BandError, match="rededge"):
        make_zones(scene, classes, frame, index="NDRE", names=NAMES)
    with pytest.raises(OptionError, match="below_percent 0"):
        stressed_ha(frame, below_percent=0)
    with pytest.raises(InputError, match="field_median"):
        stressed_ha(frame)


@given(seed=st.integers(0, 9999), classes=st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_natural_breaks_are_the_best_there_are(seed: int, classes: int) -> None:
    from itertools import combinations

    rng = np.random.default_rng(seed)
    values = np.sort(rng.choice(200, 12, replace=False) / 200)
    weights = rng.integers(1, 5, 12).astype(float)
    # All of it, so that no value is drawn to the 0.5 % marks.
    values, weights = np.repeat(values, 300), np.repeat(weights, 300)

    def loss(breaks: Any) -> float:
        group = np.searchsorted(breaks, values, side="right")
        total = 0.0
        for one in np.unique(group):
            mine, weight = values[group == one], weights[group == one]
            mean = np.average(mine, weights=weight)
            total += float((weight * (mine - mean) ** 2).sum())
        return total

    distinct = np.unique(values)
    best = min(loss(np.array(cut)) for cut in combinations(distinct[1:], classes - 1))
    found = natural_breaks(values, weights, classes)
    assert (np.diff(found) >= 0).all()
    assert loss(found) <= best * 1.03 + 1e-6


def test_quantiles_share_the_weight() -> None:
    values = np.array([4.0, 1.0, 3.0, 2.0])
    weights = np.array([1.0, 3.0, 1.0, 1.0])
    repeated = np.repeat(values, (weights * 100).astype(int))
    assert weighted_quantiles(values, weights, np.array([0.5]))[0] == pytest.approx(1.75)
    breaks = quantile_breaks(repeated, np.ones(len(repeated)), 2)
    assert (repeated <= breaks[0]).mean() == pytest.approx(0.5)
    assert natural_breaks(np.ones(4), weights, 3).tolist() == [1, 1]
