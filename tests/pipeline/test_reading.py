"""Chips come in order and ahead, whatever decodes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import agriseg
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
    real = reading.SceneReader.read

    def read(self: Any, window: Any) -> Any:
        seen.append(rasterio.env.getenv()["GDAL_NUM_THREADS"])
        return real(self, window)

    job = prepare(open_it(path), Identity(), path.parent / "out")
    monkeypatch.setattr(reading.SceneReader, "read", read)
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
