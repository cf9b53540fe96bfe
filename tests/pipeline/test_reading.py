"""Chips come in order and ahead, whatever decodes them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import agriseg
from agriseg.errors import ReadError
from agriseg.pipeline import prepare, reading
from agriseg.raster import open_scene
from tests.support import Identity, class_field, identity_card, result_bytes, write_raster


class OnGpu(Identity):
    """Says that it computes on a GPU."""

    def about(self) -> dict[str, Any]:
        return {"device": "cuda:1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    data = class_field(300, 330)
    return write_raster(
        tmp_path / "scene.tif", data, tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )


def open_it(path: Path) -> agriseg.Scene:
    return open_scene(path, bands=",".join(identity_card().keys), scale=1)


@pytest.mark.parametrize(
    ("cores", "kind", "decoders"),
    [(1, Identity, 1), (2, Identity, 1), (8, Identity, 2), (1, OnGpu, 1), (8, OnGpu, 8)],
)
def test_who_decodes(
    path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, kind: type[Identity], decoders: int
) -> None:
    job = prepare(open_it(path), kind(), path.parent / "out")
    monkeypatch.setattr(reading.os, "cpu_count", lambda: cores)
    assert reading._decoders(job) == decoders


@pytest.mark.parametrize("said", [None, "3"])
def test_the_users_number_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    seen = []
    real = reading.SceneReader.fetch

    def fetch(self: Any, window: Any) -> Any:
        seen.append(rasterio.env.getenv()["GDAL_NUM_THREADS"])
        return real(self, window)

    job = prepare(open_it(path), Identity(), path.parent / "out")
    monkeypatch.setattr(reading.SceneReader, "fetch", fetch)
    monkeypatch.setattr(reading.os, "cpu_count", lambda: 20)
    chips = list(job.plan.grid.chips(0))
    with rasterio.Env(**({"GDAL_NUM_THREADS": said} if said else {})):
        found = list(reading.read_chips(job, chips))
    assert [pixels.chip for pixels in found] == chips
    assert {str(one) for one in seen} == {said or "5"}


def test_bytes_do_not_depend_on_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for cores in (1, 32):
        monkeypatch.setattr(reading.os, "cpu_count", lambda cores=cores: cores)
        run = agriseg.segment(open_it(path), path.parent / f"out{cores}", model=Identity())
        found.append(result_bytes(run.path))
    assert found[0] == found[1]
    assert np.isin("classes.tif", list(found[0]))


@pytest.mark.parametrize(
    ("cores", "kind", "threads"),
    [(2, Identity, 1), (15, Identity, 1), (32, Identity, 4), (3, OnGpu, 1), (16, OnGpu, 4)],
)
def test_who_makes_pixels_ready(
    path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, kind: type[Identity], threads: int
) -> None:
    """Whoever does it, chips come in order; files are read in one thread, and closed in it."""
    readers, workers = set(), set()
    fetch, ready = reading.SceneReader.fetch, reading.network_input
    leave = reading.SceneReader.__exit__

    def fetched(self: Any, window: Any) -> Any:
        readers.add(threading.get_ident())
        return fetch(self, window)

    def left(self: Any, *fault: Any) -> Any:
        readers.add(threading.get_ident())
        return leave(self, *fault)

    def made(*what: Any) -> Any:
        workers.add(threading.current_thread().name)
        return ready(*what)

    job = prepare(open_it(path), kind(), path.parent / "out")
    monkeypatch.setattr(reading.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(reading.SceneReader, "fetch", fetched)
    monkeypatch.setattr(reading.SceneReader, "__exit__", left)
    monkeypatch.setattr(reading, "network_input", made)
    chips = [chip for row in range(job.plan.grid.rows) for chip in job.plan.grid.chips(row)]
    found = list(reading.read_chips(job, chips))
    assert [pixels.chip for pixels in found] == chips
    assert all(pixels.data is not None for pixels in found)
    assert len(readers) == 1
    prefix = "agriseg-ready" if threads > 1 else "agriseg-read"
    assert all(name.startswith(prefix) for name in workers)
    assert len(workers) <= threads


@pytest.mark.parametrize("cores", [2, 64])
def test_what_cannot_be_read_is_told_in_its_place(
    path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    def fetch(self: Any, window: Any) -> Any:
        if window.col_off and not window.row_off:
            raise ReadError("no pixels here")
        return real(self, window)

    real = reading.SceneReader.fetch
    monkeypatch.setattr(reading.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(reading.SceneReader, "fetch", fetch)
    job = prepare(open_it(path), Identity(), path.parent / "out")
    chips = [chip for row in range(job.plan.grid.rows) for chip in job.plan.grid.chips(row)]
    with pytest.raises(ReadError, match="no pixels here"):
        list(reading.read_chips(job, chips))
    patient = replace(job, options=replace(job.options, skip_unreadable=True))
    found = list(reading.read_chips(patient, chips))
    lost = [one.chip for one in found if one.unreadable]
    assert lost == [chip for chip in chips if chip.window.col_off and not chip.window.row_off]
    assert [one.chip for one in found if one.data is not None] == [
        chip for chip in chips if chip not in lost
    ]
