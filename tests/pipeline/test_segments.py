"""Every run leaves polygons: the same however it was cut, and made anew without predicting."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize

import agriseg
from agriseg.errors import AgrisegError
from agriseg.pipeline import SegmentOptions, prepare
from agriseg.pipeline.swath import run_swath
from agriseg.raster import open_scene
from agriseg.runs.ledger import Ledger
from agriseg.tiling import ChipGrid, FinishedRows
from tests.support import Smooth, class_field, leftovers, read_classes, result_bytes, write_raster


@dataclass(frozen=True)
class Counting(Smooth):
    """Refuses to predict once it was told to."""

    allowed: tuple[bool, ...] = (True,)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self.allowed[0], "nothing was left to predict"
        return super().__call__(batch)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    data = np.kron(class_field(13, 11, seed=3), np.ones((1, 7, 8), np.float32))
    data += 0.3 * class_field(*data.shape[1:], seed=4)
    data[:, 20:31, 40:60] = np.nan
    return write_raster(tmp_path / "scene.tif", data, descriptions=["red"])


def segments(run: agriseg.Run) -> gpd.GeoDataFrame:
    assert run.segments is not None
    return gpd.read_file(run.segments)


def test_the_polygons_are_those_of_the_map(scene: Path, tmp_path: Path) -> None:
    run = agriseg.segment(
        scene, tmp_path, model=Smooth(), chip=32, overlap=6, min_area_m2=0, qgis=False
    )
    frame = segments(run)
    assert run.record["segments"] == len(frame) > 5
    assert list(frame.columns) == [
        "segment_id",
        "class_id",
        "class_name",
        "area_m2",
        "perimeter_m",
        "confidence",
        "geometry",
    ]
    alone = agriseg.vectorize(run.classes, tmp_path / "alone.gpkg", min_area_m2=0)
    assert alone.read_bytes() == run.segments.read_bytes()
    with rasterio.open(run.classes) as dataset:
        classes, transform = dataset.read(1), dataset.transform
    valid = classes != 255
    burnt = rasterize(
        zip(frame.geometry, frame.class_id, strict=True),
        out_shape=classes.shape,
        transform=transform,
        fill=255,
    )
    np.testing.assert_array_equal(burnt, classes)
    assert frame.area_m2.sum() == pytest.approx(valid.sum() * 0.0004)
    assert set(frame.class_name) <= {"soil", "crop", "weed"}
    assert frame.confidence.between(1 / 3, 1).all()


@pytest.mark.parametrize("swaths", [2, 3])
def test_cuts_leave_no_trace(scene: Path, tmp_path: Path, swaths: int) -> None:
    how = {"model": Smooth(), "chip": 16, "overlap": 6}
    agriseg.segment(scene, tmp_path / "one", **how)
    agriseg.segment(scene, tmp_path / "many", swaths=swaths, **how)
    assert result_bytes(tmp_path / "one/scene") == result_bytes(tmp_path / "many/scene")
    assert "segments.gpkg" in result_bytes(tmp_path / "one/scene")
    assert not leftovers(tmp_path / "many/scene")


def test_other_polygons_need_no_prediction(scene: Path, tmp_path: Path) -> None:
    run = agriseg.segment(scene, tmp_path, model=Counting(), chip=32)
    before, found = segments(run), result_bytes(run.path)
    busy = Counting(allowed=(False,))
    coarse = agriseg.segment(scene, tmp_path, model=busy, chip=32, min_area_m2=0.05)
    after = result_bytes(run.path)
    assert len(segments(coarse)) < len(before)
    assert after["segments.gpkg"] != found["segments.gpkg"]
    assert after["classes.tif"] == found["classes.tif"]
    assert coarse.record["options"]["min_area_m2"] == 0.05
    assert not coarse.resumed
    # The same once more is recognised, and the first polygons come back to the last byte.
    assert agriseg.segment(scene, tmp_path, model=busy, chip=32, min_area_m2=0.05).resumed
    agriseg.segment(scene, tmp_path, model=busy, chip=32)
    assert result_bytes(run.path) == found
    none = agriseg.segment(scene, tmp_path, model=busy, chip=32, polygons=False)
    assert none.segments is None
    assert not (run.path / "segments.gpkg").exists()
    assert not leftovers(run.path)


def test_polygons_that_were_removed_are_made_again(scene: Path, tmp_path: Path) -> None:
    run = agriseg.segment(scene, tmp_path, model=Counting(), chip=32)
    found = result_bytes(run.path)
    (run.path / "segments.gpkg").unlink()
    agriseg.segment(scene, tmp_path, model=Counting(allowed=(False,)), chip=32)
    assert result_bytes(run.path) == found


def test_without_resume_everything_is_made_anew(scene: Path, tmp_path: Path) -> None:
    agriseg.segment(scene, tmp_path, model=Counting(), chip=32)
    with pytest.raises(AssertionError, match="nothing was left"):
        agriseg.segment(scene, tmp_path, model=Counting(allowed=(False,)), chip=32, resume=False)


@pytest.mark.parametrize("damage", ["cut", "garbage", "absent", "flipped"])
def test_borders_that_were_lost_are_found_again(scene: Path, tmp_path: Path, damage: str) -> None:
    agriseg.segment(scene, tmp_path / "plain", model=Smooth(), chip=16, overlap=6)
    options = SegmentOptions(chip=16, overlap=6)
    job = prepare(open_scene(scene), Smooth(), tmp_path / "out" / "scene", options)
    job.ledger.create()
    for swath in job.plan:
        run_swath(job, swath)
    traced = sorted(job.ledger.folder.glob("*.borders"))
    assert len(traced) >= job.plan.grid.rows
    for path in traced[::2]:
        content = path.read_bytes()
        if damage == "absent":
            path.unlink()
        else:
            flipped = bytearray(content)
            flipped[len(content) // 2] ^= 4
            damaged = {
                "cut": content[: len(content) // 2],
                "garbage": bytes(99),
                "flipped": flipped,
            }
            path.write_bytes(damaged[damage])
    agriseg.segment(scene, tmp_path / "out", model=Smooth(), chip=16, overlap=6)
    assert result_bytes(tmp_path / "out/scene") == result_bytes(tmp_path / "plain/scene")


def test_an_empty_scene_has_an_empty_layer(tmp_path: Path) -> None:
    data = np.full((1, 20, 30), np.nan, np.float32)
    scene = write_raster(tmp_path / "empty.tif", data, descriptions=["red"])
    run = agriseg.segment(scene, tmp_path / "out", model=Smooth())
    assert (read_classes(run.classes) == 255).all()
    assert run.record["segments"] == 0
    with sqlite3.connect(run.segments) as base:
        assert base.execute("SELECT count(*) FROM segments").fetchone() == (0,)
        columns = {row[1] for row in base.execute("PRAGMA table_info(segments)")}
    assert {"class_id", "class_name", "area_m2", "perimeter_m", "confidence"} <= columns


def test_without_a_crs_areas_are_unknown(tmp_path: Path) -> None:
    data = np.kron(class_field(4, 5, seed=3), np.ones((1, 6, 6), np.float32))
    scene = write_raster(tmp_path / "bare.tif", data, descriptions=["red"], crs=None)
    run = agriseg.segment(scene, tmp_path / "out", model=Smooth())
    frame = segments(run)
    assert frame.crs is None
    assert frame.area_m2.isna().all()
    assert frame.confidence.notna().all()
    again = agriseg.segment(scene, tmp_path / "out", model=Smooth(), simplify_m=0)
    assert len(segments(again)) == len(frame)


@pytest.mark.parametrize("option", ["min_area_m2", "simplify_m"])
def test_metres_without_a_crs_are_refused_before_any_work(tmp_path: Path, option: str) -> None:
    scene = write_raster(tmp_path / "bare.tif", class_field(20, 30), descriptions=["red"], crs=None)
    with pytest.raises(AgrisegError, match=rf"--{option.replace('_', '-')} 2.* no CRS"):
        agriseg.segment(scene, tmp_path / "out", model=Counting(allowed=(False,)), **{option: 2})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_absurd_polygon_options_are_refused(scene: Path, tmp_path: Path, value: float) -> None:
    with pytest.raises(AgrisegError, match="--min-area-m2"):
        agriseg.segment(scene, tmp_path, model=Counting(allowed=(False,)), min_area_m2=value)


def test_the_record_lists_the_layer(scene: Path, tmp_path: Path) -> None:
    run = agriseg.segment(scene, tmp_path, model=Smooth(), chip=32)
    record = json.loads((run.path / "run.json").read_text())
    assert record["outputs"]["segments.gpkg"] == run.segments.stat().st_size
    assert record["seconds"]["polygons"] >= 0


def test_a_run_that_is_stopped_between_two_layers_keeps_neither(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GeoPackages of different polygons are often equal in size: the record must not be old."""
    first = agriseg.segment(scene, tmp_path, model=Counting(), chip=32, min_area_m2=0.002)
    found = result_bytes(first.path)

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    busy = Counting(allowed=(False,))
    with monkeypatch.context() as patch:
        patch.setattr("agriseg.pipeline.stages.write_segments", stop)
        with pytest.raises(KeyboardInterrupt):
            agriseg.segment(scene, tmp_path, model=busy, chip=32, min_area_m2=0.01)
    again = agriseg.segment(scene, tmp_path, model=busy, chip=32, min_area_m2=0.002)
    assert not again.resumed
    assert result_bytes(again.path) == found


def test_rasters_that_are_damaged_are_made_again(scene: Path, tmp_path: Path) -> None:
    run = agriseg.segment(scene, tmp_path, model=Counting(), chip=32, polygons=False)
    found = result_bytes(run.path)
    content = bytearray(run.classes.read_bytes())
    with rasterio.open(run.classes) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    content[start : start + 200] = b"\xff" * 200
    run.classes.write_bytes(content)
    with pytest.raises(AgrisegError, match=r"cannot be read.*--no-resume"):
        agriseg.segment(scene, tmp_path, model=Counting(), chip=32)
    again = agriseg.segment(scene, tmp_path, model=Counting(), chip=32, resume=False)
    assert again.classes.read_bytes() == found["classes.tif"]
    assert again.segments is not None


def test_files_of_others_are_left_alone(scene: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "segments.gpkg").write_bytes(b"mine")
    agriseg.segment(scene, tmp_path, model=Smooth(), chip=32, polygons=False)
    assert (folder / "segments.gpkg").read_bytes() == b"mine"


def test_work_on_the_polygons_is_not_lost_without_a_word(scene: Path, tmp_path: Path) -> None:
    run = agriseg.segment(scene, tmp_path, model=Counting(), chip=32)
    with open(run.segments, "ab") as file:
        file.write(b"edited")
    job = prepare(open_scene(scene), Counting(), run.path, SegmentOptions(chip=32))
    assert any("was changed since it was made" in line for line in job.warnings)


def test_borders_found_beside_the_prediction_are_used(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SegmentOptions(chip=16, overlap=6, swaths=2)
    job = prepare(open_scene(scene), Smooth(), tmp_path / "out" / "scene", options)
    job.ledger.create()
    for swath in reversed(list(job.plan)):
        run_swath(job, swath)
    names = {path.stem for path in job.ledger.folder.glob("*.borders")}
    assert names == {piece.path.stem for piece in job.ledger.pieces()}
    assert {name.partition("-")[0] for name in names} == {"row", "body", "seam"}

    def never(*args: object) -> None:
        raise AssertionError("traced again")

    monkeypatch.setattr("agriseg.runs.ledger._trace", never)
    agriseg.segment(scene, tmp_path / "out", model=Smooth(), chip=16, overlap=6, swaths=2)


def test_rows_that_are_made_anew_take_their_borders_along(tmp_path: Path) -> None:
    grid = ChipGrid(16, 20, 16, 0)
    ledger = Ledger(tmp_path / "rows", grid)
    ledger.create()
    for value in (0, 1):
        planes = np.full((2, 16, 20), value, np.uint8)
        rows = FinishedRows(grid.finished_by(0), planes)
        ledger.store(0, rows, np.ones((16, 20), bool), None, None)
        ledger.trace(0)
        (strip,) = ledger.borders()
        assert strip.regions.value.tolist() == [value]
