"""The verb: files whole or not at all, the same bytes however the work is cut, and true."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from rasterio._err import CPLE_AppDefinedError

import agriseg
from agriseg.errors import AgrisegError, OptionError, OutputError
from agriseg.raster.whole_file import HOST
from agriseg.simulate import LEGEND, FieldRecipe, rasters, scene
from agriseg.simulate.drawing import Work
from agriseg.simulate.recipe_file import read_recipe
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.scene import Plan, Simulated, draw, outputs_of
from agriseg.simulate.spectra import SENSORS

CONFIGS = sorted(
    path
    for path in (Path(__file__).parents[2] / "configs").glob("*.yaml")
    if "kind:" not in path.read_text()
)
SMALL = FieldRecipe(
    seed=11, width=311, height=533, border_m=0.25, weeds_per_m2=6.0, row_direction_deg=17.0
)

OUTPUTS = outputs_of(SMALL)


class Told:
    """What a listener heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.pixels = 0
        self.plan: Plan | None = None
        self.made: Simulated | None = None

    def begin(self, plan: Plan) -> None:
        self.heard.append("begin")
        self.plan = plan

    def advance(self, pixels: int) -> None:
        self.pixels += pixels

    def assembling(self) -> None:
        self.heard.append("assembling")

    def end(self, made: Simulated) -> None:
        self.heard.append("end")
        self.made = made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    folder = tmp_path_factory.mktemp("simulated") / "a" / "field"
    told = Told()
    draw(SMALL, folder, told, threads=2)
    return folder, told


def test_all_files_are_there_and_no_other(made: tuple[Path, Told]) -> None:
    folder, told = made
    assert sorted(path.name for path in folder.iterdir()) == sorted(OUTPUTS)
    assert told.heard == ["begin", "assembling", "end"]
    assert told.pixels == SMALL.width * SMALL.height
    assert told.plan is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) < told.plan.cost.disk_bytes


def test_another_cut_of_the_work_gives_the_same_bytes(
    made: tuple[Path, Told], tmp_path: Path
) -> None:
    draw(SMALL, tmp_path, Told(), block=190, threads=1)
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes(), name


def test_workers_give_the_same_bytes(made: tuple[Path, Told], tmp_path: Path) -> None:
    told = Told()
    draw(SMALL, tmp_path, told, block=256, workers=2)
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes(), name
    assert told.heard == made[1].heard
    assert told.pixels == SMALL.width * SMALL.height
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(OUTPUTS)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_a_worker_that_dies_leaves_nothing_behind(tmp_path: Path) -> None:
    class Killer(Told):
        def advance(self, pixels: int) -> None:
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(AgrisegError, match=r"SIGKILL.*use fewer workers \(--workers\)"):
        draw(SMALL, tmp_path, Killer(), block=128, workers=2)
    assert not list(tmp_path.iterdir())
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, -2, 1000])
def test_a_number_of_workers_that_makes_no_sense_is_told(workers: int, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=f"workers is {workers}; 1 to"):
        agriseg.simulate(SMALL, tmp_path / "new", workers=workers)
    assert not (tmp_path / "new").exists()


def test_the_cost_tells_of_workers() -> None:
    large = replace(SMALL, width=20_000, height=2_000)
    for recipe in (large, SatelliteRecipe(width=20_000, height=2_000)):
        drawing = scene.DRAWINGS[type(recipe)]
        alone, two, four = (drawing.cost(recipe, Work(2, workers)) for workers in (1, 2, 4))
        assert two.memory_bytes < four.memory_bytes
        assert alone.memory_bytes < four.memory_bytes
        assert two.disk_bytes == pytest.approx(alone.disk_bytes)
        assert 0.5e9 < two.memory_bytes < 2e9


def test_the_recipe_left_behind_makes_the_same_again(
    made: tuple[Path, Told], tmp_path: Path
) -> None:
    """In another process: nothing hangs on this one's state."""
    code = f"import agriseg; agriseg.simulate({str(made[0] / 'recipe.yaml')!r}, {str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes(), name


def test_the_scene_opens_without_options(made: tuple[Path, Told]) -> None:
    opened = agriseg.open_scene(made[0] / "scene.tif")
    bands = SENSORS[SMALL.sensor]
    assert opened.geobox == SMALL.geobox
    for band in bands:
        assert opened.has(band.role)
    assert opened.radiometry.level == "reflectance"
    with (
        rasterio.open(made[0] / "scene.tif") as image,
        rasterio.open(made[0] / "labels.tif") as labels,
    ):
        assert (image.count, image.nodata, labels.nodata) == (len(bands), 65535, 255)
        assert image.shape == labels.shape
        assert image.overviews(1)
        assert np.array_equal(image.read(1) == 65535, labels.read(1) == 255)
        for label in LEGEND:
            assert labels.colormap(1)[label.value][:3] == label.rgb


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_camera_is_recognised(sensor: str, tmp_path: Path) -> None:
    recipe = {"sensor": sensor, "width": 40, "height": 30, "border_m": 0.0}
    opened = agriseg.simulate(recipe, tmp_path)
    for band in SENSORS[sensor]:
        assert opened.has(band.role)
    assert opened.radiometry.level == "reflectance"


def test_labels_become_polygons_with_names(made: tuple[Path, Told]) -> None:
    found = agriseg.vectorize(made[0] / "labels.tif")
    assert set(found["class_name"]) == {"soil", "crop", "weed"}


def test_the_scene_is_segmented(made: tuple[Path, Told], tmp_path: Path) -> None:
    """Plants by their index are plants by their label."""
    run = agriseg.segment(made[0] / "scene.tif", tmp_path, polygons=False)
    with rasterio.open(run.classes) as raster, rasterio.open(made[0] / "labels.tif") as labels:
        found, true = raster.read(1), labels.read(1)
    valid = (found != 255) & (true != 255)
    assert ((found[valid] > 0) == (true[valid] > 0)).mean() > 0.9


def test_plants_are_greener_than_soil(made: tuple[Path, Told]) -> None:
    roles = [band.role for band in SENSORS[SMALL.sensor]]
    with (
        rasterio.open(made[0] / "scene.tif") as image,
        rasterio.open(made[0] / "labels.tif") as labels,
    ):
        data, true = image.read().astype(float), labels.read(1)
    red, nir = data[roles.index("red")], data[roles.index("nir")]
    ndvi = (nir - red) / (nir + red)
    assert np.median(ndvi[true == 1]) > 0.6
    assert np.median(ndvi[true == 2]) > 0.4
    assert np.median(ndvi[true == 0]) < 0.3
    told = made[1].made
    assert told is not None
    assert told.found.pixels == {label.name: int((true == label.value).sum()) for label in LEGEND}


def test_plants_stand_on_their_pixels(made: tuple[Path, Told]) -> None:
    plants = gpd.read_file(made[0] / "stems.gpkg", layer="stems")
    assert plants.crs == SMALL.geobox.crs
    assert set(plants["class_name"]) == {"crop", "weed"}
    with rasterio.open(made[0] / "labels.tif") as labels:
        true = labels.read(1)
    columns, rows = ~SMALL.geobox.transform @ (
        plants.geometry.x.to_numpy(),
        plants.geometry.y.to_numpy(),
    )
    at = true[np.floor(rows).astype(int), np.floor(columns).astype(int)]
    assert (at != 255).all()
    crop = plants["class_id"] == 1
    assert (at[crop] == 1).mean() > 0.6
    assert plants["visible"][crop].mean() > 0.95
    # One crop plant in 0.42 x 0.75 m, less the gaps; this many weeds, more in patches.
    area = (true != 255).sum() * SMALL.gsd_m**2
    assert 0.7 < crop.sum() / area * 0.42 * 0.75 < 1.05
    assert 1.0 < (~crop).sum() / area < 20.0


def test_rows_run_as_the_recipe_says(tmp_path: Path) -> None:
    recipe = replace(
        SMALL, width=1000, height=40, border_m=0.0, row_direction_deg=-70.0, gsd_m=0.05
    )
    draw(recipe, tmp_path, Told())
    rows = gpd.read_file(tmp_path / "rows.gpkg", layer="rows")
    numbers = rows["row"].to_numpy()
    assert np.array_equal(np.sort(numbers), np.arange(numbers.min(), numbers.min() + len(rows)))
    begins, ends = (np.array([line.geoms[k].coords[k] for line in rows.geometry]) for k in (0, -1))
    whole = rows["length_m"] > 1.9
    along = (ends - begins)[whole]
    # North up: clockwise from the columns is a negative angle.
    turn = np.degrees(np.arctan2(-along[:, 1], along[:, 0]))
    assert np.abs(np.median(turn) + 70.0) < 12.0  # the driver's sway
    middle = shapely.LineString(
        [(recipe.left_m, recipe.top_m - 1), (recipe.left_m + 50, recipe.top_m - 1)]
    )
    cuts = np.sort(
        [shapely.intersection(line, middle).x for line in rows.geometry if line.intersects(middle)]
    )
    assert np.median(np.diff(cuts)) * np.sin(np.radians(70)) == pytest.approx(0.75, rel=0.04)
    plants = gpd.read_file(tmp_path / "stems.gpkg")
    crop = plants[plants["class_id"] == 1]
    assert crop["off_row_m"].abs().max() < 0.1
    lines = rows.set_index("row").geometry
    pairs = zip(crop["row"], crop.geometry, strict=True)
    far = [lines[k].distance(point) for k, point in pairs if k in lines.index]
    assert len(far) > 0.9 * len(crop)
    assert np.quantile(far, 0.95) < 0.08


def test_the_outline_is_that_of_the_pixels(made: tuple[Path, Told]) -> None:
    field = gpd.read_file(made[0] / "field.gpkg", layer="field")
    assert len(field) == 1
    with rasterio.open(made[0] / "labels.tif") as labels:
        true = labels.read(1)
        burnt = rasterio.features.rasterize(
            field.geometry, out_shape=true.shape, transform=labels.transform
        )
    assert np.array_equal(burnt == 1, true != 255)
    assert field["area_m2"][0] == pytest.approx((true != 255).sum() * 0.0004)
    assert field["crop_m2"][0] == pytest.approx((true == 1).sum() * 0.0004)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_draws_crop_weeds_and_soil(config: Path, tmp_path: Path) -> None:
    told = Told()
    opened = agriseg.simulate(config, tmp_path, width=420, height=300, listener=told)
    assert (opened.geobox.width, opened.geobox.height) == (420, 300)
    assert told.made is not None
    counts = told.made.found.pixels
    assert all(counts[name] > 20 for name in LEGEND.names), counts
    assert read_recipe(tmp_path / "recipe.yaml") == told.made.recipe


def test_configs_differ() -> None:
    assert len(CONFIGS) >= 4
    assert len({read_recipe(path) for path in CONFIGS}) == len(CONFIGS)


def test_seeds_make_different_fields_of_one_kind(tmp_path: Path) -> None:
    pixels = []
    for seed in (1, 2):
        agriseg.simulate({"width": 120, "height": 90, "border_m": 0.0}, tmp_path, seed=seed)
        with rasterio.open(tmp_path / "labels.tif") as labels:
            pixels.append(labels.read(1))
    assert (pixels[0] != pixels[1]).mean() > 0.1
    assert read_recipe(tmp_path / "recipe.yaml").seed == 2


@pytest.mark.parametrize("moment", ["render", "copy_cog", "write_cog"])
def test_a_fault_in_the_middle_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (tmp_path / "scene.tif").write_text("an older scene")
    real, calls = getattr(rasters, moment), []

    def fails(*arguments: object, **keywords: object) -> object:
        calls.append(1)
        if moment != "render" or len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(*arguments, **keywords)

    monkeypatch.setattr(rasters, moment, fails)
    with pytest.raises(OutputError, match=r"cannot be written: No space left"):
        draw(SMALL, tmp_path, Told())
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]
    assert (tmp_path / "scene.tif").read_text() == "an older scene"


def test_a_disk_that_fills_up_while_files_are_assembled_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise CPLE_AppDefinedError(1, 1, "TIFFAppendToStrip: write error at scanline 5")

    monkeypatch.setattr(rasterio.shutil, "copy", full)
    with pytest.raises(OutputError, match=r"cannot be written") as caught:
        draw(SMALL, tmp_path, Told())
    assert ".simulating" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_scene_of_another_kind_takes_the_place_of_the_first(tmp_path: Path) -> None:
    draw(SMALL, tmp_path, Told())
    (tmp_path / "scene.tif.aux.xml").write_text("statistics of the old one")
    (tmp_path / "notes.txt").write_text("mine")
    made = draw(SatelliteRecipe(width=40, height=32), tmp_path, Told())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*made.files, "notes.txt"])


def test_what_a_killed_run_left_goes_away(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".simulating-{HOST}.{dead.pid}.0123abcd"
    left.mkdir()
    (left / "plain.tif").write_text("half")
    other = tmp_path / ".simulating-elsewhere.1.0123abcd"
    other.mkdir()
    draw(FieldRecipe(width=40, height=30, border_m=0.0), tmp_path, Told())
    assert not left.exists()
    assert other.exists()


def test_a_disk_that_is_too_small_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(scene.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"room; 311 x 533 pixels need about"):
        draw(SMALL, tmp_path, Told())
    assert not list(tmp_path.iterdir())


def test_a_border_wider_than_the_field_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"border_m is 5.0, which leaves nothing"):
        agriseg.simulate({"border_m": 5.0, "width": 100, "height": 100}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_memory_does_not_grow_with_the_height(tmp_path: Path) -> None:
    """The tall field would take another 160 MB if what rendering holds were kept."""
    code = (
        "import resource, sys, agriseg\n"
        "from agriseg.simulate import plant_files\n"
        "plant_files._TRACED_ROWS = 512  # else either is traced in one piece\n"
        "recipe = {'width': 160, 'height': int(sys.argv[1]), 'border_m': 0.1}\n"
        "agriseg.simulate(recipe, sys.argv[2])\n"
        "from agriseg.machine import peak_bytes; print(peak_bytes() // 1024)"
    )
    peaks = []
    for height in (1024, 3584):
        done = subprocess.run(
            [sys.executable, "-c", code, str(height), str(tmp_path)],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        peaks.append(int(done.stdout) / 1024)
    # Up to 64 MB of vertices wait to be written in one go.
    assert peaks[1] < peaks[0] + 80


def test_package_and_verb_are_one() -> None:
    """Python sets the attribute to the package when any part of it is loaded."""
    assert agriseg.simulate is sys.modules["agriseg.simulate"]
    assert callable(agriseg.simulate)
