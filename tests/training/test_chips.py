"""Chips: where they lie, what they hold, and that nothing leaks or depends on threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from numpy.typing import NDArray

from agriseg.errors import LabelError
from agriseg.geobox import Window
from agriseg.labels import IGNORE, Codes, LabelledScene
from agriseg.labels.raster_labels import RasterLabels
from agriseg.labels.values import value_table
from agriseg.raster import open_scene
from agriseg.training.chips import Chips, SceneDataset, Zoom, averaged
from agriseg.training.parts import ScenePart, cell_weights, class_shares
from agriseg.training.pixels import PixelStore
from agriseg.training.stream import Batches
from tests.support import LEGEND, NORTH_UP, UTM, write_raster

CODES = Codes(LEGEND)
CELL = 16
ROTATED = Affine.translation(5e5, 5e6) @ Affine.rotation(25) @ Affine.scale(0.02, -0.02)


def scene_of(
    folder: Path, labels: NDArray[np.uint8], transform: Affine = NORTH_UP, name: str = "a"
) -> LabelledScene:
    """A scene whose red holds columns and whose nir holds rows, in thousandths."""
    rows, cols = np.indices(labels.shape, np.float32)
    data = np.stack([cols, rows]) / 1000
    path = write_raster(
        folder / f"{name}.tif", data, descriptions=["red", "nir"], transform=transform
    )
    marks = write_raster(folder / f"{name}-labels.tif", labels[None], transform=transform)
    table = value_table(None, CODES)
    return LabelledScene(open_scene(path), RasterLabels(str(marks), CODES, table))


def part_of(labelled: LabelledScene, mask: NDArray[np.bool_] | None = None) -> ScenePart:
    box = labelled.scene.geobox
    with labelled.labels.open(labelled.scene) as reader:
        codes = reader.read(box.window)
    shape = (-(-box.height // CELL), -(-box.width // CELL))
    counts = np.zeros((*shape, 3), np.int64)
    for row, col in np.ndindex(*shape):
        at = np.s_[row * CELL : (row + 1) * CELL, col * CELL : (col + 1) * CELL]
        counts[row, col] = [(codes[at] == k).sum() for k in range(3)]
    return ScenePart(labelled, CELL, np.ones(shape, bool) if mask is None else mask, counts)


def chips_of(parts: Sequence[ScenePart], store: PixelStore, zoom: Zoom, rare: float = 0) -> Chips:
    return Chips(parts, CODES, store, zoom, batch=6, rare=rare, seed=4)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, Affine(0.02, 0, 5e5, 0, 0.02, 5e6)])
@pytest.mark.parametrize("memory", [0.0, 1e9])
def test_a_query_gets_the_pixels_around_its_centre(
    tmp_path: Path, transform: Affine, memory: float
) -> None:
    labelled = scene_of(tmp_path, np.ones((50, 70), np.uint8), transform)
    with PixelStore([labelled], ["red", "nir"], memory) as store:
        dataset = SceneDataset(0, part_of(labelled), store, 8)
        sample = dataset[dataset.query(30, 20, 1.0, 8)]
        np.testing.assert_allclose(sample["image"][0, 0] * 1000, np.arange(26, 34), atol=0.02)
        np.testing.assert_allclose(sample["image"][1, :, 0] * 1000, np.arange(16, 24), atol=0.02)
        assert sample["zoom"] == pytest.approx(1)
        edge = dataset[dataset.query(0, 0, 1.0, 8)]
    assert edge["valid"].sum() == 16
    assert (edge["codes"][~edge["valid"]] == IGNORE).all()
    assert not edge["image"][:, ~edge["valid"]].any()


def test_coarser_queries_are_means(tmp_path: Path) -> None:
    labelled = scene_of(tmp_path, np.ones((64, 64), np.uint8))
    with PixelStore([labelled], ["red"], 1e9) as store:
        dataset = SceneDataset(0, part_of(labelled), store, 12)
        sample = dataset[dataset.query(32, 32, 2.4, 8)]
    assert averaged(2.4) == 2
    assert sample["zoom"] == pytest.approx(1.2)
    np.testing.assert_allclose(sample["image"][0, 0] * 1000, np.arange(20, 44, 2) + 0.5, atol=0.05)


@pytest.mark.parametrize(("zoom", "factor"), [(0.3, 1), (1.5, 1), (1.51, 2), (3, 2), (10, 7)])
def test_little_is_left_to_resample(zoom: float, factor: int) -> None:
    assert averaged(zoom) == factor
    assert zoom / factor <= 1.5


def test_labels_of_other_parts_are_not_seen(tmp_path: Path) -> None:
    labelled = scene_of(tmp_path, np.ones((64, 64), np.uint8))
    mask = np.zeros((4, 4), bool)
    mask[:, :2] = True
    part = part_of(labelled, mask)
    with PixelStore([labelled], ["red"], 1e9) as store:
        chips = chips_of([part], store, Zoom(None, (0.5, 1.0), 32))
        seen = 0
        for step in range(5):
            batch = chips.batch(step)
            columns = (batch["image"][:, 0].float() * 1000).round()
            known = batch["codes"] != IGNORE
            assert (columns[known] < 32).all()
            seen += int(known.sum())
    assert seen > 1000


def test_rare_classes_are_drawn_more_often(tmp_path: Path) -> None:
    labels = np.zeros((160, 160), np.uint8)
    labels[100:104, 20:24] = 2
    labelled = scene_of(tmp_path, labels)
    part = part_of(labelled)
    shares = class_shares([part], CODES)
    cell = (6, 1)
    as_it_is = cell_weights(part, CODES, shares, 0.0)
    even = cell_weights(part, CODES, shares, 1.0)
    assert as_it_is[cell] / as_it_is.sum() == pytest.approx(0.01)
    assert even[cell] / even.sum() > 0.3


def test_cells_without_labels_and_scenes_without_weight_are_not_drawn(tmp_path: Path) -> None:
    labels = np.full((64, 64), IGNORE, np.uint8)
    labels[:16, 48:] = 1
    weights = cell_weights(part := part_of(scene_of(tmp_path, labels)), CODES, np.ones(3) / 3, 0.5)
    assert np.argwhere(weights > 0).tolist() == [[0, 3]]
    assert part.pixels.tolist() == [0, 256, 0]


def test_batches_are_the_same_however_they_are_read(tmp_path: Path) -> None:
    """Kept in memory or not, by one thread or three, from the start or from the middle."""
    scenes = [
        scene_of(tmp_path, np.full((70, 90), 1, np.uint8), name="a"),
        scene_of(tmp_path, np.full((40, 33), 2, np.uint8), name="b"),
    ]
    parts = [part_of(one) for one in scenes]
    zoom = Zoom(None, (0.8, 1.2), 32)
    found = []
    for memory, threads, first in ((1e9, 1, 0), (0.0, 3, 0), (0.0, 2, 3)):
        with PixelStore(scenes, ["red", "nir"], memory) as store:
            batches = Batches(chips_of(parts, store, zoom).batch, first, 5, 2, threads)
            epochs = [list(batches) for _ in range(4)]
            batches.close()
            found.append(epochs)
    assert [len(epoch) for epoch in found[0]] == [2, 2, 1, 0]
    assert [len(epoch) for epoch in found[2]] == [1, 1, 0, 0]
    plain = [[batch for epoch in epochs for batch in epoch] for epochs in found]
    for one, other in ((plain[0], plain[1]), (plain[0][3:], plain[2])):
        for a, b in zip(one, other, strict=True):
            assert all(torch.equal(a[key], b[key]) for key in a)


def test_scenes_of_other_bands_and_sizes_go_together(tmp_path: Path) -> None:
    """One lacks nir and has pixels twice as large; at one GSD they look alike."""
    one = scene_of(tmp_path, np.ones((80, 80), np.uint8), name="a")
    coarse = NORTH_UP @ Affine.scale(2)
    red = write_raster(
        tmp_path / "b.tif", np.ones((1, 60, 60), np.float32), descriptions=["red"],
        transform=coarse, crs=UTM,
    )  # fmt: skip
    marks = write_raster(
        tmp_path / "b-labels.tif", np.ones((1, 60, 60), np.uint8), transform=coarse
    )
    other = LabelledScene(
        open_scene(red), RasterLabels(str(marks), CODES, value_table(None, CODES))
    )
    zoom = Zoom((0.04, 0.04), (1.0, 1.0), 16)
    with PixelStore([one, other], ["red", "nir"], 0) as store:
        batch = chips_of([part_of(one), part_of(other)], store, zoom).batch(0)
    lacks = ~batch["present"][:, 1]
    assert lacks.any()
    assert (~lacks).any()
    torch.testing.assert_close(batch["zoom"], torch.ones(6))
    assert not batch["image"][lacks, 1].any()


def test_a_store_keeps_few_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agriseg.training import pixels

    monkeypatch.setattr(pixels, "_OPEN_SCENES", 2)
    scenes = [
        scene_of(tmp_path, np.full((20, 20), k % 3, np.uint8), name=f"s{k}") for k in range(4)
    ]
    with PixelStore(scenes, ["red"], 0) as store:
        for turn in (0, 1, 2, 3, 0, 2, 1):
            _, _, codes = store.read(turn, Window(0, 0, 4, 4))
            assert (codes == turn % 3).all()
            assert len(store._all[0]) <= 2


def test_scenes_that_all_weigh_nothing_are_refused(tmp_path: Path) -> None:
    part = part_of(replace(scene_of(tmp_path, np.ones((70, 90), np.uint8)), weight=0.0))
    store = PixelStore([part.labelled], ["red"], 1e9)
    with pytest.raises(LabelError, match="weight: 0"):
        chips_of([part], store, Zoom(None, (1, 1), 32))
