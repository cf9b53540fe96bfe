"""Virtual rasters: a part that is missing is told each time, never read as zeros."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from agriseg.errors import OutputError, ReadError
from agriseg.geobox import GeoBox, Window
from agriseg.raster.opener import RasterFile
from agriseg.raster.writer import ByteLayer, Piece, write_cog, write_rows
from tests.support import LEGEND, UTM, write_raster


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


def test_a_row_file_that_was_missing_is_found_again(tmp_path: Path) -> None:
    row, window = tmp_path / "row.tif", Window(0, 0, 64, 64)
    box = GeoBox(UTM, Affine(1, 0, 500000, 0, -1, 5700000), 64, 64)
    layers = [ByteLayer("class", 0, legend=LEGEND)]
    other = tmp_path / "other.tif"
    write_raster(other, np.ones((1, 64, 64), np.uint8))
    with rasterio.open(_beside_each_other(tmp_path / "open.vrt", [other])) as dataset:
        assert dataset.read(1).all()
        for _ in range(3):
            with pytest.raises(OutputError, match=r"row\.tif"):
                write_cog(tmp_path / "map.tif", [Piece(window, row)], box, layers)
        write_rows(row, np.ones((2, 64, 64), np.uint8))
        write_cog(tmp_path / "map.tif", [Piece(window, row)], box, layers)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.read(1) == 1).all()


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
