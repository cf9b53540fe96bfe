"""The streamed map equals one computed on the whole raster at once, and its bytes never differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agriseg
from agriseg.raster import open_scene
from agriseg.tiling import ChipGrid
from tests.support import MAP_ONLY, Smooth, class_field, identity_card, result_bytes, write_raster


def whole_raster_truth(data: np.ndarray, grid: ChipGrid, model: Smooth) -> np.ndarray:
    """(classes, h, w) in float64: each chip under a weight that falls towards inner chip edges.

    Written apart from the accumulators: full weight maps, and a division by their sum.
    """
    total = np.zeros((3, grid.height, grid.width))
    weight_sum = np.zeros((grid.height, grid.width))
    for row in range(grid.rows):
        for col in range(grid.cols):
            window = grid.chip(row, col).window
            rows, cols = window.slices
            weight = np.outer(
                _ramp(window.height, grid.overlap, row > 0, row < grid.rows - 1),
                _ramp(window.width, grid.overlap, col > 0, col < grid.cols - 1),
            )
            total[:, rows, cols] += weight * model(data[None, :, rows, cols])[0]
            weight_sum[rows, cols] += weight
    return total / weight_sum


def _ramp(length: int, overlap: int, before: bool, after: bool) -> np.ndarray:
    places = (np.arange(overlap) + 0.5) / max(overlap, 1)
    rise = 0.5 - 0.5 * np.cos(np.pi * places)
    ramp = np.ones(length)
    if overlap and before:
        ramp[:overlap] *= rise
    if overlap and after:
        ramp[-overlap:] *= rise[::-1]
    return ramp


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    size=st.integers(2, 24),
    overlap_share=st.floats(0, 0.5),
    swaths=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_equals_the_whole_raster_computation(
    tmp_path: Path,
    height: int,
    width: int,
    size: int,
    overlap_share: float,
    swaths: int,
    seed: int,
) -> None:
    data, overlap = class_field(height, width, seed), int(size * overlap_share)
    path = write_raster(tmp_path / "scene.tif", data, descriptions=["red"])
    run = agriseg.segment(
        path,
        tmp_path / "out",
        model=Smooth(),
        chip=size,
        overlap=overlap,
        swaths=swaths,
        probabilities=True,
        resume=False,
        **MAP_ONLY,
    )
    assert isinstance(run, agriseg.Run)
    truth = whole_raster_truth(data, ChipGrid(height, width, size, overlap), Smooth())
    with rasterio.open(run.path / "probabilities.tif") as dataset:
        assert dataset.descriptions == ("soil", "crop", "weed")
        assert set(dataset.scales) == {0.005}
        np.testing.assert_allclose(dataset.read() / 200, truth, atol=0.0026)
    with rasterio.open(run.classes) as dataset:
        classes = dataset.read(1)
    best = np.sort(truth, axis=0)
    clear = best[-1] - best[-2] > 1e-5
    np.testing.assert_array_equal(classes[clear], truth.argmax(axis=0)[clear])
    with rasterio.open(run.confidence) as dataset:
        np.testing.assert_allclose(dataset.read(1) / 200, best[-1], atol=0.0026)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A scene with holes, and the bytes of a plain run over it."""
    folder = tmp_path_factory.mktemp("reference")
    data = class_field(97, 83, seed=7)
    data[:, 30:50, :40] = np.nan
    data[:, 60:64] = np.nan
    path = write_raster(folder / "scene.tif", data, descriptions=["red"])
    agriseg.segment(path, folder / "plain", model=Smooth(), probabilities=True, qgis=False)
    return path, result_bytes(folder / "plain" / "scene")


@pytest.mark.parametrize("swaths", [2, 3, 5, 8, 99])
def test_any_number_of_swaths_gives_the_same_bytes(
    tmp_path: Path, reference: tuple[Path, dict[str, bytes]], swaths: int
) -> None:
    path, expected = reference
    agriseg.segment(path, tmp_path, model=Smooth(), swaths=swaths, probabilities=True, qgis=False)
    assert result_bytes(tmp_path / "scene") == expected


def test_classes_together_leave_no_trace_of_cuts(
    tmp_path: Path, reference: tuple[Path, dict[str, bytes]]
) -> None:
    """Rows, and the seams that the ledger joins, are decided by the same rule."""
    path, apart = reference
    model = Smooth(identity_card(together=("crop", "weed")), fingerprint="together")
    agriseg.segment(path, tmp_path / "one", model=model, probabilities=True)
    agriseg.segment(path, tmp_path / "cut", model=model, probabilities=True, swaths=99)
    one = result_bytes(tmp_path / "one" / "scene")
    assert one == result_bytes(tmp_path / "cut" / "scene")
    assert one != apart


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_any_batch_gives_the_same_bytes(
    tmp_path: Path, reference: tuple[Path, dict[str, bytes]], batch: int
) -> None:
    path, expected = reference
    agriseg.segment(path, tmp_path, model=Smooth(batch=batch), probabilities=True, qgis=False)
    assert result_bytes(tmp_path / "scene") == expected


@pytest.mark.parametrize("seed", range(4))
def test_swaths_in_any_order_give_the_same_bytes(
    tmp_path: Path, reference: tuple[Path, dict[str, bytes]], seed: int
) -> None:
    """Workers come and go: whichever side of a cut is done first, its seam comes out the same."""
    from agriseg.pipeline import SegmentOptions, prepare
    from agriseg.pipeline.run import run_job
    from agriseg.pipeline.swath import run_swath
    from agriseg.tiling import Swath

    path, expected = reference
    options = SegmentOptions(probabilities=True)
    job = prepare(open_scene(path), Smooth(), tmp_path / "scene", options)
    job.ledger.create()
    rows = list(range(job.plan.grid.rows))
    rng = np.random.default_rng(seed)
    rng.shuffle(rows)
    for row in rows[: len(rows) - 2]:
        run_swath(job, Swath(row, row))
    run_job(job)
    assert result_bytes(tmp_path / "scene") == expected


def test_missing_optional_bands_enter_as_their_mean(tmp_path: Path) -> None:
    from agriseg.models import BandInput

    inputs: list[np.ndarray] = []

    class Watching(Smooth):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            inputs.append(batch.copy())
            return super().__call__(batch)

    bands = (
        BandInput("red", mean=0.25, std=0.1),
        BandInput("nir", required=False, mean=0.5, std=0.1),
    )
    data = np.full((1, 20, 20), 0.125, np.float32)
    data[:, 3:7, 2:9] = np.nan
    path = write_raster(tmp_path / "scene.tif", data, descriptions=["red"])
    agriseg.segment(path, tmp_path / "out", model=Watching(identity_card(bands=bands)), chip=32)
    (batch,) = inputs
    assert (batch[0, 1] == 0.5).all()
    assert (batch[0, 0, 3:7, 2:9] == 0.25).all()
    assert (batch[0, 0] == 0.25).sum() == 4 * 7
