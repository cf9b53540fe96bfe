"""`agriseg zones` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from typer.testing import CliRunner, Result

import agriseg
from agriseg.cli.app import app
from agriseg.errors import AgrisegError
from tests.support import UTM, write_raster


def run(*arguments: object) -> Result:
    """In this process: a fresh one takes two seconds for its imports alone."""
    return CliRunner().invoke(app, ["zones", *map(str, arguments)])


T = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_060)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scene that is better in the east, its classes, and two fields, one without crop."""
    classes = np.zeros((1, 120, 160), np.uint8)
    classes[0, :, :100:3] = 1
    ndvi = np.linspace(0.3, 0.8, 160) * np.ones((120, 1))
    red = np.full(ndvi.shape, 0.1)
    bands = np.stack([red, red * (1 + ndvi) / (1 - ndvi)]).astype(np.float32)
    write_raster(tmp_path / "scene.tif", bands, transform=T)
    write_raster(tmp_path / "classes.tif", classes, transform=T)
    shapes = [shapely.box(500_001, 5_000_001, 500_048, 5_000_058)]
    shapes.append(shapely.box(500_052, 5_000_001, 500_078, 5_000_058))
    frame = gpd.GeoDataFrame({"field_id": ["west", "east"]}, geometry=shapes, crs=UTM.to_wkt())
    frame.to_file(tmp_path / "fields.gpkg")
    return tmp_path


def arguments(folder: Path) -> tuple[object, ...]:
    return (
        folder / "scene.tif",
        *("--classes", folder / "classes.tif", "--fields", folder / "fields.gpkg"),
        *("--bands", "red,nir", "--scale", 1),
    )


def test_it_writes_zones_and_says_what_they_are(folder: Path) -> None:
    names = ("--names", "0=soil,1=maize,2=weed")
    options = ("--zones", 3, "--smooth-m", 5, "--min-zone-m2", 100, "-i", "ndvi")
    done = run(*arguments(folder), *names, *options, "-o", folder / "zones.gpkg", "--json")
    assert done.exit_code == 0, done.output
    assert "2 fields, 4 zones, smoothed over 5 m" in done.stderr
    assert "1 low" in done.stderr
    assert "no crop" in done.stderr
    found = gpd.read_file(folder / "zones.gpkg")
    assert found.zone.tolist() == [1, 2, 3, 0]
    assert found.ndvi_mean[:3].is_monotonic_increasing
    assert found.geometry.iloc[0].centroid.x < found.geometry.iloc[2].centroid.x
    told = json.loads(done.stdout)["zones"]
    assert [row["zone_name"] for row in told] == ["low", "medium", "high", "none"]
    assert told[3]["ndvi_mean"] is None
    again = run(*arguments(folder), *names, *options, "-o", folder / "again.gpkg", "-q")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "")
    assert (folder / "zones.gpkg").read_bytes() == (folder / "again.gpkg").read_bytes()
    thistle = ("--names", "0=soil,1=thistle,2=maize", "--weed", "thistle")
    done = run(*arguments(folder), *thistle, *options, "-o", folder / "again.gpkg", "-q")
    assert done.exit_code == 0, done.output
    assert not gpd.read_file(folder / "again.gpkg").crop_percent.any()
    frame = agriseg.make_zones(
        agriseg.open_scene(folder / "scene.tif", bands=["red", "nir"], scale=1),
        folder / "classes.tif",
        folder / "fields.gpkg",
        zones=3,
        smooth_m=5,
        min_zone_m2=100,
        names={0: "soil", 1: "maize", 2: "weed"},
    )
    assert frame.area_ha.tolist() == pytest.approx(found.area_ha.tolist())
    assert len(agriseg.stressed_ha(frame)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("does not name its classes", "--names")),
        (("--names", "0=soil,1=crop", "--zones", "9"), ("--zones 9", "2 to 5")),
        (("--pixels", "all", "-o", "zones.shp"), ("shapefile", "zones.gpkg")),
        (("--names", "0=soil,1=crop", "-i", "NDRE"), ("NDRE", "rededge")),
        (("--names", "soil"), ("--names 'soil'", "1=crop")),
        (("--names", "0=soil", "-o", "fields.gpkg"), ("fields.gpkg", "one of the inputs")),
    ],
)
def test_a_fault_is_told(folder: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    options = tuple(str(folder / o) if o.startswith(("fields.", "zones.")) else o for o in options)
    before = (folder / "fields.gpkg").read_bytes()
    done = run(*arguments(folder), "-o", folder / "zones.gpkg", *options)
    assert isinstance(done.exception, AgrisegError)
    for word in words:
        assert word in str(done.exception)
    assert not done.output
    assert (folder / "fields.gpkg").read_bytes() == before
    assert not list(folder.glob("zones.*"))
