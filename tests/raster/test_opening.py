"""Folders of single-band files, names of scenes, and what is asked back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agriseg.errors import BandError, InputError
from agriseg.raster import Scene, open_scene

Tif = Callable[..., str]


@pytest.fixture
def folder(tif: Tif, tmp_path: Path) -> Callable[..., Path]:
    """A folder with a raster of each name; its value is the name's place, from 1."""

    def make(*names: str, **written: Any) -> Path:
        for place, name in enumerate(names, 1):
            tif(f"flight/{name}", np.full((1, 3, 4), place, np.uint16), **written)
        return tmp_path / "flight"

    return make


Folder = Callable[..., Path]


def values(scene: Scene) -> dict[str | None, int]:
    """The value of each role's band."""
    pixels = scene.read()
    keys = [band.key for band in scene.bands]
    return dict(zip(keys, (int(v) for v in pixels.data[:, 0, 0]), strict=True))


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        pytest.param(
            [
                "DJI_20240512_0001_MS_G.TIF",
                "DJI_20240512_0001_MS_R.TIF",
                "DJI_20240512_0001_MS_RE.TIF",
                "DJI_20240512_0001_MS_NIR.TIF",
            ],
            ["green", "red", "rededge", "nir"],
            id="DJI frames",
        ),
        pytest.param(
            ["result_Green.tif", "result_NIR.tif", "result_Red.tif", "result_RedEdge.tif"],
            ["green", "nir", "red", "rededge"],
            id="DJI Terra",
        ),
        pytest.param(
            [
                "farm_transparent_reflectance_red edge.tif",
                "farm_transparent_reflectance_red.tif",
                "farm_transparent_reflectance_nir.tif",
            ],
            ["rededge", "red", "nir"],
            id="Pix4D",
        ),
        pytest.param(
            [
                "T32UNU_20240512T102021_B02_10m.tif",
                "T32UNU_20240512T102021_B04_10m.tif",
                "T32UNU_20240512T102021_B8A_20m.tif",
                "T32UNU_20240512T102021_SCL_20m.tif",
            ],
            ["blue", "red", "nir08", None],
            id="Sentinel-2",
        ),
        pytest.param(
            ["S2A_20240512_B4.tif", "S2A_20240512_B5.tif"],
            ["red", "rededge071"],
            id="Sentinel-2, short names",
        ),
        pytest.param(
            [
                "LC09_L2SP_193026_20240512_20240513_02_T1_SR_B4.TIF",
                "LC09_L2SP_193026_20240512_20240513_02_T1_SR_B5.TIF",
                "LC09_L2SP_193026_20240512_20240513_02_T1_ST_B10.TIF",
                "LC09_L2SP_193026_20240512_20240513_02_T1_QA_PIXEL.TIF",
            ],
            ["red", "nir08", None, None],
            id="Landsat 9",
        ),
        pytest.param(
            ["odm_orthophoto_red.tif", "odm_orthophoto_nir.tif", "dsm.tif"],
            ["red", "nir", None],
            id="ODM",
        ),
        pytest.param(["band_560nm.tif", "band_842 nm.tif"], ["green", "nir"], id="wavelengths"),
        pytest.param(["red.tif", "nir.tif", "alpha.tif"], ["red", "nir", "alpha"], id="alpha"),
    ],
)
def test_names(folder: Folder, names: list[str], roles: list[str | None]) -> None:
    scene = open_scene(folder(*names))
    assert scene.name == "flight"
    expected = {role: place for place, role in enumerate(roles, 1) if role not in (None, "alpha")}
    assert values(scene) == expected
    assert all("name of its file" in band.evidence for band in scene.bands)


def test_a_preset_knows_names_that_say_little(folder: Folder) -> None:
    path = folder("field_G.tif", "field_R.tif", "field_RE.tif")
    scene = open_scene(path, sensor="dji-mavic-3m")
    assert values(scene) == {"green": 1, "red": 2, "rededge": 3}
    assert [band.wavelength_nm for band in scene.bands] == [560, 650, 730]
    path = folder("x_MS_R_1.tif", "x_Red edge_2.tif", "x_field-NIR.tif")
    for name in ("field_G.tif", "field_R.tif", "field_RE.tif"):
        (path / name).unlink()
    scene = open_scene(path, sensor="dji-mavic-3m")
    assert values(scene) == {"red": 1, "rededge": 2, "nir": 3}
    for old in path.iterdir():
        old.unlink()
    with_landsat = folder("x_B4.tif", "x_B5.tif")
    scene = open_scene(with_landsat, sensor="landsat-8-9", scale=1)
    assert values(scene) == {"red": 1, "nir08": 2}


def test_landsat_7_is_not_taken_for_another(folder: Folder) -> None:
    # Its B4 is near infrared; Landsat 8 and Sentinel-2 hold red there.
    path = folder("LE07_L2SP_193026_SR_B3.TIF", "LE07_L2SP_193026_SR_B4.TIF")
    with pytest.raises(BandError, match="no file name tells its band"):
        open_scene(path)


def test_short_names_of_nobody_are_not_guessed(folder: Folder) -> None:
    with pytest.raises(BandError, match=r"\(x_B4.tif, x_B5.tif\).*red=FILE nir=FILE"):
        open_scene(folder("x_B4.tif", "x_B5.tif"))


def test_descriptions_come_before_names(tif: Tif, folder: Folder) -> None:
    path = folder("nir.tif")
    tif("flight/1.tif", np.full((1, 3, 4), 7, np.uint16), descriptions=["Red"])
    assert values(open_scene(path)) == {"red": 7, "nir": 1}


def test_two_files_for_one_role(folder: Folder) -> None:
    path = folder("may_red.tif", "june_red.tif", "nir.tif")
    with pytest.raises(BandError) as caught:
        open_scene(path)
    assert "june_red.tif and may_red.tif both seem to be red" in str(caught.value)


def test_what_else_lies_in_a_folder(tif: Tif, folder: Folder) -> None:
    path = folder("red.tif", "nir.tif", "elevation.tif", "._red.tif")
    (path / "._red.tif").write_bytes(b"what Finder leaves")
    (path / "red.txt").write_text("notes")
    (path / "old_red.tif").mkdir()
    # A preview in true colours is passed over, a raster of many bands is asked about.
    tif("flight/preview.tif", np.zeros((3, 3, 4), np.uint8), colors=["red", "green", "blue"])
    assert values(open_scene(path)) == {"red": 1, "nir": 2}
    tif("flight/stack.tif", np.zeros((5, 3, 4), np.uint16))
    with pytest.raises(InputError, match=r"stack\.tif has 5 bands"):
        open_scene(path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder without rasters"):
        open_scene(tmp_path)


@pytest.mark.parametrize(
    ("names", "stem"),
    [
        (("north_red.tif", "north_nir.tif"), "north"),
        (("red.tif", "nir.tif"), "flight"),
        (("a.tif",), "a"),
    ],
)
def test_a_scene_of_files_is_named_after_what_they_share(
    folder: Folder, names: tuple[str, ...], stem: str
) -> None:
    path = folder(*names)
    files = dict(zip(("red", "nir"), (path / name for name in names), strict=False))
    assert open_scene(files).name == stem
    assert open_scene(files, name="mine").name == "mine"


def test_dates_by_role(folder: Folder) -> None:
    path = folder("may.tif", "june.tif")
    scene = open_scene({"red@may": path / "may.tif", "red@june": path / "june.tif"})
    assert values(scene) == {"red@may": 1, "red@june": 2}
    with pytest.raises(BandError, match="two files are given for red"):
        open_scene({"red": path / "may.tif", " red": path / "june.tif"})


def test_relative_paths_and_spaces(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder("my field (1) ü.tif")
    monkeypatch.chdir(path)
    scene = open_scene("my field (1) ü.tif", bands="red")
    assert scene.name == "my field (1) ü"
    assert values(scene) == {"red": 1}


def test_a_scene_knows_no_more_than_it_was_told(folder: Folder) -> None:
    scene = open_scene(folder("a.tif") / "a.tif", about={"farm": "Höhe", "crop": "maize"})
    assert scene.about == {"farm": "Höhe", "crop": "maize"}
    assert scene.band_summary() == "none of its bands has a role"
