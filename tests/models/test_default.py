"""Who names no model gets the shipped one where it fits, else the baseline, and hears why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import agriseg
from agriseg.models import default_for, shipped
from tests.support import write_raster


def scene(folder: Path, gsd_m: float, bands: str = "red,green,blue,nir") -> Path:
    from affine import Affine

    data = np.random.default_rng(0).random((len(bands.split(",")), 48, 64)).astype(np.float32)
    return write_raster(
        folder / "field.tif",
        data,
        descriptions=bands.split(","),
        transform=Affine(gsd_m, 0, 500000, 0, -gsd_m, 5000000),
    )


def test_the_bands_that_it_must_have_are_enough(tmp_path: Path) -> None:
    opened = agriseg.open_scene(scene(tmp_path, 0.01, "red,nir"))
    assert default_for(opened) == ("crop-weed", ())


@pytest.mark.parametrize(
    ("gsd_m", "name", "said"),
    [
        (0.01, "crop-weed", ""),
        (10.0, "index-baseline", "pixels of field are 10 m across"),
    ],
)
def test_segment_bench_and_predict_choose_alike(
    tmp_path: Path, gsd_m: float, name: str, said: str
) -> None:
    path = scene(tmp_path, gsd_m)
    opened = agriseg.open_scene(path)
    chosen, notes = default_for(opened)
    assert chosen == name
    assert all(said in note for note in notes)
    assert bool(notes) == bool(said)
    run = agriseg.segment(path, tmp_path / "out")
    assert run.record["model"]["name"] == name
    assert any(said in note for note in run.record["notes"])
    lazy = agriseg.predict(opened.to_xarray())
    assert lazy.attrs["model"] == name
    assert said in lazy.attrs["notes"]


def test_what_the_user_insists_on(tmp_path: Path) -> None:
    path = scene(tmp_path, 10.0)
    run = agriseg.segment(path, tmp_path / "out", ignore_gsd=True)
    assert run.record["model"]["name"] == "crop-weed"


def test_many_scenes_each_get_their_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [scene(tmp_path / "a", 0.01), scene(tmp_path / "b", 10.0)]
    runs = agriseg.segment(paths, tmp_path / "out")
    assert [run.record["model"]["name"] for run in runs] == ["crop-weed", "index-baseline"]
    again = agriseg.segment(paths, tmp_path / "shared", workers=1)
    assert [run.record["model"]["name"] for run in again] == ["crop-weed", "index-baseline"]
    for one, other in zip(runs, again, strict=True):
        assert one.classes.read_bytes() == other.classes.read_bytes()


def test_without_a_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path / "none")
    assert default_for(agriseg.open_scene(scene(tmp_path, 0.01))) == ("index-baseline", ())


def test_bands_that_nothing_names_are_asked_for(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "plot.tif", np.zeros((5, 8, 9), np.float32))
    with pytest.raises(agriseg.AgrisegError, match="what the 5 bands of plot are") as told:
        agriseg.segment(path, tmp_path / "out")
    assert "index-baseline" not in str(told.value)
