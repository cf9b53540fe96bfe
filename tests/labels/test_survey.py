"""Counting codes in cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agriseg.errors import LabelError
from agriseg.labels import survey
from tests.labels.support import codes_of, material, write_scene
from tests.support import write_raster


@pytest.mark.parametrize("cell", [1, 7, 16, 64, 1000])
def test_cells_hold_what_the_labels_hold(tmp_path: Path, cell: int) -> None:
    rng = np.random.default_rng(1)
    for name, height, width in (("a", 33, 50), ("b", 20, 20)):
        write_scene(tmp_path / f"{name}.tif", height, width, nodata=7)
        write_raster(
            tmp_path / f"{name}_l.tif", rng.integers(0, 5, (1, height, width)).astype(np.uint8)
        )
    values = {0: "soil", 1: "crop", 2: "weed", 3: "soil or weed", 4: "ignore"}
    found = material(
        tmp_path,
        *({"kind": "scenes", "scenes": f"{n}.tif", "labels": f"{n}_l.tif", "values": values}
          for n in "ab"),
    )  # fmt: skip
    counted = survey(found, cell)
    for labelled, one in zip(found.scenes, counted.scenes, strict=True):
        with labelled.labels.open(labelled.scene) as reader:
            codes = reader.read(labelled.scene.geobox.window)
        codes[~labelled.scene.read(None, ["red"]).valid] = 255
        for row in range(one.counts.shape[0]):
            for col in range(one.counts.shape[1]):
                part = codes[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell]
                assert one.counts[row, col].tolist() == [
                    int((part == code).sum()) for code in (0, 1, 2, 3, 255)
                ]
    assert counted.totals.sum() == 33 * 50 + 400
    assert counted.class_pixels.tolist() == counted.totals[:3].tolist()
    assert "soil or weed" in counted.words()


def test_large_scenes_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    room = importlib.import_module("agriseg.labels.survey")
    write_scene(tmp_path / "s.tif", 70, 90)
    labels = np.random.default_rng(0).integers(0, 3, (1, 70, 90)).astype(np.uint8)
    write_raster(tmp_path / "l.tif", labels)
    found = material(tmp_path, {"kind": "scenes", "scenes": "s.tif", "labels": "l.tif"})
    whole = room.survey(found, 8).scenes[0].counts
    monkeypatch.setattr(room, "_AT_ONCE", 400)
    np.testing.assert_array_equal(room.survey(found, 8).scenes[0].counts, whole)
    assert (codes_of(found.scenes[0]) == 1).sum() == whole[..., 1].sum()


def test_values_that_are_not_listed_are_told(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif")
    write_raster(tmp_path / "l.tif", np.full((1, 30, 40), 8, np.uint8))
    found = material(tmp_path, {"kind": "scenes", "scenes": "s.tif", "labels": "l.tif"})
    with pytest.raises(LabelError, match="the value 8 in 1200 pixels"):
        survey(found)
