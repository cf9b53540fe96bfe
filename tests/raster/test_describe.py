"""What a person is told of a scene: facts, and each trap with its remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from agriseg.raster import SceneReport, describe_scene, open_scene
from agriseg.raster import describe as describe_module

Tif = Callable[..., str]

UTM = CRS.from_epsg(32633)
H, W = 24, 37
NAMES = ["Blue", "Green", "Red", "Red edge", "NIR"]

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def field_of(count: int = 5, height: int = H, width: int = W) -> np.ndarray:
    """Reflectance as plants and soil have it."""
    return np.random.default_rng(0).uniform(0.03, 0.5, (count, height, width)).astype(np.float32)


@pytest.fixture
def report(tif: Tif) -> Callable[..., SceneReport]:
    def describe(data: Any, said: dict[str, Any] | None = None, **written: Any) -> SceneReport:
        return describe_scene(open_scene(tif("field.tif", data, **written), **(said or {})))

    return describe


Report = Callable[..., SceneReport]


def only_warning(report: SceneReport) -> str:
    """The one warning of a report, which is one line."""
    assert len(report.warnings) == 1, report.warnings
    assert "\n" not in report.warnings[0]
    return report.warnings[0]


# Facts.


def test_a_good_file(report: Report) -> None:
    data = field_of()
    data[:, :6] = -10000
    told = report(data, nodata=-10000, descriptions=NAMES, compress="lzw", overviews=[2])
    assert told.warnings == ()
    assert (told.name, told.width, told.height) == ("field", W, H)
    assert told.gsd_m == pytest.approx((0.5, 0.5))
    assert told.area_ha == pytest.approx(W * H * 0.25 / 1e4)
    assert told.crs == "EPSG:32633 (WGS 84 / UTM zone 33N)"
    assert told.orientation == "north up"
    assert told.format.startswith("GTiff, strips of ")
    assert told.format.endswith(" rows, LZW, overviews 2")
    assert (told.dtype, told.level) == ("float32", "reflectance")
    assert told.valid_percent == pytest.approx(75)
    assert [band.role for band in told.bands] == ["blue", "green", "red", "rededge", "nir"]
    assert told.bands[4].evidence == "description 'NIR'"
    for k, band in enumerate(told.bands):
        expected = np.percentile(data[k, 6:], (1, 50, 99))
        assert (band.p1, band.p50, band.p99) == pytest.approx(tuple(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (Affine(0.5, 0, 4e5, 0, -0.5, 5e6), "north up"),
        (Affine(0.5, 0, 4e5, 0, 0.5, 5e6), "south up"),
        (Affine.rotation(21) @ Affine.scale(1, -1), "rotated by 21.0 degrees"),
        (Affine.rotation(-21) @ Affine.scale(1, 1), "rotated by 21.0 degrees and mirrored"),
        (Affine(-0.5, 0, 4e5, 0, 0.5, 5e6), "rotated by 180.0 degrees"),
        (None, "not georeferenced"),
    ],
)
def test_orientation(report: Report, transform: Affine | None, words: str) -> None:
    told = report(field_of(), descriptions=NAMES, transform=transform)
    assert told.orientation == words


def test_a_picture_with_alpha(report: Report) -> None:
    data = np.random.default_rng(0).integers(1, 255, (4, H, W), dtype=np.uint8)
    data[3] = 255
    data[3, :6] = 0
    told = report(data, colors=["red", "green", "blue", "alpha"])
    assert told.warnings == ()
    assert [band.role for band in told.bands] == ["red", "green", "blue", "alpha"]
    assert told.bands[3].p50 is None
    assert told.valid_percent == pytest.approx(75)
    assert told.level == "relative"


@pytest.mark.parametrize("kind", ["good", "no CRS", "nothing valid", "unnamed"])
def test_reports_are_json(report: Report, kind: str) -> None:
    data = np.full((5, H, W), np.nan, np.float32) if kind == "nothing valid" else field_of()
    crs = None if kind == "no CRS" else UTM
    told = report(data, crs=crs, descriptions=None if kind == "unnamed" else NAMES)
    text = json.dumps(told.to_dict(), allow_nan=False)
    again = json.loads(text)
    assert again["bands"][0]["file"] == "field.tif"
    assert len(again["bands"]) == 5


def test_pixels_that_span_the_globe(report: Report) -> None:
    globe = Affine(360, 0, -180, 0, -180, 90)
    told = report(field_of(5, 1, 1), crs=CRS.from_epsg(4326), transform=globe, descriptions=NAMES)
    assert told.gsd_m is None
    json.dumps(told.to_dict(), allow_nan=False)


# Warnings, each alone.


def test_strips(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe_module, "_STRIPS_MATTER", 1100)
    data = field_of(1, 300, 1200)
    said = only_warning(report(data, descriptions=["Red"]))
    assert "stored in strips" in said
    assert 'gdal_translate -of COG -co COMPRESS=DEFLATE "' in said
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    assert report(data, descriptions=["Red"], **tiles).warnings == ()
    # A few rows are read in no time, however they are stored.
    assert report(data[:, :20], descriptions=["Red"]).warnings == ()


def test_a_palette(report: Report) -> None:
    said = report(np.ones((1, H, W), np.uint8), colors=["palette"], descriptions=["Red"])
    assert "a picture with a palette" in only_warning(said)


def test_grey(report: Report) -> None:
    names = ["Blue", "Gray", "Red", "grey ", "NIR"]
    said = only_warning(report(field_of(), descriptions=names))
    assert said.startswith("band 2, 4 of field.tif is described as grey")
    assert "--sensor" in said


def test_nothing_says_which_band_is_which(report: Report) -> None:
    five = "blue,green,red,rededge,nir"
    for count, example in ((1, "--bands red,"), (3, "red,green,blue"), (5, five)):
        said = only_warning(report(field_of(count)))
        assert said.startswith("nothing in the file says which band is which")
        assert example in said
    # The example for any other number is one that the option takes.
    assert "--bands red=1,nir=7" in only_warning(report(field_of(7)))


def test_several_bands_of_one_name(report: Report) -> None:
    said = only_warning(report(field_of(5), descriptions=["Red", "NIR", "Red", "NIR", "Green"]))
    assert "band 1 is one of 2 bands named red" in said
    assert "red@1, red@2" in said
    # With wavelengths one of them is chosen, and nothing is wrong.
    tags = [{"wavelength": str(nm)} for nm in (640, 650, 660, 850, 560)]
    assert report(field_of(5), band_tags=tags).warnings == ()


def test_colours_that_contradict(report: Report) -> None:
    data = (field_of(3) * 250 + 1).astype(np.uint8)
    told = report(data, colors=["red", "green", "blue"], descriptions=NAMES[:3])
    said = only_warning(told)
    assert "band 1 (blue) is called red; band 3 (red) is called blue" in said
    assert "agriseg goes by the bands" in said


def test_near_infrared_called_alpha(report: Report) -> None:
    data = (field_of(4) * 250 + 1).astype(np.uint8)
    colors = ["red", "green", "blue", "alpha"]
    told = report(data, colors=colors, descriptions=["Red", "Green", "Blue", "NIR"])
    assert "band 4 (nir) is called alpha" in only_warning(told)


def test_colours_that_are_not_believed(report: Report) -> None:
    colors = ["red", "green", "blue", "undefined", "undefined"]
    told = report(field_of(), colors=colors)
    first, second = told.warnings
    assert "calls the first bands red, green, blue" in first
    assert second.startswith("nothing in the file says")
    assert (
        report(field_of(), {"bands": "blue,green,red,rededge,nir"}, colors=colors)
        .warnings[0]
        .startswith("the colour interpretation of field.tif contradicts")
    )


@pytest.mark.parametrize(
    ("top", "scale"),
    [(5000, "--scale 0.0001"), (30_000, "--scale 0.000030518"), (200, "give --scale")],
)
def test_numbers_without_a_scale(report: Report, top: int, scale: str) -> None:
    data = (field_of() * 2 * top).astype(np.uint16)
    told = report(data, descriptions=NAMES)
    assert told.level == "DN"
    assert scale in only_warning(told)
    # The scale that is named makes it reflectance, and the warning goes.
    if top > 500:
        answer = float(scale.split()[1])
        assert report(data, {"scale": answer}, descriptions=NAMES).warnings == ()


def test_a_scale_that_was_lost(report: Report) -> None:
    told = report(field_of() / 32768, descriptions=NAMES)
    assert "a scale was lost" in only_warning(told)
    assert told.level == "suspicious"


def test_a_scale_that_is_wrong(report: Report) -> None:
    data = (field_of() * 10_000).astype(np.uint16)
    told = report(data, {"scale": 0.01}, descriptions=NAMES)
    assert "more than any field reflects" in only_warning(told)


def test_an_offset_taken_off_twice(report: Report) -> None:
    # Dark in blue, green and red, bright in near infrared, as plants are.
    data = (field_of() * np.array([1, 2, 1, 5, 9])[:, None, None] * 1000).astype(np.uint16)
    told = report(data, {"scale": 1e-4, "offset": -0.1}, descriptions=NAMES)
    assert "--offset 0" in only_warning(told)
    assert told.level == "reflectance"


def test_light_is_never_negative(report: Report) -> None:
    told = report(-field_of(), descriptions=NAMES)
    assert "never negative" in only_warning(told)


def test_temperature_is_no_light(report: Report) -> None:
    data = field_of(6)
    data[5] = 300
    names = ["Blue", "Green", "Red", "NIR", "Red edge", "LWIR"]
    assert report(data, descriptions=names).warnings == ()


def test_no_coordinate_system(report: Report) -> None:
    said = only_warning(report(field_of(), descriptions=NAMES, crs=None))
    assert "gdal_edit.py -a_srs" in said


@pytest.mark.parametrize("missing", [0, -9999, -10000, -32767, -3.4028234663852886e38])
def test_nodata_that_is_not_declared(report: Report, missing: float) -> None:
    data = field_of(5, 60, 50)
    data[:, 5:15] = missing
    told = report(data, descriptions=NAMES)
    (said,) = [text for text in told.warnings if "no nodata value is declared" in text]
    assert said.startswith("17% of the pixels hold")
    # What the remedy says mends it.
    value = float(said.rsplit("--nodata ", 1)[1])
    mended = report(data, {"nodata": value}, descriptions=NAMES)
    assert mended.warnings == ()
    assert mended.valid_percent == pytest.approx(100 * 50 / 60)


@pytest.mark.parametrize(("missing", "dtype"), [(65535, "uint16"), (255, "uint8")])
def test_nodata_of_whole_numbers(report: Report, missing: int, dtype: str) -> None:
    data = (field_of() * 200).astype(dtype)
    data[:, :9, :9] = missing
    said = " ".join(report(data, {"scale": 0.01}, descriptions=NAMES).warnings)
    assert f"give --nodata {missing}" in said
    # Where one band holds something else it is a highlight.
    data[0, :9, :9] = 7
    said = " ".join(report(data, {"scale": 0.01}, descriptions=NAMES).warnings)
    assert "no nodata value is declared" not in said


def test_few_impossible_values_tell_too(report: Report) -> None:
    data = field_of(1, 100, 100)
    data[0, 40, :3] = -10000
    said = only_warning(report(data, descriptions=["Red"]))
    assert said.startswith("0.03% of the pixels hold -10000")
    # Zeros in a single band may be shadows.
    data[0, :40] = 0
    data[0, 40] = 0.1
    assert report(data, descriptions=["Red"]).warnings == ()


def test_a_mask_needs_no_nodata(report: Report) -> None:
    data = (field_of() * 200).astype(np.uint8)
    data[:, :9] = 0
    mask = np.where(data[0] > 0, 255, 0).astype(np.uint8)
    assert report(data, descriptions=NAMES, mask=mask).warnings == ()


def test_alpha_that_is_not_called_so(report: Report) -> None:
    data = (field_of(4) * 200 + 1).astype(np.uint8)
    data[3] = 255
    data[:, :9] = 0
    colors = ["red", "green", "blue", "undefined"]
    said = only_warning(report(data, colors=colors))
    assert said.startswith("band 4 holds only 0 and 255")
    answer = said.rsplit("--bands ", 1)[1]
    assert answer == "red,green,blue,alpha"
    mended = report(data, {"bands": answer}, colors=colors)
    assert mended.warnings == ()
    assert mended.valid_percent == pytest.approx(100 * 15 / 24)


def test_nothing_usable(report: Report) -> None:
    told = report(np.full((5, H, W), -10000, np.float32), nodata=-10000, descriptions=NAMES)
    assert told.valid_percent == 0
    assert "no usable pixel was found" in only_warning(told)
    assert told.bands[0].p50 is None


def test_a_damaged_file_is_described_as_far_as_it_goes(tif: Tif) -> None:
    data = field_of(1, 300, 200)
    path = Path(tif("cut.tif", data, blockysize=1))
    path.write_bytes(path.read_bytes()[:-20_000])
    told = describe_scene(open_scene(path, bands="red"))
    said = only_warning(told)
    assert str(path) in said
    assert "damaged or was cut off" in said
    assert told.bands[0].p50 == pytest.approx(float(np.median(data)), rel=0.05)


def test_every_file_of_a_scene_is_looked_at(tif: Tif) -> None:
    red = tif("red.tif", field_of(1))
    nir = tif("nir.tif", np.where(field_of(1) > 0.3, field_of(1), -9999))
    told = describe_scene(open_scene({"red": red, "nir": nir}))
    assert [band.file for band in told.bands] == ["red.tif", "nir.tif"]
    assert any("-9999" in said for said in told.warnings)
