"""Row files that a power cut left in parts are noticed, so nobody waits for the disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from agriseg.raster import whole_file
from agriseg.raster.writer import write_rows
from agriseg.runs.ledger import Ledger
from agriseg.tiling import ChipGrid

BLOCK = 4096


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, ChipGrid(40, 50, 40, 0))


def row_of(ledger: Ledger, height: int, width: int) -> tuple[Path, bytes]:
    classes = np.random.default_rng(0).integers(0, 4, (2, height, width), dtype=np.uint8)
    path = ledger.folder / "row-000000.tif"
    write_rows(path, classes)
    return path, path.read_bytes()


def test_a_row_that_is_cut_off_anywhere_is_made_anew(ledger: Ledger) -> None:
    path, data = row_of(ledger, 40, 50)
    for length in range(1, len(data), 7):
        path.write_bytes(data[:length])
        assert ledger.drop_damaged() == 1, length
    path.write_bytes(b"")  # counts as absent
    assert ledger.drop_damaged() == 0
    assert ledger.missing([0]) == [0]
    path.write_bytes(data)
    assert ledger.drop_damaged() == 0
    assert ledger.missing([0]) == []


def test_a_row_with_an_empty_block_is_made_anew(ledger: Ledger) -> None:
    path, data = row_of(ledger, 300, 600)
    assert len(data) > 10 * BLOCK
    for start in range(0, len(data), BLOCK):
        nothing = bytes(len(data[start : start + BLOCK]))
        path.write_bytes(data[:start] + nothing + data[start + BLOCK :])
        assert ledger.drop_damaged() == 1, start


def test_only_what_is_not_looked_through_waits_for_the_disk(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr(whole_file.os, "fsync", waits.append)
    row_of(ledger, 40, 50)
    assert not waits
    whole_file.write_bytes(ledger.folder / "lower-000000.safetensors", b"strip")
    assert len(waits) == 1
    assert sorted(os.listdir(ledger.folder)) == ["lower-000000.safetensors", "row-000000.tif"]
