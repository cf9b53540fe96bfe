"""Following rows through a field: where between two rows the crop stands, place by place.

The crop is multiplied by the wave of the mean rows and averaged over cells; the angle of what is
left tells by how much rows lie aside there (Takeda, Ina & Kobayashi, J. Opt. Soc. Am. 72, 1982:
fringes and their carrier). Laid out without jumps it is a map of the rows' sway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.arrays import block_sums
from agriseg.fields.frame import Frame
from agriseg.fields.rows.patches import CropReader, tiles
from agriseg.geobox import Window

__all__ = ["Track", "track_phase"]

Floats = NDArray[np.float64]

# Sides of a cell in row spacings, and cells at most; a tile of pixels that is read at a time.
_CELL, _MOST_CELLS, _TILE = 2.0, 1 << 19, 2048
# Deviation of the weight with which cells are averaged, in cells.
_BLUR = 1.0
# Where crop keeps to rows less than this, nothing is known of them.
_LEAST_KEEPING = 0.12
# The mean wave is off by less than this share, or the track has jumped from row to row.
_MOST_OFF = 0.08


@dataclass(frozen=True)
class Track:
    """Where rows run: where `wave` times metres from the origin, less `aside`, is a whole number.

    Args:
        frame: Metres.
        wave: (2,) cycles a metre east and north.
        aside: (h, w) by how many spacings rows lie aside in each cell; without jumps.
        window: The pixels under all cells; the last ones may reach over it.
        cell: (columns, rows) of pixels of a cell.
    """

    frame: Frame
    wave: Floats
    aside: Floats
    window: Window
    cell: tuple[int, int]

    def at(self, metres: Floats) -> Floats:
        """By how many spacings rows lie aside at places (n, 2)."""
        from scipy.ndimage import map_coordinates

        pixels = self.frame.to_pixels(metres)
        cells = (pixels - (self.window.col_off, self.window.row_off)) / self.cell - 0.5
        return np.asarray(
            map_coordinates(self.aside, cells.T[::-1], order=1, mode="nearest"), np.float64
        )


def track_phase(reader: CropReader, frame: Frame, wave: Floats) -> Track | None:
    """Follow rows of about `wave` cycles a metre (2,) through all that a reader reads.

    Returns:
        The track, whose wave is the mean over the field; None where it is lost.
    """
    extent = reader.extent
    if extent is None:
        return None
    beat, crop, cell = _beat(reader, frame, wave, extent)
    smooth, around = (_blurred(values) for values in (beat, crop))
    known = np.abs(smooth) > _LEAST_KEEPING * np.maximum(around.real, 1e-12)
    known &= around.real > 0.1 * np.median(around.real[known]) if known.any() else False
    if not known.any():
        return None
    aside, part = _laid_out(-np.angle(smooth) / (2 * np.pi), known)
    track = Track(frame, wave, aside, extent, cell)
    weight = np.where(part, np.abs(smooth), 0.0)
    tilt, level = _plane(track, weight)
    if np.hypot(*tilt) > _MOST_OFF * np.hypot(*wave):
        return None
    metres = frame.to_metres(_centres(track)).reshape(*aside.shape, 2)
    flat = aside - level - metres @ tilt
    # Parts that do not touch are laid out apart; of whole rows, only the nearest are meant.
    flat -= np.where(known, np.rint(flat), 0.0) * ~part
    return Track(frame, wave - tilt, _filled(flat, known) + level, extent, cell)


def _beat(
    reader: CropReader, frame: Frame, wave: Floats, extent: Window
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], tuple[int, int]]:
    """The crop times the wave, and the crop, summed over cells; and a cell's columns and rows."""
    spacing = 1.0 / float(np.hypot(*wave))
    sides = [_CELL * spacing / metres for metres in frame.pixel_m]
    many = extent.width * extent.height / (sides[0] * sides[1])
    grown = max((many / _MOST_CELLS) ** 0.5, 1.0)
    cell = max(round(sides[0] * grown), 1), max(round(sides[1] * grown), 1)
    shape = -(-extent.height // cell[1]), -(-extent.width // cell[0])
    beat, crop = np.zeros(shape, np.complex128), np.zeros(shape, np.complex128)
    cycles = frame.waves_to_pixels(wave[None])[0]
    size = [max(_TILE // n, 1) * n for n in cell]
    for tile in tiles(extent, *size):
        here, _ = reader.read(tile)
        col = np.arange(tile.col_off, tile.col_end) + 0.5 - frame.column
        row = np.arange(tile.row_off, tile.row_end) + 0.5 - frame.row
        cols, rows = (np.arange(0, n, side) for n, side in zip(tile.shape[::-1], cell, strict=True))
        at = (
            slice((tile.row_off - extent.row_off) // cell[1], None),
            slice((tile.col_off - extent.col_off) // cell[0], None),
        )
        across = np.add.reduceat(here * np.exp(-2j * np.pi * cycles[0] * col), cols, axis=1)
        down = np.exp(-2j * np.pi * cycles[1] * row)[:, None]
        found = np.add.reduceat(across * down, rows, axis=0)
        count = block_sums(here, rows, cols, np.int64)
        part = (slice(at[0].start, at[0].start + len(rows)), slice(at[1].start, None))
        part = (part[0], slice(at[1].start, at[1].start + len(cols)))
        beat[part] += found
        crop[part] += count
    return beat, crop, cell


def _blurred(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    from scipy.ndimage import gaussian_filter

    def blur(part: Floats) -> Floats:
        return np.asarray(gaussian_filter(part, _BLUR, mode="constant", truncate=3.0))

    return blur(values.real) + 1j * blur(values.imag)


def _laid_out(turns: Floats, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Turns (h, w) without jumps where known, and the largest part that hangs together."""
    from scipy.ndimage import label

    labels, count = label(known)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    part = labels == 1 + int(sizes.argmax())
    if min(turns.shape) < 3:
        line = np.unwrap(turns.ravel(), period=1.0).reshape(turns.shape)
        return line, part
    from skimage.restoration import unwrap_phase

    masked: Any = np.ma.array(turns * 2 * np.pi, mask=~known)
    found = unwrap_phase(masked, rng=0)  # type: ignore[no-untyped-call]
    flat = np.asarray(np.ma.filled(found, 0.0), np.float64) / (2 * np.pi)
    return np.where(known, flat, 0.0), part


def _centres(track: Track) -> Floats:
    """Columns and rows (n, 2) of the cells' middles."""
    height, width = track.aside.shape
    cols = track.window.col_off + (np.arange(width) + 0.5) * track.cell[0]
    rows = track.window.row_off + (np.arange(height) + 0.5) * track.cell[1]
    grid = np.stack(np.meshgrid(cols, rows), axis=-1)
    return np.asarray(grid.reshape(-1, 2), np.float64)


def _plane(track: Track, weight: Floats) -> tuple[Floats, float]:
    """Slope (2,) a metre and level at the origin of the plane through the track."""
    metres = track.frame.to_metres(_centres(track))
    root = np.sqrt(weight.ravel())
    system = np.column_stack([metres, np.ones(len(metres))]) * root[:, None]
    if np.count_nonzero(root) < 6:
        level = np.average(track.aside, weights=weight)
        return np.zeros(2), float(level)
    found = np.linalg.lstsq(system, track.aside.ravel() * root, rcond=1e-6)[0]
    return np.asarray(found[:2], np.float64), float(found[2])


def _filled(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Values (h, w), where unknown those of the nearest known cell."""
    from scipy.ndimage import distance_transform_edt

    near = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(near)], np.float64)
