"""What is found out about data before anything expensive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agriseg.errors import LabelError
from agriseg.labels import Findings, check_material, check_survey, survey
from tests.labels.support import material, write_picture, write_scene
from tests.support import write_raster


def folder(base: Path, count: int = 3) -> dict[str, Any]:
    """A folder of pictures and masks that have nothing wrong."""
    rng = np.random.default_rng(0)
    for name in ("i", "m"):
        (base / name).mkdir(exist_ok=True)
    for k in range(count):
        image = rng.integers(1, 255, (3, 16, 24)).astype(np.uint8)
        write_picture(base / "i" / f"{k}.png", image)
        write_picture(base / "m" / f"{k}.png", rng.integers(0, 3, (1, 16, 24)).astype(np.uint8))
    return {"kind": "folders", "images": "i", "labels": "m", "gsd_m": 0.01}


def found(base: Path, entry: dict[str, Any]) -> Findings:
    opened = material(base, entry)
    looked = check_material(opened)
    return looked if looked.faults else looked + check_survey(survey(opened, 8))


def test_nothing_is_wrong(tmp_path: Path) -> None:
    assert found(tmp_path, folder(tmp_path)) == Findings()
    Findings().refuse()


def test_misaligned_pairs(tmp_path: Path) -> None:
    entry = folder(tmp_path)
    write_picture(tmp_path / "m" / "1.png", np.zeros((1, 17, 24), np.uint8))
    faults = found(tmp_path, entry).faults
    assert len(faults) == 1
    assert "has 24 x 17 pixels, 1 24 x 16" in faults[0]


def test_pictures_that_viewers_turn(tmp_path: Path) -> None:
    entry = folder(tmp_path)
    (tmp_path / "i" / "1.png").unlink()
    exif = Image.Exif()
    exif[0x112] = 3
    noise = np.random.default_rng(0).integers(0, 255, (16, 24, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "i" / "1.jpg", exif=exif)
    with pytest.raises(LabelError, match=r"1.jpg has EXIF orientation 3.*mogrify -auto-orient"):
        found(tmp_path, entry).refuse()


def test_flat_bands(tmp_path: Path) -> None:
    entry = folder(tmp_path)
    image = np.random.default_rng(0).integers(1, 255, (3, 16, 24)).astype(np.uint8)
    image[1] = 77
    write_picture(tmp_path / "i" / "0.png", image)
    assert found(tmp_path, entry).faults == ()
    assert "green of 0 is the same everywhere" in found(tmp_path, entry).notes[0]
    write_picture(tmp_path / "i" / "1.png", image)
    assert "green of 0 is the same everywhere" in found(tmp_path, entry).faults[0]


def test_scenes_that_are_not_numbers(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((2, 20, 30)).astype(np.float32)
    data[1] = np.nan
    write_raster(tmp_path / "s.tif", data)
    write_raster(tmp_path / "l.tif", np.zeros((1, 20, 30), np.uint8))
    entry = {"kind": "scenes", "scenes": "s.tif", "labels": "l.tif", "bands": "red,nir"}
    assert "s has no pixel that is usable in all of red, nir" in found(tmp_path, entry).faults[0]


def test_bands_without_a_role(tmp_path: Path) -> None:
    write_raster(tmp_path / "s.tif", np.ones((2, 20, 30), np.uint16))
    write_raster(tmp_path / "l.tif", np.zeros((1, 20, 30), np.uint8))
    entry = {"kind": "scenes", "scenes": "s.tif", "labels": "l.tif"}
    assert "none of its bands has a role" in found(tmp_path, entry).faults[0]


@pytest.mark.parametrize(
    ("value", "said"),
    [(255, "no pixel is labelled"), (1, "all labels are crop; at least two classes are needed")],
)
def test_labels_that_teach_nothing(tmp_path: Path, value: int, said: str) -> None:
    entry = folder(tmp_path)
    for k in range(3):
        write_picture(tmp_path / "m" / f"{k}.png", np.full((1, 16, 24), value, np.uint8))
    with pytest.raises(LabelError, match=said):
        found(tmp_path, entry).refuse()


def test_what_is_worth_knowing(tmp_path: Path) -> None:
    entry = folder(tmp_path)
    write_picture(tmp_path / "m" / "0.png", np.full((1, 16, 24), 255, np.uint8))
    for k in (1, 2):
        data = np.arange(16 * 24).reshape(1, 16, 24) % 2
        write_picture(tmp_path / "m" / f"{k}.png", data.astype(np.uint8))
    del entry["gsd_m"]
    notes = found(tmp_path, entry).notes
    assert "the pixel size of 3 scenes (0, 1, 2) is unknown" in notes[0]
    assert notes[1:] == ("no pixel is known to be weed", "0 without a labelled pixel")


def test_overlapping_polygons_are_counted(tmp_path: Path) -> None:
    import geopandas as gpd
    import shapely

    from tests.support import NORTH_UP, UTM

    write_scene(tmp_path / "s.tif")
    x, y = NORTH_UP @ (0, 0)
    shapes = [shapely.box(x, y - 0.2, x + 0.2, y), shapely.box(x, y - 0.1, x + 0.06, y)]
    gpd.GeoDataFrame({"class": ["crop", "weed"]}, geometry=shapes, crs=UTM).to_file(
        tmp_path / "l.gpkg"
    )
    entry = {"kind": "scenes", "scenes": "s.tif", "labels": "l.gpkg"}
    notes = " ".join(found(tmp_path, entry).notes)
    assert "15 pixels lie in polygons of different classes" in notes


def test_more_than_one_fault() -> None:
    with pytest.raises(LabelError, match=r"one \(and 2 more faults\)"):
        (Findings(("one",)) + Findings(("two", "three"))).refuse()
