"""`agriseg indices` as a user types it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.support import command, fresh_command, write_raster

run = partial(command, "indices")


@pytest.fixture
def field(tmp_path: Path) -> Path:
    data = np.random.default_rng(1).uniform(0.02, 0.6, (5, 9, 13)).astype(np.float32)
    data[:, 0, :] = np.nan
    names = ("Blue", "Green", "Red", "Red edge", "NIR")
    return write_raster(tmp_path / "my field.tif", data, descriptions=names)


def test_it_writes_and_says_what_is_in_it(field: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    done = fresh_command("indices", field, "-i", "ndvi, SAVI", "--param", "L=0.25", "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "88.9 %" in done.stderr
    assert f"{out} in less than a second" in done.stderr
    with rasterio.open(out) as dataset:
        assert dataset.descriptions == ("NDVI", "SAVI")
        assert dataset.tags(2)["constants"] == "L = 0.25"
        ndvi = dataset.read(1)
    quiet = run(field, "-i", "NDVI", "-o", out, "-q", "--json")
    assert quiet.stderr == ""
    facts = json.loads(quiet.stdout)
    assert facts["file"] == str(out)
    assert facts["indices"][0]["bands"] == {"N": "nir", "R": "red"}
    assert facts["indices"][0]["mean"] == pytest.approx(float(np.nanmean(ndvi)))
    assert facts["indices"][0]["valid_pixels"] == 8 * 13


def test_it_lists_what_a_scene_can_have(field: Path) -> None:
    done = run(field, "--list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    ndvi = next(line for line in lines if line.startswith("NDVI "))
    for word in ("Normalized Difference", "(N-R)/(N+R)", "N nir, R red", "ntrs.nasa.gov"):
        assert word in ndvi
    assert "more for fires, snow, clouds and towns: --all" in lines[-1]
    assert not any(line.startswith("BAI ") for line in lines)
    every = json.loads(run(field, "--list", "--all", "--json").stdout)
    assert {"BAI", "NDRE"} <= {one["name"] for one in every}
    assert str(len(every)) != lines[-1].split()[0]


def test_reading_options_reach_the_scene(tmp_path: Path) -> None:
    counts = np.random.default_rng(1).integers(100, 6000, (4, 9, 13)).astype(np.uint16)
    source = write_raster(tmp_path / "two dates.tif", counts)
    done = run(
        *(source, "--bands", "red@1,nir@1,red@2,nir@2", "--scale", "1e-4"),
        *("-i", "EVI2@2,NDVI@1", "-o", tmp_path / "out.tif"),
    )
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "out.tif") as dataset:
        evi2 = dataset.read(1)
    _, _, red, nir = counts / 1e4
    np.testing.assert_allclose(evi2, 2.5 * (nir - red) / (nir + 2.4 * red + 1), atol=1e-5)


def test_warnings_are_shown(tmp_path: Path) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (3, 11, 17), dtype=np.uint8)
    source = write_raster(tmp_path / "rgb.tif", picture, photometric="RGB")
    done = run(source, "-i", "TGI", "-o", tmp_path / "out.tif")
    assert done.returncode == 0
    assert "warning TGI is computed of relative" in done.stderr
    assert run(source, "-i", "SI", "-o", tmp_path / "out.tif").returncode == 2
    assert run(source, "-i", "SI", "-o", tmp_path / "o.tif", "--uncalibrated").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "-o is missing"),
        (("-o", "out.tif", "-i", "NDVIX"), "did you mean NDVI"),
        (("-o", "out.tif", "-i", ","), "names are needed"),
        (("-o", "out.tif", "--param", "L"), "such as L=0.25"),
        (("-o", "out.tif", "--param", "L=x"), "such as L=0.25"),
        (("-o", "out.tif", "--param", "L=1", "--param", "L=2"), "given twice"),
        (("-o", "out.tif", "--param", "q=1"), "no constant of NDVI, NDRE"),
        (("-o", "out.tif", "-i", "NBR"), "lacks swir22"),
        (("-o", "out.tif", "--bounds", "1,2,3"), "4 numbers"),
    ],
)
def test_faults_are_one_line(field: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(field, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
