"""The scene of a run is found again, and another one is not taken for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from agriseg import open_scene, segment
from agriseg.errors import InputError
from agriseg.farm.scene_of import grid_of, scene_of
from agriseg.raster import narrow
from agriseg.runs import Run, read_run
from tests.farm.made_run import Farm, make_farm
from tests.support import Identity, read_classes, write_raster

Make = Callable[..., Farm]


@pytest.fixture
def farm(tmp_path: Path) -> Callable[..., Farm]:
    return partial(make_farm, tmp_path)


def test_it_reads_what_the_run_read(farm: Make) -> None:
    made = farm(about={"crop": "maize"})
    again = scene_of(made.run)
    before = open_scene(made.scene, scale=1.0, about={"crop": "maize"})
    assert again == before
    assert np.array_equal(again.read().data, before.read().data)


def test_a_part_at_another_size_with_its_masks(tmp_path: Path) -> None:
    """Bounds, --gsd, an alpha band, clouds, and two files of one name."""
    random = np.random.default_rng(1)
    for name in ("red", "nir"):
        (tmp_path / name).mkdir()
        light = random.integers(0, 3, (1, 24, 30)).astype(np.uint16)
        write_raster(tmp_path / name / "band.tif", light)
    clouds = np.zeros((1, 24, 30), np.uint8)
    clouds[0, 3:9, 3:9] = 8
    write_raster(tmp_path / "SCL.tif", clouds)
    files = {role: tmp_path / role / "band.tif" for role in ("red", "nir")}
    scene = open_scene(files, scale=1.0, masks=[f"{tmp_path / 'SCL.tif'}:8"], name="two")
    left, bottom, right, top = scene.geobox.bounds
    part = narrow(scene, bounds=(left + 0.1, bottom + 0.1, right, top), gsd_m=0.03)
    run = segment(part, tmp_path / "out", model=Identity(), polygons=False, ignore_gsd=True)
    assert isinstance(run, Run)
    before = part.read()
    (tmp_path / "SCL.tif").unlink()  # what it hides has no class, so it is not missed
    again = scene_of(read_run(run.path))
    assert again.geobox == part.geobox == grid_of(run)
    assert [band.path for band in again.bands] == [str(path) for path in files.values()]
    now = again.read()
    assert np.array_equal(now.data, before.data)
    assert (now.valid & ~before.valid).any()
    classes = read_classes(run.classes)
    assert (classes[~before.valid] == 255).all()


def test_a_scene_that_was_moved(farm: Make, tmp_path: Path) -> None:
    made = farm()
    place = tmp_path / "archive" / "other name.tif"
    place.parent.mkdir()
    shutil.copyfile(made.scene, place)  # with another time
    made.scene.unlink()
    with pytest.raises(InputError, match=r"field\.tif, which cannot be read there; .*--scene PATH"):
        scene_of(made.run)
    assert scene_of(made.run, place).bands[0].path == str(place)
    with pytest.raises(InputError, match="which cannot be read there"):
        scene_of(made.run, place.parent)
    place.rename(place.with_name("field.tif"))
    assert scene_of(made.run, place.parent).band("red").index == 2


def test_a_path_that_began_elsewhere(
    farm: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = farm()
    monkeypatch.chdir(tmp_path)
    run = segment("flights/field.tif", "results", model=Identity(), scale=1.0, polygons=False)
    assert isinstance(run, Run)
    monkeypatch.chdir("/")
    again = scene_of(read_run(tmp_path / "results" / "field"))
    assert again.bands[0].path == str(made.scene)


def test_another_scene_is_refused(farm: Make, tmp_path: Path) -> None:
    made = farm()
    status = made.scene.stat()
    later = status.st_mtime_ns + 10**9
    data = made.data.copy()
    data[:, 0, 0] += 0.5
    write_raster(
        made.scene,
        data,
        transform=made.box.transform,
        nodata=-1,
        descriptions=("green", "red", "nir"),
    )
    os.utime(made.scene, ns=(later, later))
    with pytest.raises(InputError, match=r"field\.tif is not what .* was changed since"):
        scene_of(made.run)
    with pytest.raises(InputError, match="is not what"):
        scene_of(made.run, made.scene)
    other = write_raster(tmp_path / "other.tif", data[:2])
    with pytest.raises(InputError, match=r"other\.tif is not what"):
        scene_of(made.run, other)


def test_the_same_bytes_at_another_time_must_be_vouched_for(tmp_path: Path) -> None:
    """Of a large file only the ends are looked at."""
    light = np.random.default_rng(2).integers(0, 3, (2, 300, 400)).astype(np.uint16)
    path = write_raster(tmp_path / "large.tif", light, descriptions=("red", "nir"))
    run = segment(
        str(path), tmp_path / "out", model=Identity(), scale=1.0, chip=128, polygons=False
    )
    assert isinstance(run, Run)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match=r"written again .* if it is the same picture, say so"):
        scene_of(run)
    assert scene_of(run, path).bands[0].path == str(path)


def test_a_record_that_tells_nothing(farm: Make) -> None:
    made = farm()
    record = {key: value for key, value in made.run.record.items() if key != "scene"}
    with pytest.raises(InputError, match="does not tell what scene it was made from"):
        scene_of(Run(made.run.folder, record))
