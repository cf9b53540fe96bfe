"""Virtual rasters: what GDAL keeps of their parts, where that would cost pixels."""

from __future__ import annotations

from xml.sax.saxutils import escape

import rasterio

__all__ = ["forget_parts"]

_EMPTY = (
    '<VRTDataset rasterXSize="1" rasterYSize="1"><!--{}-->'
    '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
)
_PART = "<SimpleSource><SourceFilename>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
# On some ground, else rasterio warns that it lies nowhere.
_OTHERS = (
    '<VRTDataset rasterXSize="1" rasterYSize="1"><GeoTransform>1,1,0,1,0,-1</GeoTransform>'
    '<VRTRasterBand dataType="Byte" band="1">{}</VRTRasterBand></VRTDataset>'
)
# The most that GDAL_MAX_DATASET_POOL_SIZE may be.
_POOL_SIZE = 1000


def forget_parts() -> None:
    """Let GDAL drop that parts of a virtual raster did not open; takes 30 ms.

    GDAL (seen in 3.10) keeps a part that failed in its pool of open files, under the address in
    memory of the virtual raster. One opened later may lie at that address. Then GDAL does not try
    the part again: the reading fails without a word, which rasterio takes for success, and the
    pixels stay zero. Parts that nobody uses leave the pool when as many others come as it holds.
    """
    parts = "".join(_PART.format(escape(_EMPTY.format(k))) for k in range(_POOL_SIZE))
    with rasterio.Env(), rasterio.open(_OTHERS.format(parts)) as others:
        others.read()
