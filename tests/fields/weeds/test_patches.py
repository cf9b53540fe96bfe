"""Patches of weeds: those of `vectorize`, cut to fields and joined."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from agriseg.errors import OptionError
from agriseg.fields.weeds.patches import weed_patches
from tests.support import UTM, write_raster

NAMES = {0: "soil", 1: "crop", 2: "weed"}
T = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_020)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    data = np.zeros((1, 40, 60), np.uint8)
    data[0, 4:8, 4:8] = 2  # 4 m2
    data[0, 4:8, 10:12] = 2  # 2 m2, 1 m to the right
    data[0, 4:8, 20:24] = 2  # 4 m2, 4 m further
    data[0, 20:24, 38:42] = 2  # over the border of the fields
    data[0, 30, 5:8] = 2  # a speck of three pixels
    return write_raster(tmp_path / "classes.tif", data, transform=T)


def two_fields() -> gpd.GeoDataFrame:
    shapes = [shapely.box(500_000, 5_000_000, 500_020, 5_000_020)]
    shapes.append(shapely.box(500_020, 5_000_000, 500_030, 5_000_020))
    return gpd.GeoDataFrame({"field_id": ["west", "east"]}, geometry=shapes, crs=UTM.to_wkt())


def test_patches_are_cut_to_fields(classes: Path) -> None:
    found = weed_patches(classes, two_fields(), names=NAMES)
    assert found.field_id.tolist() == ["west"] * 4 + ["east"]
    assert found.patch_id.tolist() == [1, 2, 3, 4, 5]
    assert found.area_m2.tolist() == pytest.approx([4, 2, 4, 2, 2], rel=0.15)
    assert found.confidence.isna().all()
    west, east = two_fields().geometry
    assert all(shape.difference(west).area < 1e-9 for shape in found.geometry[:4])
    assert found.geometry[4].difference(east).area < 1e-9


def test_near_ones_are_joined_and_small_ones_left_out_after_that(classes: Path) -> None:
    joined = weed_patches(classes, two_fields(), names=NAMES, join_m=1.5)
    assert joined.parts.tolist() == [2, 1, 1, 1]
    assert joined.area_m2[0] == pytest.approx(6, rel=0.15)
    assert len(weed_patches(classes, two_fields(), names=NAMES, join_m=4.5)) == 3
    large = weed_patches(classes, two_fields(), names=NAMES, join_m=1.5, min_patch_m2=5)
    assert large.area_m2.tolist() == joined.area_m2.tolist()[:1]
    every = weed_patches(classes, two_fields(), names=NAMES, min_patch_m2=0)
    assert len(every) == 6


def test_confidence_is_weighed_by_area(classes: Path, tmp_path: Path) -> None:
    sure = np.full((1, 40, 60), 0.9, np.float32)
    sure[0, :, 9:15] = 0.6
    write_raster(tmp_path / "confidence.tif", sure, transform=T)
    found = weed_patches(classes, two_fields(), names=NAMES, join_m=1.5)
    assert found.confidence[0] == pytest.approx((4 * 0.9 + 2 * 0.6) / 6, abs=0.01)
    assert (
        weed_patches(classes, two_fields(), names=NAMES, confidence=False).confidence.isna().all()
    )


def test_no_weed_is_an_empty_table(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "map.tif", np.zeros((1, 40, 60), np.uint8), transform=T)
    found = weed_patches(path, two_fields(), names=NAMES)
    assert len(found) == 0
    assert list(found.columns)[:3] == ["patch_id", "field_id", "parts"]
    with pytest.raises(OptionError, match="--join-m -1"):
        weed_patches(path, two_fields(), names=NAMES, join_m=-1)
