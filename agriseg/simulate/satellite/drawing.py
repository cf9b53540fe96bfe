"""A landscape as a scene: which files it leaves, what they take, and how they come about."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agriseg.simulate.drawing import CACHE_BYTES, Cost, Found, Work
from agriseg.simulate.satellite.fields import write_fields
from agriseg.simulate.satellite.files import PLANES, assembly, draw_rasters
from agriseg.simulate.satellite.landuse import LEGEND
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.spectra import SENSORS
from agriseg.simulate.strips import STRIP
from agriseg.threads import together

__all__ = ["SatelliteDrawing"]

# One core's seconds for a megapixel, each date's band and all else, and those that every run takes.
_BAND_S, _REST_S, _START_S = 0.12, 1.3, 1.0
# What a second thread adds, where numpy's threads wait for each other.
_SECOND_THREAD = 0.75
# Bytes on the disk for a pixel of a band and of all byte planes, both times.
_DISK_BAND, _DISK_PLANES = 3.4, 1.2
# What rendering holds for each pixel of a window (two blocks), and for each of its bands.
_BLOCK_BYTES, _BAND_BYTES = 260, 16
# The interpreter and its libraries; GDAL's cache, as far as it fills, comes on top.
_BASE_BYTES: Final = 390e6


class SatelliteDrawing:
    """Draws a `SatelliteRecipe`."""

    outputs = (
        "scene.tif",
        "labels.tif",
        "labels.tif.aux.xml",
        "boundaries.tif",
        "boundaries.tif.aux.xml",
        "clouds.tif",
        "clouds.tif.aux.xml",
        "fields.gpkg",
    )

    def cost(self, recipe: SatelliteRecipe, work: Work) -> Cost:
        """What drawing is likely to take."""
        pixels, bands = recipe.width * recipe.height, 2 * len(SENSORS[recipe.sensor])
        blocks = -(-recipe.width // (2 * STRIP)) * -(-recipe.height // STRIP)
        seconds = pixels / 1e6 * (_REST_S + bands * _BAND_S)
        seconds /= work.speed_up(blocks, _SECOND_THREAD)
        seconds += _START_S
        disk = pixels * (bands * _DISK_BAND + _DISK_PLANES) + 2e6
        memory = _BASE_BYTES + min(CACHE_BYTES, 2 * pixels * bands)
        block = min(2 * STRIP**2, pixels) * (_BLOCK_BYTES + bands * _BAND_BYTES)
        memory += min(work.at_once, blocks) * block + work.workers_bytes
        memory += 2 * PLANES * recipe.width * min(STRIP, recipe.height)
        return Cost(seconds, int(disk), int(memory))

    def write(self, recipe: SatelliteRecipe, nest: Path, work: Work) -> Found:
        """Write all of `outputs` into the folder `nest`."""
        pixels, pieces = draw_rasters(recipe, nest, work)
        work.assembling()
        fields = 0

        def write() -> None:
            nonlocal fields
            fields = write_fields(recipe, nest / "fields.gpkg", work.threads)

        tasks = [*assembly(recipe, nest, pieces), write]
        together(tasks, work.threads, "assemble")
        return Found(dict(zip(LEGEND.names, pixels.tolist(), strict=True)), {"field": fields})
