"""Virtual rasters: a part that is missing is told each time, never read as zeros."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from agriseg.errors import ReadError
from agriseg.geobox import Window
from agriseg.raster.opener import RasterFile
from tests.support import write_raster


def test_a_missing_part_is_told_each_time(tmp_path: Path) -> None:
    parts = [tmp_path / "west.tif", tmp_path / "east.tif"]
    ones = np.ones((1, 64, 64), np.uint8)
    write_raster(parts[0], ones)
    whole = _beside_each_other(tmp_path / "whole.vrt", parts[:1])
    path = _beside_each_other(tmp_path / "torn.vrt", parts)
    # As long as one is open, GDAL remembers of the parts of all others which did not open.
    with rasterio.open(whole) as dataset:
        assert dataset.read(1).all()
        for _ in range(5):
            with RasterFile(str(path)) as file, pytest.raises(ReadError, match=r"east\.tif"):
                file.read([1], Window(0, 0, 128, 64))
        write_raster(parts[1], ones)
        with RasterFile(str(path)) as file:
            assert file.read([1], Window(0, 0, 128, 64)).all()


def _beside_each_other(path: Path, parts: list[Path]) -> Path:
    sources = "".join(
        f"<SimpleSource><SourceFilename>{part}</SourceFilename><SourceBand>1</SourceBand>"
        '<SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/>'
        f'<DstRect xOff="{64 * k}" yOff="0" xSize="64" ySize="64"/></SimpleSource>'
        for k, part in enumerate(parts)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{64 * len(parts)}" rasterYSize="64">'
        "<GeoTransform>500000,1,0,5700000,0,-1</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1">{sources}</VRTRasterBand></VRTDataset>'
    )
    return path
