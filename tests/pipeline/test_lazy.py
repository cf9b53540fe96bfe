"""A lazy map must be what `segment` writes, byte for byte, whichever part of it is computed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import rasterio
import xarray
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

import agriseg
from agriseg.errors import AgrisegError, BandError, InputError, ModelError, OptionError
from agriseg.geobox import Window
from agriseg.models import BandInput
from agriseg.tiling import ChipGrid
from tests.pipeline.test_network import save_network
from tests.support import (
    LEGEND,
    NORTH_UP,
    ROOT,
    UTM,
    Identity,
    Smooth,
    class_field,
    identity_card,
    write_raster,
)

TWO = identity_card(bands=(BandInput("red"), BandInput("nir")))


@pytest.fixture(autouse=True)
def _threads() -> Any:
    with dask.config.set(scheduler="threads", num_workers=3):
        yield


def rough(height: int, width: int, bands: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((bands, height, width), np.float32) * 1.4


def scene_of(folder: Path, data: np.ndarray, **raster: Any) -> agriseg.Scene:
    names = ["red", "nir", "green"][: len(data)]
    raster = {"descriptions": names, **raster}
    return agriseg.open_scene(write_raster(folder / "field.tif", data, **raster), scale=1)


def segmented(
    folder: Path, scene: agriseg.Scene, model: Any, **options: Any
) -> dict[str, np.ndarray]:
    """The bytes of the rasters that `segment` writes."""
    options = {"polygons": False, "resume": False, **options}
    run = agriseg.segment(scene, folder / "out", model=model, fields=False, qgis=False, **options)
    assert isinstance(run, agriseg.Run)
    found = {}
    for name in ("classes", "confidence", "probabilities"):
        path = run.path / f"{name}.tif"
        if path.exists():
            with rasterio.open(path) as dataset:
                found[name] = dataset.read() if name == "probabilities" else dataset.read(1)
    return found


def as_bytes(lazy: xarray.Dataset) -> dict[str, np.ndarray]:
    """A computed map as the bytes of its rasters."""
    found = {"classes": lazy["classes"].values}
    assert found["classes"].dtype == np.uint8
    for name in set(lazy) & {"confidence", "probabilities"}:
        values = lazy[name].values
        assert values.dtype == np.float32
        steps = np.where(np.isnan(values), 255, np.rint(values * 200))
        assert np.array_equal(steps[steps < 255] / np.float32(200), values[steps < 255])
        found[str(name)] = steps.astype(np.uint8)
    return found


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def ways(array: xarray.DataArray) -> list[xarray.DataArray]:
    """An array read from its files, and two that are taken by their chunks."""
    return [array, array.chunk({"y": 7, "x": 13}), array.load().chunk({"band": 1, "y": 11})]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    size=st.integers(1, 24),
    overlap_share=st.floats(0, 0.5),
    chunk=st.integers(1, 70),
    batch=st.integers(1, 3),
    seed=st.integers(0, 99),
    holes=st.floats(0, 1),
    from_files=st.booleans(),
    data=st.data(),
)
def test_any_size_chip_overlap_chunks_and_part(
    tmp_path: Path,
    height: int,
    width: int,
    size: int,
    overlap_share: float,
    chunk: int,
    batch: int,
    seed: int,
    holes: float,
    from_files: bool,
    data: st.DataObject,
) -> None:
    pixels = rough(height, width, seed=seed)
    pixels[:, np.random.default_rng(seed).random((height, width)) < holes**3] = np.nan
    scene = scene_of(tmp_path, pixels)
    model = Smooth(TWO, batch=batch)
    how = {"chip": size, "overlap": int(size * overlap_share), "probabilities": True}
    array = scene.to_xarray(chunks=chunk)
    lazy = agriseg.predict(array if from_files else array + 0, model, **how)
    expected = segmented(tmp_path, scene, model, **how)
    assert_same(as_bytes(lazy.compute()), expected)
    top = data.draw(st.integers(0, height - 1))
    rows = slice(top, data.draw(st.integers(top + 1, height)))
    part = as_bytes(lazy.isel(y=rows).compute())
    assert_same(part, {name: values[..., rows, :] for name, values in expected.items()})


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        pytest.param(UTM, NORTH_UP, id="north up"),
        pytest.param(UTM, NORTH_UP @ Affine.rotation(23.4), id="turned"),
        pytest.param(UTM, Affine(0.5, 0, 5e5, 0, 0.5, 5.3e6), id="south up"),
        pytest.param(CRS.from_epsg(4326), Affine(1e-7, 0, 11.1, 0, -1e-7 / 3, 48.1), id="lonlat"),
        pytest.param(
            CRS.from_epsg(4326),
            Affine(1e-7, 0, 11.1, 0, -1e-7, 48.1) @ Affine.rotation(20),
            id="lonlat turned",
        ),
        pytest.param(None, Affine.identity(), id="nothing"),
    ],
)
def test_every_georeference(tmp_path: Path, crs: CRS | None, transform: Affine) -> None:
    scene = scene_of(tmp_path, rough(41, 37), crs=crs, transform=transform)
    expected = segmented(tmp_path, scene, Smooth(TWO))
    for array in ways(scene.to_xarray(chunks=20)):
        lazy = agriseg.predict(array, Smooth(TWO))
        assert lazy.rio.crs == crs
        assert lazy.rio.transform() == array.rio.transform()
        assert_same(as_bytes(lazy.compute()), expected)


@pytest.mark.parametrize("shape", [(61, 50), (9, 14), (40, 1), (1, 40), (1, 1), (12, 16)])
def test_identity_gives_the_raster_back(tmp_path: Path, shape: tuple[int, int]) -> None:
    data = class_field(*shape)
    scene = scene_of(tmp_path, data)
    for array in ways(scene.to_xarray(chunks=10)):
        found = agriseg.predict(array, Identity()).compute()
        np.testing.assert_array_equal(found["classes"], data[0])
        assert (found["confidence"] == 1).all()


@pytest.mark.parametrize("rows", [slice(None), slice(0, 20), slice(17, 33), slice(40, 61)])
def test_nodata(tmp_path: Path, rows: slice) -> None:
    data = rough(61, 50)
    data[:, rows] = -9999
    data[0, :, 20:23] = -9999
    scene = scene_of(tmp_path, data, nodata=-9999)
    expected = segmented(tmp_path, scene, Smooth(TWO))
    assert (expected["classes"][rows] == 255).all()
    for array in ways(scene.to_xarray(chunks=10)):
        assert_same(as_bytes(agriseg.predict(array, Smooth(TWO)).compute()), expected)
    whole = xarray.DataArray(data, dims=("band", "y", "x")).rio.write_nodata(-9999)
    found = agriseg.predict(whole, Smooth(TWO), bands="red,nir", transform=NORTH_UP)
    assert_same(as_bytes(found.compute()), expected)


def test_bands_beside_the_models_have_no_say(tmp_path: Path) -> None:
    data = (rough(33, 30, bands=3) * 60 + 1).astype(np.uint8)
    data[:2, 5:9] = 0  # missing where both bands of the model are
    data[2, 20:25] = 0  # not missing
    scene = scene_of(tmp_path, data, nodata=0)
    expected = segmented(tmp_path, scene, Smooth(TWO))
    assert (expected["classes"] == 255).sum() == 4 * 30
    assert_same(as_bytes(agriseg.predict(scene.to_xarray(), Smooth(TWO)).compute()), expected)


def test_resampled_scenes_and_parts_of_scenes(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, rough(80, 70))
    for view in (scene.at_gsd(0.033), scene.at_gsd(0.013), scene.crop(Window(3, 7, 50, 60))):
        expected = segmented(tmp_path, view, Smooth(TWO))
        lazy = agriseg.predict(view.to_xarray(chunks=17), Smooth(TWO))
        assert_same(as_bytes(lazy.compute()), expected)
    part = scene.to_xarray(chunks=17)[:, 7:67, 3:53]
    assert_same(as_bytes(agriseg.predict(part, Smooth(TWO)).compute()), expected)


class Counting(Smooth):
    """Counts the chips that it was called with."""

    calls: list[int]

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.calls.append(len(batch))
        return super().__call__(batch)


def counting() -> Counting:
    model = Counting(TWO)
    object.__setattr__(model, "calls", [])
    return model


def test_nothing_is_predicted_twice(tmp_path: Path) -> None:
    scene, grid = scene_of(tmp_path, rough(100, 40)), ChipGrid(100, 40, 16, 4)
    for array in ways(scene.to_xarray(chunks=9)):
        model = counting()
        lazy = agriseg.predict(array, model, probabilities=True)
        assert not model.calls
        lazy.compute()
        assert len(model.calls) == len(grid)


def test_a_part_predicts_the_chip_rows_that_it_needs(tmp_path: Path) -> None:
    scene, grid = scene_of(tmp_path, rough(100, 40)), ChipGrid(100, 40, 16, 4)
    for array in ways(scene.to_xarray(chunks=9)):
        for rows, chip_rows in ((slice(18, 24), 1), (slice(16, 25), 2), (slice(12, 16), 2)):
            model = counting()
            agriseg.predict(array, model)["classes"][rows].compute()
            assert len(model.calls) == chip_rows * grid.cols


def test_a_lone_predictor_is_never_called_from_two_threads(tmp_path: Path) -> None:
    scene, inside = scene_of(tmp_path, rough(100, 40)), []

    class Lone(Smooth):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            inside.append(1)
            assert len(inside) == 1
            found = super().__call__(batch)
            inside.pop()
            return found

    for array in ways(scene.to_xarray(chunks=9)):
        agriseg.predict(array, Lone(TWO, seconds_per_chip=0.001)).compute()


def test_make_ready_is_called_once(tmp_path: Path) -> None:
    scene, calls = scene_of(tmp_path, rough(60, 40)), []

    class Slow(Smooth):
        def make_ready(self) -> None:
            calls.append(1)

    lazy = agriseg.predict(scene.to_xarray(), Slow(TWO))
    assert not calls
    lazy.compute()
    lazy.compute()
    assert calls == [1]


def test_what_the_map_says_of_itself(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, rough(20, 30))
    lazy = agriseg.predict(scene.to_xarray(), Smooth(TWO), probabilities=True)
    assert {name: lazy[name].dims for name in lazy} == {
        "classes": ("y", "x"),
        "confidence": ("y", "x"),
        "probabilities": ("class", "y", "x"),
    }
    assert all(dask.is_dask_collection(lazy[name]) for name in lazy)
    assert set(lazy.coords) == {"x", "y", "class", "spatial_ref"}
    assert list(lazy["class"].values) == list(LEGEND.names)
    attributes = lazy["classes"].attrs
    assert attributes["flag_values"].tolist() == [0, 1, 2]
    assert attributes["flag_meanings"] == "soil crop weed"
    assert attributes["flag_colors"] == "#c8a882 #1b6e2b #d81b9a"
    assert lazy["classes"].rio.nodata == 255
    assert lazy.attrs["model"] == "identity"
    assert lazy.attrs["scene"] == "field"
    assert (lazy.attrs["chip"], lazy.attrs["overlap"]) == (16, 4)


def test_rasters_written_from_it_hold_the_bytes_of_segment(tmp_path: Path) -> None:
    data = rough(40, 30)
    data[:, 4:9] = np.nan
    scene = scene_of(tmp_path, data)
    expected = segmented(tmp_path, scene, Smooth(TWO))
    lazy = agriseg.predict(scene.to_xarray(), Smooth(TWO))
    for name, values in expected.items():
        lazy[name].rio.to_raster(tmp_path / f"{name}.tif", recalc_transform=False)
        with rasterio.open(tmp_path / f"{name}.tif") as dataset:
            np.testing.assert_array_equal(dataset.read(1), values)
            assert dataset.nodata == 255
            assert dataset.transform == scene.geobox.transform
            assert dataset.scales == ((1,) if name == "classes" else (1 / 200,))


# Arrays from elsewhere ------------------------------------------------------------------


def test_plain_arrays(tmp_path: Path) -> None:
    data = rough(45, 33, bands=3)
    expected = segmented(tmp_path, scene_of(tmp_path, data), Smooth(TWO))
    place = {"transform": NORTH_UP, "crs": "EPSG:32633"}
    mixed = data[[2, 1, 0]]
    for array in (mixed, dask.array.from_array(mixed, chunks=(1, 10, 20)), mixed.astype(float)):
        for bands in ("green,nir,red", ["-", "nir", "red"], {"red": 3, "nir": 2}):
            lazy = agriseg.predict(array, Smooth(TWO), bands=bands, **place)
            assert lazy.rio.crs == UTM
            assert lazy.rio.transform() == NORTH_UP
            assert_same(as_bytes(lazy.compute()), expected)


def test_what_rioxarray_opens(tmp_path: Path) -> None:
    import rioxarray

    data = rough(45, 33)
    data[:, :9] = -1
    scene = scene_of(tmp_path, data, nodata=-1)
    expected = segmented(tmp_path, scene, Smooth(TWO))
    path = tmp_path / "field.tif"
    for how in ({}, {"chunks": 8}, {"chunks": True, "masked": True}):
        array = rioxarray.open_rasterio(path, **how)
        assert isinstance(array, xarray.DataArray)
        lazy = agriseg.predict(array, Smooth(TWO), bands="red,nir")
        assert_same(as_bytes(lazy.compute()), expected)
        assert lazy.rio.transform() == array.rio.transform()


def test_dims_in_another_order_and_of_other_names(tmp_path: Path) -> None:
    degrees = Affine(1e-6, 0, 11, 0, -1e-6, 48)
    scene = scene_of(tmp_path, rough(30, 20), crs=CRS.from_epsg(4326), transform=degrees)
    expected = segmented(tmp_path, scene, Smooth(TWO))
    array = scene.to_xarray().transpose("x", "band", "y")
    array = array.rename(x="longitude", y="latitude")
    lazy = agriseg.predict(array, Smooth(TWO))
    assert lazy["classes"].dims == ("latitude", "longitude")
    assert_same(as_bytes(lazy.compute()), expected)


def test_every_second_pixel_is_twice_as_large(tmp_path: Path) -> None:
    array = scene_of(tmp_path, rough(30, 20)).to_xarray()[:, ::2, ::2]
    lazy = agriseg.predict(array, Smooth(TWO))
    assert lazy.rio.resolution() == pytest.approx((0.04, -0.04))


# Models --------------------------------------------------------------------------------


def test_the_baseline_adapts_as_in_segment(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = np.where(rng.random((2, 90, 70)) < 0.4, [[[0.05]], [[0.5]]], [[[0.2]], [[0.25]]])
    data = (data + rng.normal(0, 0.02, data.shape)).astype(np.float32)
    data[:, 30:33] = np.nan
    scene = scene_of(tmp_path, data)
    for how in ({}, {"tta": "flips"}):
        expected = segmented(tmp_path, scene, "index-baseline", chip=40, overlap=8, **how)
        for array in (*ways(scene.to_xarray(chunks=50)), scene.to_xarray() * 1):
            lazy = agriseg.predict(array, "index-baseline", chip=40, overlap=8, **how)
            assert_same(as_bytes(lazy.compute()), expected)
        doubled = agriseg.predict(
            scene.to_xarray() * 1, "index-baseline", chip=40, overlap=8, scene=scene, **how
        )
        assert_same(as_bytes(doubled.compute()), expected)


def test_a_large_array_is_sampled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("agriseg.models.baseline._SAMPLE", 400)
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    scene = scene_of(tmp_path, rough(90, 70), **layout)
    expected = segmented(tmp_path, scene, "index-baseline")
    lazy = agriseg.predict(scene.to_xarray(chunks=16) * 1, "index-baseline")
    assert_same(as_bytes(lazy.compute()), expected)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_real_network(tmp_path: Path, network: Path, engine: str) -> None:
    data = rough(203, 157) / 1.4
    data[:, 60:120, 30:90] = np.nan
    scene = scene_of(tmp_path, data)
    how = {"engine": engine, "threads": 2, "batch": 2, "probabilities": True}
    expected = segmented(tmp_path, scene, network, **how)
    array = scene.to_xarray(chunks=70)
    for one in (array, array.chunk(50)):
        lazy = agriseg.predict(one, network, **how)
        assert_same(as_bytes(lazy.compute()), expected)
        some = as_bytes(lazy.isel(y=slice(100, 130)).compute())
        assert_same(some, {name: values[..., 100:130, :] for name, values in expected.items()})


def test_a_model_is_loaded_once(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, loads = scene_of(tmp_path, rough(203, 157)), []
    array = scene.to_xarray()
    lazy = agriseg.predict(array, network, engine="torch", precision="float32")
    monkeypatch.setattr("agriseg.models.reference.load_model", loads.append)
    lazy.compute()
    assert not loads


def test_a_model_that_changed_is_refused(tmp_path: Path) -> None:
    from agriseg.pipeline import lazy_model

    scene = scene_of(tmp_path, rough(70, 70))
    path = save_network(tmp_path)
    lazy = agriseg.predict(scene.to_xarray(), path, engine="torch")
    lazy_model._loaded.clear()
    save_network(tmp_path, temperature=2.0)
    with pytest.raises(ModelError, match="is another model here than where the run was started"):
        lazy.compute()


_CLUSTER = """
if __name__ == "__main__":  # each worker would import what stood above
    import sys

    import numpy as np
    from distributed import Client, LocalCluster

    import agriseg
    from agriseg.models import BandInput
    from tests.support import Smooth, identity_card

    two = identity_card(bands=(BandInput("red"), BandInput("nir")))
    scene = agriseg.open_scene(sys.argv[1], scale=1)
    array = scene.to_xarray(chunks=70)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster, Client(cluster):
        for name, given, model, how in (
            ("network", array, sys.argv[2], {"engine": "torch"}),
            ("chunks", array.chunk(60), sys.argv[2], {"engine": "torch"}),
            ("object", array, Smooth(two), {}),
            ("baseline", array + 0, "index-baseline", {"chip": 64, "overlap": 16}),
        ):
            found = agriseg.predict(given, model, **how).compute()
            np.savez(f"{sys.argv[3]}/{name}.npz", **{k: found[k].values for k in found})
"""


@pytest.mark.slow
def test_two_processes_of_distributed_give_the_same_bytes(tmp_path: Path, network: Path) -> None:
    """Slow: three interpreters start, and each loads torch."""
    data = rough(203, 157) / 1.4
    data[:, 60:120, 30:90] = np.nan
    scene = scene_of(tmp_path, data)
    script = tmp_path / "cluster.py"
    script.write_text(_CLUSTER)
    subprocess.run(
        [sys.executable, script, tmp_path / "field.tif", network, tmp_path],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=240,
    )
    torch = segmented(tmp_path, scene, network, engine="torch")
    for name, expected in (
        ("network", torch),
        ("chunks", torch),
        ("object", segmented(tmp_path, scene, Smooth(TWO))),
        ("baseline", segmented(tmp_path, scene, "index-baseline", chip=64, overlap=16)),
    ):
        with np.load(tmp_path / f"{name}.npz") as found:
            lazy = xarray.Dataset({key: (("y", "x"), found[key]) for key in found})
        assert_same(as_bytes(lazy), expected)


# Faults --------------------------------------------------------------------------------


def test_faults_of_arrays(tmp_path: Path) -> None:
    scene, model = scene_of(tmp_path, rough(20, 30)), Smooth(TWO)
    array, bare = scene.to_xarray(), rough(20, 30)
    loose = xarray.DataArray(bare, {"band": ["red", "nir"]}, ("band", "y", "x"))
    cases: list[tuple[Any, dict[str, Any], type[AgrisegError], str]] = [
        (scene, {}, InputError, r"a Scene is no array .*; give scene\.to_xarray\(\)"),
        ("field.tif", {}, InputError, "a str is no array"),
        (array.to_dataset("band"), {}, InputError, r"to_dataarray\('band'\)"),
        (array.sel(band="red"), {}, InputError, "has the dimensions y, x; expected are band"),
        (array.expand_dims("time"), {}, InputError, "has the dimensions time, band, y, x"),
        (array[:, :0], {}, InputError, "is empty"),
        (array > 0, {}, InputError, "holds bool"),
        (bare[0], {}, InputError, "2 dimensions"),
        (loose, {}, InputError, "neither coordinates x and y nor a transform"),
        (bare, {"bands": "red,nir"}, InputError, "neither coordinates x and y nor a transform"),
        (bare, {"transform": NORTH_UP}, BandError, "2 bands of the array have no names"),
        (array.isel(x=[0, 1, 2, 9]), {}, InputError, "not evenly spaced"),
        (array.assign_coords(band=["red", "purple"]), {}, BandError, "'purple' is unknown"),
        (array.assign_coords(band=[1, 2]), {}, BandError, "called 1, 2: band role '1' is unknown"),
        (array.assign_coords(band=["red", "red"]), {}, BandError, "two bands .* called red"),
        (array.assign_coords(band=["red", "alpha"]), {}, BandError, "alpha band"),
        (array.sel(band=["red"]), {}, BandError, "needs nir, and field lacks it: it has red"),
        (scene.to_xarray(keys=["red"]), {}, BandError, "and field lacks it: it has red;"),
        (array, {"bands": "red,nir,green"}, BandError, "bands names 3 bands, the array has 2"),
        (array, {"bands": "red=1,nir=7"}, BandError, "nir=7, but the array has bands 1 to 2"),
        (array, {"crs": "nonsense"}, OptionError, "crs='nonsense' is no coordinate system"),
        (array, {"transform": (1, 2)}, OptionError, "six numbers are needed"),
        (array, {"transform": Affine.scale(0)}, InputError, "gives pixels no area"),
        (array, {"scene": "field.tif"}, OptionError, "an open scene is needed"),
        (array, {"chip": 7.5}, OptionError, "--chip 7.5"),
        (array, {"overlap": 9}, OptionError, "overlap 9"),
        (array, {"engine": "torch"}, OptionError, "a predictor was given"),
    ]
    for given_array, how, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            agriseg.predict(given_array, model, **how)
        assert "\n" not in str(caught.value)


def test_models_that_do_not_fit(tmp_path: Path) -> None:
    data = rough(20, 30)
    scene = scene_of(tmp_path, data)
    coarse = Smooth(identity_card(bands=TWO.bands, gsd_m=(1, 2)))
    with pytest.raises(ModelError, match="was made for"):
        agriseg.predict(scene.to_xarray(), coarse)
    agriseg.predict(scene.to_xarray(), coarse, ignore_gsd=True)

    class Adapts(Smooth):
        def for_scene(self, scene: agriseg.Scene) -> Adapts:
            return self

    changed = scene.to_xarray() * 2
    with pytest.raises(ModelError, match="give the scene that they come from with scene="):
        agriseg.predict(changed, Adapts(TWO))
    agriseg.predict(changed, Adapts(TWO), scene=scene)
    agriseg.predict(scene.to_xarray(), Adapts(TWO))


def test_a_network_that_gives_nonsense_is_told_of(tmp_path: Path) -> None:
    class Broken(Smooth):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            return super().__call__(batch) * np.float32(np.nan)

    lazy = agriseg.predict(scene_of(tmp_path, rough(20, 30)).to_xarray(), Broken(TWO))
    with pytest.raises(ModelError, match="NaN or infinity"):
        lazy.compute()
