"""Tiny row files put together give the same raster, byte for byte."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from agriseg.errors import OutputError
from agriseg.geobox import GeoBox, Window
from agriseg.raster.writer import ByteLayer, Piece, write_cog, write_rows
from agriseg.runs import bundles
from agriseg.runs.bundles import bundled

WIDTH = 37


@pytest.fixture
def pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Piece]:
    monkeypatch.setattr(bundles, "_TINY", 5 * WIDTH)
    monkeypatch.setattr(bundles, "_BUNDLE", 11 * WIDTH)
    heights = [3, 5, 2, 4, 6, 1, 9, 9, 5, 5, 1, 1, 5]
    random, found = np.random.default_rng(1), []
    for top, height in zip(accumulate(heights, initial=0), heights, strict=False):
        path = tmp_path / f"row-{top:06d}.tif"
        write_rows(path, random.integers(0, 3, (2, height, WIDTH), dtype=np.uint8))
        found.append(Piece(Window(0, top, WIDTH, height), path))
    return found


def test_tiny_rows_are_put_together_and_others_stay(pieces: list[Piece], tmp_path: Path) -> None:
    found = bundled(pieces, tmp_path)
    assert [piece.window.height for piece in found] == [10, 4, 6, 1, 9, 9, 11, 6]
    assert {found[k].path for k in (1, 2, 3, 4, 5)} <= {piece.path for piece in pieces}
    assert [piece.window.row_off for piece in found] == [0, 10, 14, 20, 21, 30, 39, 50]


def test_the_raster_has_the_same_bytes(pieces: list[Piece], tmp_path: Path) -> None:
    box = GeoBox(None, Affine.identity(), WIDTH, pieces[-1].window.row_end)
    layers = [ByteLayer("class", 0), ByteLayer("confidence", 1)]
    apart, joined = tmp_path / "apart.tif", tmp_path / "joined.tif"
    write_cog(apart, pieces, box, layers)
    together = bundled(pieces, tmp_path)
    for piece in pieces[:3]:
        piece.path.unlink()  # what stands for it is enough
    write_cog(joined, together, box, layers)
    assert joined.read_bytes() == apart.read_bytes()


def test_a_damaged_tiny_row_is_told_and_removed(pieces: list[Piece], tmp_path: Path) -> None:
    path = pieces[9].path
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(OutputError, match=f"{path.name} was damaged and is removed; run the same"):
        bundled(pieces, tmp_path)
    assert not path.exists()
