"""What the tests of labels share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from agriseg.labels import LabelledReader, LabelledScene, Material, open_material
from agriseg.labels.config import DataSettings
from agriseg.settings import checked
from tests.support import write_raster

COLORS = {"soil": "#a6784f", "crop": "#2ca02c", "weed": "#d62728"}


def write_picture(path: Path, data: NDArray[np.uint8], **more: Any) -> Path:
    """Write (bands, h, w) as PNG or JPEG, by the name's ending; without a place on the ground."""
    drivers = {".png": "PNG", ".jpg": "JPEG"}
    count, height, width = data.shape
    shape = {"count": count, "height": height, "width": width, "dtype": "uint8"}
    with rasterio.open(path, "w", driver=drivers[path.suffix], **shape, **more) as dataset:
        dataset.write(data)
    return path


def write_scene(path: Path, height: int = 30, width: int = 40, **more: Any) -> Path:
    """A scene of red, green and blue that is different everywhere."""
    data = np.random.default_rng(height * width).integers(1, 255, (3, height, width))
    return write_raster(path, data.astype(np.uint8), photometric="RGB", **more)


def material(base: Path, *entries: dict[str, Any], legend: Any = None) -> Material:
    """What a configuration with these entries opens."""
    values = {"legend": legend or COLORS, "data": list(entries)}
    settings = checked(DataSettings, values, "test.yaml")
    return open_material(settings.data, settings.legend, base=base)


def codes_of(labelled: LabelledScene) -> NDArray[np.uint8]:
    """All codes of a scene."""
    with LabelledReader(labelled) as reader:
        return reader.read(labelled.scene.geobox.window)[1]
