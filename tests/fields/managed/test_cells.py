"""Cells, against means over blocks of the whole array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agriseg.fields.managed import cells as module
from agriseg.fields.managed.cells import count_cells
from agriseg.fields.rows.patches import CropReader
from agriseg.vector.source import open_classes
from tests.fields.drawn import placed, write_classes


def test_they_are_means_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 20)
    monkeypatch.setattr(module, "_COLUMNS", 31)
    classes = np.random.default_rng(1).integers(0, 3, (47, 83)).astype(np.uint8)
    classes[:20, 30:50] = 255
    path = write_classes(tmp_path / "map.tif", classes, placed(0.02, 0, 0, -0.05))
    with CropReader(open_classes(path), frozenset({1})) as reader:
        found = count_cells(reader, 0.16)
    assert found.crop.shape == (16, 11)
    assert found.size_m == pytest.approx((0.16, 0.15))
    for row in range(16):
        for col in range(11):
            block = classes[3 * row : 3 * row + 3, 8 * col : 8 * col + 8]
            known = block[block != 255]
            assert found.known[row, col] == pytest.approx(len(known) / block.size)
            if len(known):
                assert found.crop[row, col] == pytest.approx((known == 1).mean())
    x, y = found.box.transform @ (1, 1)
    assert (x, y) == pytest.approx(open_classes(path).geobox.transform @ (8, 3))


def test_large_maps_have_larger_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 100)
    path = write_classes(tmp_path / "map.tif", np.ones((90, 130)), placed(0.02, 0, 0, -0.02))
    with CropReader(open_classes(path), frozenset({1})) as reader:
        found = count_cells(reader, 0.02)
    assert 50 < found.crop.size <= 120
    assert (found.crop == 1).all()
