"""Scenes of STAC files: which assets, which bands, which scale, and where they lie."""

from __future__ import annotations

import copy
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agriseg.errors import BandError, InputError
from agriseg.raster.sources import Source, find_sources

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def item(assets: Json, **changes: Any) -> Json:
    facts: Json = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A_33UXP_20240501",
        "geometry": None,
        "properties": {"datetime": "2024-05-01T10:16:21.024Z"},
        "links": [],
        "assets": assets,
    }
    return copy.deepcopy(facts | changes)


def band(name: str, role: str, href: str | None = None, **more: Any) -> Json:
    """An asset of one band as STAC 1.0 has it."""
    bands = [{"name": name, "common_name": role}]
    return {"href": href or f"./{name}.tif", "type": COG, "eo:bands": bands, **more}


def written(folder: Path, content: Any, name: str = "items.json") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def one(folder: Path, content: Any) -> Source:
    (source,) = find_sources([written(folder, content)])
    return source


def test_bands_by_role_with_scale_and_date(tmp_path: Path) -> None:
    raster = [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]
    assets = {
        "B04": band("B04", "red", **{"raster:bands": raster}),
        "B08": band("B08", "nir", **{"raster:bands": raster}),
        "SCL": {"href": "./SCL.tif", "type": COG, "roles": ["data"]},
        "visual": {
            "href": "./TCI.tif",
            "type": COG,
            "roles": ["data"],
            "eo:bands": [{"name": n, "common_name": n} for n in ("red", "green")],
        },
        "thumbnail": band("t", "blue", "./t.tif", roles=["thumbnail"]),
        "overview": band("o", "green", "./o.tif", roles=["overview"]),
        "metadata": {"href": "./m.xml", "type": "application/xml", "roles": ["metadata"]},
    }
    assert one(tmp_path, item(assets)) == Source(
        {"red": str(tmp_path / "B04.tif"), "nir": str(tmp_path / "B08.tif")},
        {"scale": 0.0001, "offset": -0.1, "nodata": 0.0, "about": {"date": "2024-05-01"}},
        "S2A_33UXP_20240501",
        stated=True,
    )


def test_an_offset_that_was_applied_already(tmp_path: Path) -> None:
    raster = [{"scale": 0.0001, "offset": -0.1}]
    content = item({"red": band("red", "red", **{"raster:bands": raster})})
    content["properties"]["earthsearch:boa_offset_applied"] = True
    assert one(tmp_path, content).options["offset"] == 0
    content["properties"]["earthsearch:boa_offset_applied"] = False
    assert one(tmp_path, content).options["offset"] == -0.1


def test_bands_of_stac_1_1(tmp_path: Path) -> None:
    bands = [
        {"name": "B", "eo:common_name": "blue", "raster:scale": 0.001},
        {"name": "mask", "raster:scale": 1},
        {"name": "N", "eo:common_name": "nir", "raster:scale": 0.001},
    ]
    asset = {"href": "ortho.tif", "type": COG, "bands": bands, "nodata": "nan"}
    source = one(tmp_path, item({"ortho": asset}, stac_version="1.1.0"))
    assert source.inputs == str(tmp_path / "ortho.tif")
    nodata = source.options["nodata"]
    assert nodata != nodata
    assert {key: source.options[key] for key in ("bands", "scale", "offset")} == {
        "bands": ("blue", "-", "nir"),
        "scale": 0.001,
        "offset": 0.0,
    }


def test_a_band_described_on_its_asset(tmp_path: Path) -> None:
    assets = {
        name: {"href": f"{name}.tif", "type": COG, "eo:common_name": name, "raster:scale": 0.5}
        for name in ("red", "nir08")
    }
    source = one(tmp_path, item(assets, stac_version="1.1.0"))
    assert list(source.inputs) == ["red", "nir08"]
    assert source.options["scale"] == 0.5


def test_no_scale_is_no_statement(tmp_path: Path) -> None:
    raster = [{"scale": 1.0, "offset": 0.0, "data_type": "uint16"}]
    source = one(tmp_path, item({"red": band("red", "red", **{"raster:bands": raster})}))
    assert source.options == {"about": {"date": "2024-05-01"}}


def test_several_red_edges(tmp_path: Path) -> None:
    assets = {
        "red": band("B04", "red"),
        "rededge1": band("B05", "rededge"),
        "rededge2": band("B06", "rededge"),
        "x": band("B07", "rededge"),
    }
    assets["x"]["eo:bands"][0]["center_wavelength"] = 0.783
    source = one(tmp_path, item(assets))
    assert isinstance(source.inputs, dict)
    assert {role: Path(path).stem for role, path in source.inputs.items()} == {
        "red": "B04",
        "rededge071": "B05",
        "rededge075": "B06",
        "rededge078": "B07",
    }


def test_one_asset_a_role(tmp_path: Path) -> None:
    assets = {
        "red-jp2": band("red", "red", "red.jp2", type="image/jp2"),
        "red": band("red", "red"),
        "red_20m": band("red", "red", "red20.tif", gsd=20),
        "B8A": band("B8A", "nir", gsd=20),
        "B08": band("B08", "nir", gsd=10),
    }
    assets["red"]["gsd"] = assets["red-jp2"]["gsd"] = 10
    source = one(tmp_path, item(assets))
    assert source.inputs == {
        "red": str(tmp_path / "red.tif"),
        "nir": str(tmp_path / "B08.tif"),
    }
    assets["again"] = assets["red"]
    with pytest.raises(BandError, match=r"assets red and again are both red"):
        one(tmp_path, item(assets))


def test_a_stack_with_more_bands_wins(tmp_path: Path) -> None:
    four = [{"name": n, "common_name": n} for n in ("blue", "green", "red", "nir")]
    assets = {
        "visual": band("v", "red", "v.tif", roles=["visual"]),
        "analytic": {"href": "a.tif", "type": COG, "roles": ["data"], "eo:bands": four},
        "analytic_sr": {
            "href": "sr.tif",
            "type": COG,
            "roles": ["data", "reflectance"],
            "eo:bands": four,
            "raster:bands": [{"scale": 0.0001, "nodata": 0}] * 4,
        },
        "udm": {"href": "udm.tif", "type": COG, "roles": ["data"]},
    }
    source = one(tmp_path, item(assets))
    assert source.inputs == str(tmp_path / "sr.tif")
    assert source.options["bands"] == ("blue", "green", "red", "nir")
    assert source.options["scale"] == 0.0001
    del assets["analytic_sr"]
    assets["analytic_2"] = assets["analytic"]
    with pytest.raises(BandError, match="analytic and analytic_2 hold the same bands"):
        one(tmp_path, item(assets))


def test_a_raster_without_a_word_on_bands(tmp_path: Path) -> None:
    source = one(tmp_path, item({"image": {"href": "drone ä.tif"}}))
    assert source.inputs == str(tmp_path / "drone ä.tif")
    assert "bands" not in source.options
    two = {"a": {"href": "a.tif"}, "b": {"href": "b.tif"}}
    with pytest.raises(BandError, match=r"its assets \(a, b\) do not tell their bands"):
        one(tmp_path, item(two))


def test_heat_with_a_scale_of_its_own_is_left_out(tmp_path: Path) -> None:
    def landsat(name: str, role: str, scale: float, offset: float) -> Json:
        return band(name, role, **{"raster:bands": [{"scale": scale, "offset": offset}]})

    assets = {
        "red": landsat("SR_B4", "red", 2.75e-5, -0.2),
        "nir08": landsat("SR_B5", "nir08", 2.75e-5, -0.2),
        "lwir11": landsat("ST_B10", "lwir11", 0.00341802, 149),
    }
    source = one(tmp_path, item(assets))
    assert list(source.inputs) == ["red", "nir08"]
    assert (source.options["scale"], source.options["offset"]) == (2.75e-5, -0.2)
    assets["nir08"]["raster:bands"][0]["scale"] = 1e-4
    with pytest.raises(InputError, match=r"different scales .* for red, .* for nir08.*CSV"):
        one(tmp_path, item(assets))


@pytest.mark.parametrize(
    ("own", "href", "expected"),
    [
        (None, "../img/a.tif", "{folder}/img/a.tif"),
        ("https://x.org/c/i/i.json", "./a.tif", "https://x.org/c/i/a.tif"),
        ("https://x.org/c/i/i.json", "../a.tif", "https://x.org/c/a.tif"),
        ("https://x.org/c/i/i.json", "./here.tif", "{folder}/sub/here.tif"),
        ("./i.json", "a.tif", "{folder}/sub/a.tif"),
        ("/data/c/i.json", "./a.tif", "/data/c/a.tif"),
        ("file:///data/c/i.json", "./a.tif", "/data/c/a.tif"),
        ("https://x.org/i.json", "s3://b/a.tif", "s3://b/a.tif"),
        ("https://x.org/i.json", "/vsis3/b/a.tif", "/vsis3/b/a.tif"),
        (None, "file:///data/my%20field.tif", "/data/my field.tif"),
        (None, "https://x.org/a.tif?sig=x/y", "https://x.org/a.tif?sig=x/y"),
    ],
)
def test_where_assets_lie(tmp_path: Path, own: str | None, href: str, expected: str) -> None:
    links = [{"rel": "self", "href": own}] if own else []
    content = item({"a": {"href": href, "type": COG}}, links=links)
    path = written(tmp_path, content, "sub/item.json")
    (tmp_path / "sub" / "here.tif").touch()
    (source,) = find_sources([path])
    assert source.inputs == expected.format(folder=tmp_path)


def test_a_collection_of_items(tmp_path: Path) -> None:
    features = [
        item({"red": band("red", "red", f"/d/{k}.tif")}, id=f"S2/{k}", collection="s2")
        for k in range(3)
    ]
    features[1]["properties"] = {
        "datetime": None,
        "start_datetime": "2024-06-30T23:59:59Z",
        "end_datetime": "2024-07-01T00:00:01Z",
    }
    features[2].update(id="S2/0", collection="other")
    path = written(tmp_path, {"type": "FeatureCollection", "features": features}, "s.geojson")
    sources = find_sources([path])
    assert [source.name for source in sources] == ["s2-S2-0", "S2-1", "other-S2-0"]
    assert [source.options["about"]["date"] for source in sources] == [
        "2024-05-01",
        "2024-06-30",
        "2024-05-01",
    ]


def test_an_item_of_an_old_version(tmp_path: Path) -> None:
    content = item({"red": {**band("x", "red"), "eo:bands": [0]}}, stac_version="0.9.0")
    content["stac_extensions"] = ["eo"]
    content["properties"]["eo:bands"] = [{"name": "B4", "common_name": "red"}]
    assert one(tmp_path, content).inputs == {"red": str(tmp_path / "x.tif")}


FAULTS: dict[str, tuple[Any, str]] = {
    "no json": ("{", "is not JSON"),
    "a list": ([], "is no STAC file; a STAC Item, or"),
    "geojson": (
        {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}}]},
        "item 1 is no STAC item",
    ),
    "no features": ({"type": "FeatureCollection", "features": []}, "holds no items"),
    "bad features": ({"type": "FeatureCollection", "features": 5}, "is no STAC file"),
    "a catalogue": ({"type": "Catalog", "id": "x"}, "is a STAC Catalog, which only points"),
    "a collection": ({"type": "Collection", "id": "x"}, "is a STAC Collection"),
    "no assets": (item({}), r"none of its assets \(it has none\) is a raster"),
    "no rasters": (item({"m": {"href": "m.xml"}}), r"assets \(m\) is a raster for a scene"),
    "bands of another kind": (
        item({"a": {"href": "a.tif", "eo:bands": [5]}}),
        "are not as STAC has",
    ),
    "a scale of words": (
        item({"a": band("a", "red", **{"raster:bands": [{"scale": "a tenth"}]})}),
        "are not as STAC has",
    ),
    "a date of words": (item({}, properties={"datetime": "yesterday"}), "is no STAC item"),
    "no properties": (item({}, properties=None), "is no STAC item"),
    "a number for a file": (item({"a": {"href": 5, "type": COG}}), "is no STAC item|are not as"),
    "links of another kind": (item({}, links=[5]), "is no STAC item"),
    "an asset without href": (item({"a": {}}), "is no STAC item"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults_are_one_line_with_the_file(tmp_path: Path, what: str) -> None:
    content, words = FAULTS[what]
    path = written(tmp_path, content)
    if isinstance(content, str):
        path.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        find_sources([path])
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_catalogue_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        find_sources([tmp_path / "none.json"])


def test_an_item_opens(tmp_path: Path, tif: Any) -> None:
    tif("red.tif", np.full((1, 3, 4), 2000, np.uint16))
    tif("nir.tif", np.full((1, 3, 4), 6000, np.uint16))
    raster = [{"scale": 0.0001, "offset": -0.1, "nodata": 0}]
    assets = {name: band(name, name, **{"raster:bands": raster}) for name in ("red", "nir")}
    scene = one(tmp_path, item(assets)).open()
    pixels = scene.read(keys=["red", "nir"])
    np.testing.assert_allclose(pixels.data[:, 1, 1], [0.1, 0.5], rtol=1e-6)
    assert scene.about == {"date": "2024-05-01"}
    assert scene.radiometry.level == "reflectance"
