"""Tiny rasters, made while the test runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.5, 0, 400_000, 0, -0.5, 5_600_000)


@pytest.fixture
def tif(tmp_path: Path) -> Callable[..., str]:
    """Write (bands, height, width) as a GeoTIFF and give its path."""

    def write(
        name: str,
        data: Any,
        *,
        crs: CRS | None = UTM,
        transform: Affine | None = NORTH_UP,
        descriptions: Sequence[str] | None = None,
        colors: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        band_tags: Sequence[Mapping[str, str]] | None = None,
        scales: Sequence[float] | None = None,
        offsets: Sequence[float] | None = None,
        mask: Any = None,
        overviews: Sequence[int] = (),
        **profile: Any,
    ) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = np.asarray(data)
        data = data[None] if data.ndim == 2 else data
        count, height, width = data.shape
        shape = {"count": count, "height": height, "width": width}
        where = {"crs": crs, "transform": transform}
        profile = {"driver": "GTiff", "dtype": data.dtype, **shape, **where, **profile}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", **profile) as dataset:
                # Interpretations first: GDAL writes them into the header.
                if colors:
                    dataset.colorinterp = [ColorInterp[color] for color in colors]
                dataset.write(data)
                for index, text in enumerate(descriptions or (), 1):
                    dataset.set_band_description(index, text)
                for index, each in enumerate(band_tags or (), 1):
                    dataset.update_tags(index, **each)
                if tags:
                    dataset.update_tags(**tags)
                if scales:
                    dataset.scales = scales
                if offsets:
                    dataset.offsets = offsets
                if mask is not None:
                    dataset.write_mask(mask)
                if overviews:
                    dataset.build_overviews(list(overviews))
        return str(path)

    return write
