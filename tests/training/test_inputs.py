"""A training notices that images or labels were replaced, stopped or finished."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import agriseg
from agriseg.errors import OptionError
from agriseg.labels import Material, open_material
from agriseg.training import finish
from agriseg.training.config import read_config
from agriseg.training.inputs import check_inputs, inputs_of, write_inputs
from tests.labels.support import material, write_scene
from tests.support import write_raster
from tests.training.conftest import SMALL, draw_scene

Make = Callable[..., Path]


class Told:
    """A listener that keeps what it is told at the end."""

    def __init__(self) -> None:
        self.steps = 0
        self.ended: dict[str, Any] = {}
        self.notes: tuple[str, ...] | None = None

    def begin(self, facts: dict[str, Any]) -> None: ...

    def step(self, step: int, loss: Any) -> None:
        self.steps += 1

    def validated(self, row: dict[str, Any], best: bool) -> None: ...

    def evaluating(self, done: int, pixels: int) -> None: ...

    def end(self, path: Path, facts: dict[str, Any]) -> None:
        self.ended = facts

    def already(self, path: Path, notes: tuple[str, ...]) -> None:
        self.notes = notes


def repaint(path: Path) -> None:
    """Change one pixel; the file keeps its size, or nearly so."""
    with rasterio.open(path, "r+") as dataset:
        block = dataset.read(1)
        block[40, 50] = (block[40, 50] + 1) % 3
        dataset.write(block, 1)


def test_a_finished_training_notices_other_files(make_config: Make, tmp_path: Path) -> None:
    path, out = make_config(model=SMALL, learn={"steps": 1}), tmp_path / "out"
    model = agriseg.train(path, out, report=False)
    for number in range(3):
        draw_scene(tmp_path, number)  # the same bytes, at another time
    assert agriseg.train(path, out, report=False) == model
    repaint(tmp_path / "labels1.tif")
    draw_scene(tmp_path, 3)
    (tmp_path / "scene2.tif").unlink()
    with pytest.raises(OptionError, match="trained on other files: 1 changed") as fault:
        agriseg.train(path, out, report=False)
    said = str(fault.value)
    assert "(labels1.tif), 2 new (scene3.tif, labels3.tif), 2 gone (scene2.tif, labels2.t" in said
    assert "--fresh" in said
    assert "\n" not in said
    told = Told()
    agriseg.train(path, out, report=False, resume=False, listener=told)
    assert told.steps == 1
    assert agriseg.train(path, out, report=False) == model


def test_a_stopped_training_notices_other_files(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path, out = make_config(model=SMALL, learn={"steps": 1}), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(finish, "read_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            agriseg.train(path, out, report=False)
    assert (out / "checkpoint.pt").exists()
    shutil.copy(tmp_path / "labels0.tif", tmp_path / "kept.tif")
    repaint(tmp_path / "labels0.tif")
    with pytest.raises(OptionError, match=r"1 changed \(labels0.tif\)"):
        agriseg.train(path, out, report=False)
    shutil.move(tmp_path / "kept.tif", tmp_path / "labels0.tif")
    assert agriseg.train(path, out, report=False).exists()


def test_a_finished_training_needs_its_data_no_more(make_config: Make, tmp_path: Path) -> None:
    """Nor does one of a version that did not note its files fail."""
    path, out = make_config(model=SMALL, learn={"steps": 1}), tmp_path / "out"
    model = agriseg.train(path, out, report=False)
    for file in tmp_path.glob("*.tif"):
        file.unlink()
    told = Told()
    assert agriseg.train(path, out, listener=told) == model
    assert told.notes is not None
    assert "its data cannot be opened" in told.notes[0]
    assert "report.html cannot be made" in told.notes[1]
    (out / "inputs.json").unlink()
    assert agriseg.train(path, out, report=False, listener=told) == model
    assert "use --fresh" in told.notes[0]


def test_the_page_is_made_later(make_config: Make, tmp_path: Path) -> None:
    """Of a training without one; it says the same as if it had been made at once."""
    path = make_config(model=SMALL, learn={"steps": 4, "validate_every": 2})
    told, model = Told(), agriseg.train(path, tmp_path / "out", report=False)
    page = tmp_path / "out" / "report.html"
    assert not page.exists()
    before = (tmp_path / "out" / "metrics.csv").read_bytes()
    agriseg.train(path, tmp_path / "out", listener=told)
    assert told.steps == 0
    assert told.ended["steps"] == 4
    assert (tmp_path / "out" / "metrics.csv").read_bytes() == before
    at_once = agriseg.train(path, tmp_path / "at_once")
    text = [one.with_name("report.html").read_text() for one in (model, at_once)]
    assert text[0].replace("/out/", "/at_once/") == text[1]
    assert model.read_bytes() == at_once.read_bytes()
    written = page.stat().st_mtime_ns
    agriseg.train(path, tmp_path / "out", listener=told)
    assert page.stat().st_mtime_ns == written
    assert told.notes == ()


# Which files are meant ----------------------------------------------------------------------------


def entry(labels: str, **more: Any) -> dict[str, Any]:
    return {"kind": "scenes", "scenes": "a.tif", "labels": labels, **more}


def drawn(base: Path, name: str) -> Material:
    """A scene with a vector file of one crop polygon."""
    import geopandas as gpd
    import shapely

    write_scene(base / "a.tif")
    shape = shapely.box(360123, 5349990, 360130, 5350001)
    gpd.GeoDataFrame({"class": ["crop"]}, geometry=[shape], crs=32633).to_file(base / name)
    return material(base, entry(name))


@pytest.mark.parametrize(("name", "other"), [("p.gpkg", "p.gpkg"), ("p.shp", "p.dbf")])
def test_vector_files_count_with_all_their_parts(tmp_path: Path, name: str, other: str) -> None:
    found = drawn(tmp_path, name)
    write_inputs(tmp_path, inputs_of(found, tmp_path))
    assert check_inputs(tmp_path, inputs_of(found, tmp_path))
    data = (tmp_path / other).read_bytes()
    (tmp_path / other).write_bytes(data.replace(b"crop", b"weed"))
    with pytest.raises(OptionError, match=f"1 changed \\({name}\\)"):
        check_inputs(tmp_path, inputs_of(found, tmp_path))


def test_shapes_without_all_their_parts_may_be_moved_and_seen_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    found = drawn(first, "p.shp")
    (first / "p.cpg").unlink()
    (first / "p.dbf").rename(first / "p.DBF")
    write_inputs(tmp_path, inputs_of(found, first))
    shutil.copytree(first, second)
    assert check_inputs(tmp_path, inputs_of(material(second, entry("p.shp")), second))
    monkeypatch.chdir(second)
    assert check_inputs(tmp_path, inputs_of(material(Path(), entry("p.shp")), Path()))
    data = (second / "p.DBF").read_bytes()
    (second / "p.DBF").write_bytes(data.replace(b"crop", b"weed"))
    with pytest.raises(OptionError, match=r"1 changed \(p.shp\)"):
        check_inputs(tmp_path, inputs_of(material(second, entry("p.shp")), second))


def test_what_viewers_leave_does_not_count_and_copies_are_told(tmp_path: Path) -> None:
    random = np.random.default_rng(1).integers(0, 2, (1, 400, 500), np.uint8)
    write_raster(tmp_path / "a.tif", np.repeat(random, 2, 0), descriptions=["red", "nir"])
    write_raster(tmp_path / "b.tif", random)
    found = material(tmp_path, entry("b.tif", scale=0.1))
    folder = tmp_path / "out"
    folder.mkdir()
    write_inputs(folder, inputs_of(found, tmp_path))
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset/>")
    assert check_inputs(folder, inputs_of(found, tmp_path))
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("a.tif", "b.tif"):
        shutil.copy2(tmp_path / name, moved / name)
    again = material(moved, entry("b.tif", scale=0.1))
    assert check_inputs(folder, inputs_of(again, moved)), "what the base folder is called is free"
    os.utime(moved / "b.tif", (1, 1))
    with pytest.raises(OptionError, match=r"mere copies, with other times, remove .*inputs.json"):
        check_inputs(folder, inputs_of(again, moved))
    (folder / "inputs.json").write_text(json.dumps({"format": 2}))
    assert not check_inputs(folder, inputs_of(again, moved)), "nobody knows"


def test_the_start_counts(make_config: Make, tmp_path: Path) -> None:
    config = read_config(make_config())
    found = open_material(config.data, config.legend, base=tmp_path)
    start = tmp_path / "start.safetensors"
    start.write_bytes(b"1")
    write_inputs(tmp_path, inputs_of(found, tmp_path, start))
    start.write_bytes(b"2")
    with pytest.raises(OptionError, match=r"1 changed \(start.safetensors"):
        check_inputs(tmp_path, inputs_of(found, tmp_path, start))
