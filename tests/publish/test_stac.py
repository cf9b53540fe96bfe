"""A run as a STAC item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from rasterio.crs import CRS

from agriseg.legend import Legend
from agriseg.publish import write_item, write_quicklook
from tests.publish.runs import add_farm, make_run
from tests.support import NORTH_UP

HARD = Legend.of(("Boden (nackt)", "#c8a882"), ("Rübe", "#1b6e2b"), ("rübe", "#d81b9a"))


def read(path: Path) -> pystac.Item:
    return pystac.Item.from_file(str(path))


def test_an_item_is_read_by_pystac_and_leads_to_its_files(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "a b", "Feld ä", legend=HARD, about={"date": "2026-05-17"}, fields=False
    )
    add_farm(run)
    write_quicklook(run)
    path = write_item(run)
    item = read(path)
    assert item.id == "Feld ä"
    assert {"classes", "confidence", "segments", "fields", "zones", "quicklook"} <= set(item.assets)
    for asset in item.assets.values():
        assert asset.href.startswith("./")
        assert asset.roles
        assert asset.media_type
        assert (path.parent / asset.href).is_file()
    assert item.assets["classes"].media_type == pystac.MediaType.COG
    assert item.assets["quicklook"].roles == ["overview"]
    with rasterio.open(run.classes) as dataset:
        projection = ProjectionExtension.ext(item)
        assert projection.code == "EPSG:32633"
        assert projection.shape == [dataset.height, dataset.width]
        assert projection.transform == list(dataset.transform)[:6]
        assert projection.bbox == pytest.approx(list(dataset.bounds))
    with rasterio.open(run.confidence) as dataset:
        assert item.assets["confidence"].extra_fields["raster:scale"] == dataset.scales[0]
    found = ClassificationExtension.ext(item.assets["classes"]).classes or []
    assert [(one.value, one.name, one.color_hint) for one in found] == [
        (0, "Boden_nackt", "C8A882"),
        (1, "Rube", "1B6E2B"),
        (2, "rube", "D81B9A"),
    ]
    assert [one.description for one in found] == list(HARD.names)


def test_it_is_valid_by_the_schema_of_stac(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema")
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    run = make_run(tmp_path / "out", about={"date": "2026-05-17", "farm": "x"}, fields=False)
    item = json.loads(write_item(run).read_text(encoding="utf-8"))
    # pystac brings the schema along; those of extensions lie in the network.
    validator = JsonSchemaSTACValidator()
    assert validator.validate_core(item, pystac.STACObjectType.ITEM, "1.1.0")
    with pytest.raises(pystac.STACValidationError):
        validator.validate_core({**item, "links": 3}, pystac.STACObjectType.ITEM, "1.1.0")


@pytest.mark.parametrize("angle", [0, 25])
def test_the_footprint_is_where_classes_are(tmp_path: Path, angle: float) -> None:
    # Pixels of 2 m, so that a corner of nodata can be told from rounding.
    transform = NORTH_UP @ Affine.rotation(angle) @ Affine.scale(100)
    item = read(write_item(make_run(tmp_path / "out", transform=transform, fields=False)))
    shape = shapely.geometry.shape(item.geometry)
    assert shape.is_valid
    assert shape.exterior.is_ccw  # as RFC 7946 wants it
    to = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)

    def at(col: float, row: float) -> shapely.Point:
        return shapely.Point(to.transform(*(transform @ (col, row))))

    assert all(shape.contains(at(*p)) for p in ((2, 2), (2, 35), (51, 35), (42, 2), (51, 12)))
    assert not any(shape.contains(at(*p)) for p in ((49, 3), (-3, 20), (20, 40)))
    assert item.bbox == pytest.approx(shape.bounds)


@pytest.mark.parametrize(
    ("date", "when", "note"),
    [
        ("2026-05-17", "2026-05-17T00:00:00Z", None),
        ("2026-05-17T10:30:00+02:00", "2026-05-17T08:30:00Z", None),
        ("17 May", None, "no day of a calendar"),
        (None, None, "nobody said"),
    ],
)
def test_its_time(tmp_path: Path, date: str | None, when: str | None, note: str | None) -> None:
    run = make_run(tmp_path / "out", about={} if date is None else {"date": date}, fields=False)
    properties: dict[str, Any] = json.loads(write_item(run).read_text())["properties"]
    assert properties["datetime"] == (when or run.record["finished"])
    assert properties["created"] == run.record["finished"]
    assert (note is None) == ("description" not in properties)
    assert note is None or note in properties["description"]
    if date == "2026-05-17":
        assert properties["start_datetime"] == "2026-05-17T00:00:00Z"
        assert properties["end_datetime"] == "2026-05-17T23:59:59Z"


def test_without_a_place_it_has_no_footprint(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", crs=None, transform=Affine(2, 0, 0, 0, -2, 0), fields=False)
    item = read(write_item(run))
    assert item.geometry is None
    assert item.bbox is None
    assert ProjectionExtension.ext(item).code is None


def test_a_system_of_its_own_is_told_in_full(tmp_path: Path) -> None:
    crs = CRS.from_proj4("+proj=laea +lat_0=47 +lon_0=11 +ellps=GRS80 +units=m")
    transform = Affine(2, 0, 1000, 0, -2, 2000)
    item = read(write_item(make_run(tmp_path / "out", crs=crs, transform=transform, fields=False)))
    projection = ProjectionExtension.ext(item)
    assert projection.code is None
    assert pyproj.CRS.from_wkt(projection.wkt2 or "").is_projected
    lon, lat = shapely.geometry.shape(item.geometry).centroid.coords[0]
    assert np.hypot(lon - 11, lat - 47) < 0.1
