"""`agriseg vectorize` as a user types it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio

import agriseg
from tests.support import command, fresh_command, write_raster

run = partial(command, "vectorize")


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Soil with a row of crop, a weed of 4 x 4 pixels, and a speck of one."""
    data = np.zeros((1, 40, 50), np.uint8)
    data[0, 10:20] = 1
    data[0, 30:34, 5:9] = 2
    data[0, 25, 30] = 2
    data[0, :, -3:] = 255
    path = write_raster(tmp_path / "my classes.tif", data, nodata=255)
    names = "<Category>soil</Category><Category>crop</Category><Category>weed</Category>"
    Path(f"{path}.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames>'
        "</PAMRasterBand></PAMDataset>"
    )
    return path


def test_it_says_what_it_found(classes: Path, tmp_path: Path) -> None:
    done = fresh_command("vectorize", classes, "-o", tmp_path / "out.gpkg")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "4 polygons: soil 2 (0.558 m2), crop 1 (0.188 m2), weed 1 (0.0064 m2)" in done.stderr
    assert "out.gpkg in" in done.stderr
    frame = gpd.read_file(tmp_path / "out.gpkg")
    assert frame.class_name.tolist() == ["soil", "crop", "soil", "weed"]
    assert frame.confidence.isna().all()


def test_the_options_reach_the_polygons(classes: Path, tmp_path: Path) -> None:
    with rasterio.open(classes) as dataset:
        profile, valid = dataset.profile, dataset.read(1) != 255
    sure = np.where(valid, np.arange(valid.size).reshape(valid.shape) % 200, 255)
    with rasterio.open(tmp_path / "sure.tif", "w", **profile) as dataset:
        dataset.write(sure.astype(np.uint8), 1)
        dataset.scales = (0.005,)
    done = run(
        *(classes, "-o", tmp_path / "weeds.parquet", "--classes", "weed,1", "--omit", "crop"),
        *("--min-area-m2", 0, "--simplify-m", 0, "--confidence", tmp_path / "sure.tif", "--json"),
    )
    assert done.returncode == 0, done.stderr
    frame = gpd.read_parquet(tmp_path / "weeds.parquet")
    assert set(frame.class_name) == {"weed"}
    assert frame.area_m2.tolist() == pytest.approx([0.0004, 0.0064])
    assert frame.confidence[0] == pytest.approx(sure[25, 30] * 0.005)
    told = json.loads(done.stdout)
    assert told["polygons"] == 2
    assert told["classes"][0]["class_name"] == "weed"
    assert told["classes"][0]["area_m2"] == pytest.approx(0.0068)


def test_quiet_is_quiet_and_python_does_the_same(classes: Path, tmp_path: Path) -> None:
    done = run(classes, "-q", "-o", tmp_path / "a.fgb")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert agriseg.vectorize(classes, tmp_path / "b.fgb") == tmp_path / "b.fgb"
    assert (tmp_path / "a.fgb").read_bytes() == (tmp_path / "b.fgb").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "x.shp"), ("x.shp", "shapefile", "x.gpkg")),
        (("-o", "x.gpkg", "--classes", "maize"), ("maize", "soil, crop, weed")),
        (("-o", "x.gpkg", "--classes", ","), ("--classes", "names are needed")),
        (("-o", "x.gpkg", "--min-area-m2", "-3"), ("--min-area-m2 -3", "0 or more")),
        (("-o", "nowhere/x.gpkg"), ("nowhere",)),
    ],
)
def test_a_fault_is_one_line(
    classes: Path, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    out = [str(tmp_path / a) if a.startswith(("x.", "nowhere")) else a for a in arguments]
    done = run(classes, *out)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    assert not list(tmp_path.glob("x.*"))
