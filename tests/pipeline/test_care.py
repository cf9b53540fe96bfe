"""A run takes care of what is not its own, and of what went wrong before it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import agriseg
from agriseg.errors import ModelError, OptionError, OutputError
from agriseg.raster.whole_file import HOST
from tests.support import (
    Identity,
    Smooth,
    class_field,
    identity_card,
    leftovers,
    read_classes,
    result_bytes,
    write_raster,
)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "scene.tif", class_field(90, 50), descriptions=["red"])


@pytest.mark.parametrize("name", ["classes", "confidence", "probabilities"])
def test_an_input_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / "field").mkdir()
    path = tmp_path / "field" / f"{name}.tif"
    write_raster(path, class_field(20, 20), descriptions=["red"])
    before = path.read_bytes()
    with pytest.raises(OutputError, match="would be overwritten"):
        agriseg.segment(path, tmp_path, model=Identity(), name="field")
    vrt = tmp_path / "field.vrt"
    with rasterio.open(path) as dataset:
        rasterio.shutil.copy(dataset, vrt, driver="VRT")
    with pytest.raises(OutputError, match="would be overwritten"):
        agriseg.segment(vrt, tmp_path, model=Identity(), bands="red")
    assert path.read_bytes() == before


def test_files_of_others_stay(tmp_path: Path, scene: Path) -> None:
    folder = tmp_path / "out" / "scene"
    (folder / "rows-2024").mkdir(parents=True)
    (folder / "rows-2024" / "survey.shp").write_text("mine")
    (folder / ".B04.jp2.partial").write_text("on its way")
    mine = folder / f".survey.tif.{HOST}.{2**22}.0123abcd.part"
    mine.write_text("not agriseg's")
    dead = folder / f".classes.tif.{HOST}.{2**22 + 1}.0123abcd.part"
    dead.write_text("left by a run that was killed")
    agriseg.segment(scene, tmp_path / "out", model=Smooth())
    assert (folder / "rows-2024" / "survey.shp").exists()
    assert (folder / ".B04.jp2.partial").exists()
    assert mine.exists()
    assert not dead.exists()


def test_a_folder_of_bands_can_hold_its_own_map(tmp_path: Path) -> None:
    (tmp_path / "flight").mkdir()
    for role in ("red", "nir"):
        write_raster(tmp_path / "flight" / f"{role}.tif", class_field(20, 20))
    model = Identity()
    first = agriseg.segment(tmp_path / "flight", tmp_path, model=model)
    again = agriseg.segment(tmp_path / "flight", tmp_path, model=model)
    assert isinstance(first, agriseg.Run)
    assert isinstance(again, agriseg.Run)
    assert first.path == tmp_path / "flight"
    assert again.resumed


def _stopped(scene: Path, out: Path, at: int = 20, **options: Any) -> Path:
    calls: list[int] = []

    class Failing(Smooth):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            calls.append(1)
            if len(calls) == at:
                raise RuntimeError("stop")
            return super().__call__(batch)

    with pytest.raises(RuntimeError, match="stop"):
        agriseg.segment(scene, out, model=Failing(), chip=16, overlap=4, **options)
    (ledger,) = (out / "scene").glob("rows-*")
    return ledger


@pytest.mark.parametrize("lost", ["row-000001.tif", "row-000002.tif", "lower-*.safetensors"])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_ledger_that_lost_a_file_heals(tmp_path: Path, scene: Path, lost: str, how: str) -> None:
    agriseg.segment(scene, tmp_path / "plain", model=Smooth(), chip=16, overlap=4)
    ledger = _stopped(scene, tmp_path / "out")
    (path,) = ledger.glob(lost)
    path.unlink()
    if how == "empty":
        path.touch()
    run = agriseg.segment(scene, tmp_path / "out", model=Smooth(), chip=16, overlap=4)
    assert isinstance(run, agriseg.Run)
    assert result_bytes(run.path) == result_bytes(tmp_path / "plain" / "scene")
    assert leftovers(run.path) == []


@pytest.mark.parametrize("damaged", ["row-000001.tif", "lower-*.safetensors"])
def test_a_damaged_file_of_the_ledger_is_told_and_made_anew(
    tmp_path: Path, scene: Path, damaged: str
) -> None:
    ledger = _stopped(scene, tmp_path)
    (path,) = ledger.glob(damaged)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(OutputError, match=r"damaged.*same command again"):
        agriseg.segment(scene, tmp_path, model=Smooth(), chip=16, overlap=4)
    run = agriseg.segment(scene, tmp_path, model=Smooth(), chip=16, overlap=4)
    assert isinstance(run, agriseg.Run)
    agriseg.segment(scene, tmp_path / "plain", model=Smooth(), chip=16, overlap=4)
    assert result_bytes(run.path) == result_bytes(tmp_path / "plain" / "scene")


@pytest.mark.parametrize(
    "change",
    [{"skip_unreadable": True}, {"about": {"client": "A"}}, {"swaths": 3}],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_no_pixel_keeps_the_rows(
    tmp_path: Path, scene: Path, change: dict[str, Any]
) -> None:
    _stopped(scene, tmp_path)
    run = agriseg.segment(scene, tmp_path, model=Smooth(), chip=16, overlap=4, **change)
    assert isinstance(run, agriseg.Run)
    assert run.record["rows_from_earlier_run"] >= 3


def test_another_spelling_of_the_path_is_the_same_run(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agriseg.segment(scene, tmp_path / "out", model=Smooth())
    monkeypatch.chdir(tmp_path)
    again = agriseg.segment("./scene.tif", "out", model=Smooth())
    assert isinstance(again, agriseg.Run)
    assert again.resumed


def test_a_source_behind_two_vrts_or_in_an_archive_is_watched(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "t.tif", class_field(20, 20), descriptions=["red"])
    rasterio.shutil.copy(str(path), str(tmp_path / "inner.vrt"), driver="VRT")
    rasterio.shutil.copy(str(tmp_path / "inner.vrt"), str(tmp_path / "outer.vrt"), driver="VRT")
    archive = tmp_path / "z.zip"

    def pack() -> None:
        with zipfile.ZipFile(archive, "w") as file:
            file.write(path, "t.tif")

    pack()
    inputs = [tmp_path / "outer.vrt", f"/vsizip/{archive}/t.tif"]
    for source in inputs:
        agriseg.segment(source, tmp_path / "out", model=Identity(), bands="red")
    write_raster(path, class_field(20, 20, seed=5), descriptions=["red"])
    pack()
    for source in inputs:
        run = agriseg.segment(source, tmp_path / "out", model=Identity(), bands="red")
        assert isinstance(run, agriseg.Run)
        assert not run.resumed, source
        np.testing.assert_array_equal(read_classes(run.classes), class_field(20, 20, seed=5)[0])


def test_another_inputs_map_is_not_replaced_without_a_word(tmp_path: Path, scene: Path) -> None:
    agriseg.segment(scene, tmp_path / "out", model=Smooth())
    other = tmp_path / "north" / "scene.tif"
    other.parent.mkdir()
    write_raster(other, class_field(30, 30), descriptions=["red"])
    run = agriseg.segment(other, tmp_path / "out", model=Smooth())
    assert isinstance(run, agriseg.Run)
    assert "which is replaced" in run.record["warnings"][-1]


def test_the_ledger_of_a_living_run_is_left_alone(tmp_path: Path, scene: Path) -> None:
    ledger = _stopped(scene, tmp_path)
    (ledger / f"owner.{HOST}.{os.getpid()}").rename(ledger / f"owner.{HOST}.{os.getppid()}")
    with pytest.raises(OutputError, match=rf"at work in .* \(process {os.getppid()}\)"):
        agriseg.segment(scene, tmp_path, model=Smooth(), chip=24)
    assert ledger.exists()
    (ledger / f"owner.{HOST}.{os.getppid()}").unlink()
    agriseg.segment(scene, tmp_path, model=Smooth(), chip=20)
    assert not ledger.exists()


@pytest.mark.parametrize("first_bad", [1, 4])
def test_nan_from_a_network_is_never_a_class(tmp_path: Path, scene: Path, first_bad: int) -> None:
    calls: list[int] = []

    class Broken(Smooth):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            calls.append(1)
            out = super().__call__(batch)
            if len(calls) >= first_bad:
                out[:, 1, 5, 5] = np.nan
            return out

    with pytest.raises(ModelError, match="NaN"):
        agriseg.segment(scene, tmp_path, model=Broken(), chip=16, overlap=4)
    assert not (tmp_path / "scene" / "classes.tif").exists()


def test_absurd_numbers_are_no_measurement(tmp_path: Path) -> None:
    data = class_field(20, 20)
    data[0, 3, 4], data[0, 7, 8] = -3.4e38, 2e30
    path = write_raster(tmp_path / "scene.tif", data, descriptions=["red"])
    run = agriseg.segment(path, tmp_path, model=Identity())
    assert isinstance(run, agriseg.Run)
    classes = read_classes(run.classes)
    assert (classes == 255).sum() == 2
    assert classes[3, 4] == classes[7, 8] == 255


@pytest.mark.parametrize("bad_row", [0, 1])
@pytest.mark.parametrize("swaths", [1, 2])
def test_beside_a_skipped_chip_confidence_is_whole_or_nothing(
    tmp_path: Path, bad_row: int, swaths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agriseg.errors import ReadError
    from agriseg.geobox import Window
    from agriseg.raster import SceneReader

    fetch = SceneReader.fetch

    def fail(self: SceneReader, window: Window) -> Any:
        if window.row_off == bad_row * 12 and window.height == 16 and window.col_off == 12:
            raise ReadError(f"scene.tif: {window} cannot be read")
        return fetch(self, window)

    path = write_raster(tmp_path / "scene.tif", class_field(28, 40), descriptions=["red"])
    monkeypatch.setattr(SceneReader, "fetch", fail)
    run = agriseg.segment(path, tmp_path, model=Identity(), skip_unreadable=True, swaths=swaths)
    assert isinstance(run, agriseg.Run)
    with rasterio.open(run.confidence) as dataset:
        confidence = dataset.read(1)
    assert set(np.unique(confidence)) == {200, 255}
    lost = np.zeros((28, 40), bool)
    lost[bad_row * 12 : bad_row * 12 + 16, 12:28] = True
    np.testing.assert_array_equal(confidence == 255, lost)


def test_rows_without_their_chips_are_not_reused_by_a_run_that_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agriseg.runs import Ledger

    scene = write_raster(tmp_path / "scene.tif", class_field(90, 50), descriptions=["red"])
    ledger = _stopped(scene, tmp_path, skip_unreadable=True)
    (ledger / "unreadable-000000.json").write_text('["a chip"]')
    seen = []
    missing = Ledger.missing

    def watch(self: Ledger, rows: Any) -> list[int]:
        found = missing(self, rows)
        seen.append(found)
        return found

    monkeypatch.setattr(Ledger, "missing", watch)
    run = agriseg.segment(scene, tmp_path, model=Smooth(), chip=16, overlap=4)
    assert isinstance(run, agriseg.Run)
    assert run.record["rows_from_earlier_run"] == 0
    assert run.record["unreadable"] == []


@pytest.mark.parametrize("facts", [{"acc": np.float32(0.9)}, {"acc": float("nan")}])
def test_facts_that_json_cannot_hold_are_told_at_once(
    tmp_path: Path, scene: Path, facts: dict[str, Any]
) -> None:
    class Talkative(Smooth):
        def about(self) -> dict[str, Any]:
            return facts

    with pytest.raises(ModelError, match="JSON"):
        agriseg.segment(scene, tmp_path / "out", model=Talkative())
    assert not (tmp_path / "out").exists()


def test_a_predictor_that_changes_its_mind(tmp_path: Path, scene: Path) -> None:
    calls: list[int] = []

    class Fickle(Smooth):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            calls.append(1)
            return super().__call__(batch)[:, :, : 9 if len(calls) > 3 else None]

    with pytest.raises(ModelError, match="expected is"):
        agriseg.segment(scene, tmp_path, model=Fickle(), chip=16)


def test_chips_are_whole_numbers(tmp_path: Path, scene: Path) -> None:
    with pytest.raises(OptionError, match="whole number"):
        agriseg.segment(scene, tmp_path, model=Smooth(), chip=64.0)  # type: ignore[typeddict-item]


def test_settings_of_the_caller_reach_the_reading_thread(tmp_path: Path) -> None:
    """rasterio's settings belong to a thread, except those that the main thread makes."""
    import threading

    data = class_field(20, 20)
    path = write_raster(tmp_path / "scene.tif", data, descriptions=["red"])
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.zeros((20, 20), bool))
    shares: list[float] = []

    def run() -> None:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
            made = agriseg.segment(path, tmp_path / "out", model=Identity(identity_card()))
        assert isinstance(made, agriseg.Run)
        shares.append(float((read_classes(made.classes) != 255).mean()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        expected = float(agriseg.open_scene(path).read().valid.mean())
    assert shares == [expected]
