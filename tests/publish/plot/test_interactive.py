"""The map in a notebook carries all that it shows, at the right place."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from rasterio.warp import transform

import agriseg
from agriseg.errors import OptionError
from tests.publish.runs import add_farm, make_run
from tests.support import LEGEND, NORTH_UP, UTM

pytest.importorskip("ipyleaflet")


def test_everything_travels_inside(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    add_farm(run)
    shown = agriseg.plot.interactive(run)
    assert [one.name for one in shown.layers] == ["image", "classes", "zones", "fields"]
    image, classes, zones, fields = shown.layers
    assert image.url.startswith("data:image/")
    assert "http" not in str([one.get_state() for one in (image, classes, zones, fields)])[:500]
    # A pixel of crop lies where it does on the globe; the picture is linear in Mercator.
    x, y = NORTH_UP @ (20.5, 10.5)
    (lon,), (lat,) = transform(UTM, "EPSG:4326", [x], [y])
    (south, west), (north, east) = classes.bounds
    data = base64.b64decode(classes.url.partition(",")[2])
    with rasterio.Env(), MemoryFile(data) as memory, memory.open() as dataset:
        picture = dataset.read()
    row = int((north - lat) / (north - south) * picture.shape[1])
    col = int((lon - west) / (east - west) * picture.shape[2])
    assert tuple(picture[:3, row, col]) == LEGEND.classes[1].rgb
    assert np.array_equal(np.unique(picture[3]), [0, 255])
    words = fields.data["features"][0]["properties"]["words"]
    assert "&lt;b&gt;" in words
    assert "<b>" not in words


def test_without_ipyleaflet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "out", fields=False)
    monkeypatch.setitem(sys.modules, "ipyleaflet", None)
    with pytest.raises(OptionError, match=r"agriseg\[notebook\]"):
        agriseg.plot.interactive(run)
