"""Shifts that were put in come out again, in light and growth that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import Resampling, calculate_default_transform, reproject

from agriseg.errors import InputError, OptionError
from agriseg.fields.dates.shift import measure_shift
from agriseg.raster import Scene, open_scene
from agriseg.simulate.verb import simulate

GSD = 0.02
DATES: dict[str, dict[str, Any]] = {
    "may": {
        "stage": 0.2,
        "plant_radius_m": 0.08,
        "sun_azimuth_deg": 120,
        "sun_elevation_deg": 40,
        "moisture": 0.6,
        "weed_size": 0.4,
    },
    "june": {
        "stage": 0.5,
        "plant_radius_m": 0.18,
        "sun_azimuth_deg": 250,
        "sun_elevation_deg": 55,
        "moisture": 0.2,
        "weed_size": 0.9,
    },
    "soil": {"stage": 0.0, "plant_radius_m": 0.02, "gap_share": 0.9, "weeds_per_m2": 0, "seed": 77},
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same field, the same plants, on two dates; and another field without plants."""
    folder = tmp_path_factory.mktemp("simulated")
    base = {"kind": "field", "width": 420, "height": 333, "gsd_m": GSD, "seed": 5, "border_m": 0}
    base |= {"weeds_per_m2": 3, "pass_m": 0}
    for name, changes in DATES.items():
        simulate({**base, **changes}, folder / name)
    return {name: folder / name / "scene.tif" for name in DATES}


def copied(
    source: Path,
    target: Path,
    east_m: float = 0.0,
    north_m: float = 0.0,
    data: NDArray[Any] | None = None,
) -> Scene:
    """A scene at a place that is wrong by so much, perhaps with other pixels."""
    with rasterio.open(source) as dataset:
        profile = {key: dataset.profile[key] for key in ("count", "dtype", "nodata", "crs")}
        transform = Affine.translation(east_m, north_m) @ dataset.transform
        pixels = dataset.read() if data is None else data
        height, width = pixels.shape[1:]
        grid = {"height": height, "width": width, "transform": transform}
        with rasterio.open(target, "w", driver="GTiff", **profile, **grid) as copy:
            copy.write(pixels)
            copy.descriptions, copy.scales = dataset.descriptions, dataset.scales
    return open_scene(target)


def off(shift: Any, east_m: float, north_m: float) -> float:
    assert shift.is_known, shift.words()
    return float(np.hypot(shift.east_m - east_m, shift.north_m - north_m))


@pytest.mark.parametrize(
    ("east_m", "north_m"), [(0.0, 0.0), (0.053, -0.127), (-0.231, 0.008), (0.61, 0.47)]
)
def test_a_shift_between_two_dates_is_found(
    scenes: dict[str, Path], tmp_path: Path, east_m: float, north_m: float
) -> None:
    """Plants grew, the sun went round, the ground dried: within half a pixel all the same."""
    june = copied(scenes["june"], tmp_path / "june.tif", east_m, north_m)
    shift = measure_shift(open_scene(scenes["may"]), june)
    assert off(shift, east_m, north_m) < 0.5 * GSD
    assert shift.agreement >= 0.6
    assert shift.distance_m == pytest.approx(np.hypot(shift.east_m, shift.north_m))
    assert shift.pixel_m == pytest.approx(GSD)
    back = measure_shift(june, open_scene(scenes["may"]))
    assert off(back, -east_m, -north_m) < 0.5 * GSD


def test_plants_are_enough_where_the_ground_is_another(
    scenes: dict[str, Path], tmp_path: Path
) -> None:
    """Worked ground shows nothing that was there before; the plants stayed where they are."""
    with rasterio.open(scenes["june"]) as dataset, rasterio.open(scenes["soil"]) as soil:
        pixels, other = dataset.read(), soil.read()
    with rasterio.open(scenes["june"].with_name("labels.tif")) as dataset:
        bare = dataset.read(1) == 0
    assert bare.mean() > 0.5
    mixed = np.where(bare, other, pixels)
    june = copied(scenes["june"], tmp_path / "june.tif", 0.053, -0.127, mixed)
    shift = measure_shift(open_scene(scenes["may"]), june)
    assert off(shift, 0.053, -0.127) < GSD


def test_it_says_when_it_cannot_be_told(scenes: dict[str, Path], tmp_path: Path) -> None:
    shift = measure_shift(open_scene(scenes["may"]), open_scene(scenes["soil"]))
    assert not shift.is_known
    assert (shift.east_m, shift.north_m, shift.distance_m, shift.pixels) == (None, None, None, None)
    assert "cannot be told" in shift.words()
    assert "disagree" in shift.words()


def test_a_constant_scene_tells_nothing(scenes: dict[str, Path], tmp_path: Path) -> None:
    with rasterio.open(scenes["may"]) as dataset:
        flat = np.full_like(dataset.read(), 2000)
    shift = measure_shift(
        open_scene(scenes["may"]), copied(scenes["may"], tmp_path / "f.tif", data=flat)
    )
    assert not shift.is_known


def test_holes_are_no_landmarks(scenes: dict[str, Path], tmp_path: Path) -> None:
    """Holes at the same pixels of both files lie apart by the shift's opposite."""
    made = []
    for name, east_m in (("may", 0.0), ("june", 0.1)):
        with rasterio.open(scenes[name]) as dataset:
            pixels = dataset.read()
        pixels[:, 40:120, 50:300] = 65535
        pixels[:, :, 333:] = 65535
        made.append(copied(scenes[name], tmp_path / f"{name}.tif", east_m, 0.04, pixels))
    assert off(measure_shift(*made), 0.1, 0.0) < 0.5 * GSD


@pytest.mark.parametrize(
    ("crs", "resolution"), [("EPSG:4326", None), ("EPSG:3857", 0.045), ("EPSG:32633", 0.037)]
)
def test_other_systems_and_pixel_sizes(
    scenes: dict[str, Path], tmp_path: Path, crs: str, resolution: float | None
) -> None:
    moved = tmp_path / "moved.tif"
    copied(scenes["june"], moved, 0.053, -0.127)
    with rasterio.open(moved) as dataset:
        transform, width, height = calculate_default_transform(
            dataset.crs, crs, dataset.width, dataset.height, *dataset.bounds, resolution=resolution
        )
        grid = {"crs": crs, "transform": transform, "width": width, "height": height}
        profile = {**dataset.profile, "driver": "GTiff", "tiled": False, **grid}
        for key in ("blockxsize", "blockysize", "compress", "interleave"):
            profile.pop(key, None)
        with rasterio.open(tmp_path / "warped.tif", "w", **profile) as target:
            for band in range(1, dataset.count + 1):
                reproject(
                    rasterio.band(dataset, band),
                    rasterio.band(target, band),
                    resampling=Resampling.cubic if resolution is None else Resampling.average,
                )
            target.descriptions, target.scales = dataset.descriptions, dataset.scales
    shift = measure_shift(open_scene(scenes["may"]), open_scene(tmp_path / "warped.tif"))
    assert off(shift, 0.053, -0.127) < 0.5 * max(shift.pixel_m, GSD)


def test_bands_can_be_chosen_and_one_is_enough(scenes: dict[str, Path], tmp_path: Path) -> None:
    june = copied(scenes["may"], tmp_path / "june.tif", 0.05, 0.02)
    may = open_scene(scenes["may"])
    assert off(measure_shift(may, june, keys=["nir"]), 0.05, 0.02) < 0.5 * GSD
    with pytest.raises(OptionError, match="no band swir16"):
        measure_shift(may, june, keys=["swir16"])


def test_little_or_no_common_ground(scenes: dict[str, Path], tmp_path: Path) -> None:
    may = open_scene(scenes["may"])
    strip = copied(scenes["may"], tmp_path / "strip.tif", 380 * GSD, 0.0)
    shift = measure_shift(may, strip)
    assert not shift.is_known
    assert "they share 40 x 333 pixels, and 64 x 64 are needed" in shift.why
    away = copied(scenes["may"], tmp_path / "away.tif", 1000.0, 0.0)
    with pytest.raises(InputError, match=r"do not overlap.*longitude.*longitude"):
        measure_shift(may, away)
