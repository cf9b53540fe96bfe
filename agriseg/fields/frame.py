"""Metres on the ground around a place of a grid, whichever way the grid lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from agriseg.errors import InputError
from agriseg.geobox import GeoBox
from agriseg.vector.ground import Ground
from agriseg.vector.measure import placed

__all__ = ["Frame", "frame_at"]

Floats = NDArray[np.float64]

# Half the distance in pixels over which the size of a pixel is measured.
_STEP = 16.0


@dataclass(frozen=True)
class Frame:
    """A level plane that touches the ground at one place of a grid.

    Its axes are metres to the east and to the north: of the map's own grid where that is true to
    scale (as UTM), else true ones. Turned, south-up and oblong pixels are all in `matrix`.

    Args:
        matrix: (2, 2) metres east and north of a step of one column, and of one row.
        column: Column of the origin.
        row: Row of the origin.
    """

    matrix: Floats
    column: float
    row: float

    def to_metres(self, pixels: Floats) -> Floats:
        """Metres (n, 2) east and north of the origin from columns and rows (n, 2)."""
        found: Floats = (pixels - (self.column, self.row)) @ self.matrix.T
        return found

    def to_pixels(self, metres: Floats) -> Floats:
        """Columns and rows (n, 2) from metres (n, 2)."""
        found: Floats = metres @ np.linalg.inv(self.matrix).T + (self.column, self.row)
        return found

    def waves_to_metres(self, cycles: Floats) -> Floats:
        """Cycles a metre (n, 2) from cycles a column and a row (n, 2)."""
        found: Floats = cycles @ np.linalg.inv(self.matrix)
        return found

    def waves_to_pixels(self, cycles: Floats) -> Floats:
        """Cycles a column and a row (n, 2) from cycles a metre (n, 2)."""
        found: Floats = cycles @ self.matrix
        return found

    @property
    def pixel_m(self) -> tuple[float, float]:
        """Metres along a column's step and along a row's."""
        width, height = np.hypot(self.matrix[0], self.matrix[1])
        return float(width), float(height)


def frame_at(box: GeoBox, column: float, row: float) -> Frame:
    """The plane that touches the ground at a place of a grid.

    Raises:
        InputError: The grid has no CRS, or the place lies off the globe.
    """
    if box.crs is None:
        raise InputError(
            "the map has no CRS, so how large anything in it is on the ground is unknown; assign "
            "the right one: gdal_edit.py -a_srs EPSG:... classes.tif"
        )
    steps = np.array([(-_STEP, 0), (_STEP, 0), (0, -_STEP), (0, _STEP)])
    around = np.array([column, row]) + steps
    transform: Affine = box.transform
    flat = Ground(box).flatten(placed(around, transform))
    matrix = np.column_stack([flat[1] - flat[0], flat[3] - flat[2]]) / (2 * _STEP)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) == 0:
        raise InputError(
            "the map reaches off the globe in its CRS, so nothing can be measured there; check "
            "that the CRS is the right one"
        )
    return Frame(matrix, column, row)
