"""Chips for training: torchgeo's datasets and samplers over scenes of any grid and resolution.

One `GeoDataset` and one `GeoSampler` a scene, since torchgeo knows one CRS and one resolution a
dataset, and a weighted choice between them. A query says in map units where a chip lies and at
which resolution; its centre is mapped to an integer window of the scene's own pixels.

What is drawn for a step depends on the seed and the step alone. So a training that goes on after a
kill draws what it would have drawn, and any number of threads may read ahead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import GeoSampler

from agriseg.errors import LabelError
from agriseg.geobox import Window
from agriseg.labels import IGNORE, Codes
from agriseg.training.config import AugmentConfig, ChipConfig
from agriseg.training.parts import ScenePart, cell_weights, class_shares
from agriseg.training.pixels import PixelStore

__all__ = ["ChipSampler", "Chips", "SceneDataset", "Zoom", "stack"]

Query = tuple[slice, slice, slice]

# What remains to resample after averaging: beyond, bilinear resampling would skip pixels.
_LEFT_OVER = 1.5
_PURPOSES = {"training": 1, "statistics": 2}


@dataclass(frozen=True)
class Zoom:
    """How many source pixels make a pixel of a chip.

    Args:
        gsd_range_m: Metres a pixel that the network shall see, or None: the scene's.
        scale: Smallest and largest size of things against their own.
        size: Side of the chips.
        rotate_deg: How far chips will be turned, besides by quarters.
    """

    gsd_range_m: tuple[float, float] | None
    scale: tuple[float, float]
    size: int
    rotate_deg: float = 0.0

    @classmethod
    def of(cls, chips: ChipConfig, augment: AugmentConfig) -> Zoom:
        """Those of a training."""
        return cls(chips.gsd_range_m, augment.scale, chips.size, augment.rotate_deg)

    @classmethod
    def fixed(cls, chips: ChipConfig) -> Zoom:
        """One for each scene: for validation, the middle of the range."""
        gsd = chips.gsd_range_m
        if gsd is not None:
            gsd = (math.sqrt(gsd[0] * gsd[1]),) * 2
        return cls(gsd, (1.0, 1.0), chips.size)

    def draw(self, random: np.random.Generator | None, gsd_m: float | None) -> float:
        """One at random, on a logarithmic scale; without chance, the middle."""
        zoom = 1 / _between(random, self.scale)
        if self.gsd_range_m is not None and gsd_m is not None:
            zoom *= _between(random, self.gsd_range_m) / gsd_m
        return zoom

    @property
    def side(self) -> int:
        """Side of what is read for a chip, once whole pixels are averaged (see `averaged`)."""
        largest = 1 / self.scale[0] if self.gsd_range_m is None else _LEFT_OVER
        turn = math.radians(min(self.rotate_deg, 45.0))
        reach = self.size * min(largest, _LEFT_OVER) * (math.cos(turn) + math.sin(turn))
        # An even difference: the chip lies in the middle.
        return self.size + 2 * math.ceil((reach - self.size) / 2 - 1e-6)


def averaged(zoom: float) -> int:
    """How many pixels are averaged each way before a chip is resampled by what remains."""
    return max(math.ceil(zoom / _LEFT_OVER), 1)


class SceneDataset(GeoDataset):
    """A part of one scene for torchgeo.

    Args:
        number: Of the scene in the store.
        part: Which of its pixels.
        store: What reads it.
        side: Pixels along a side of what a query gets.
    """

    def __init__(self, number: int, part: ScenePart, store: PixelStore, side: int) -> None:
        import geopandas
        import pandas as pd
        import shapely

        self.number, self.part, self._store, self._side = number, part, store, side
        box = part.labelled.scene.geobox
        self._inverse = ~box.transform
        t = box.transform
        self._res = (math.hypot(t.a, t.d), math.hypot(t.b, t.e))
        always = pd.IntervalIndex.from_tuples(
            [(pd.Timestamp.min, pd.Timestamp.max)], closed="both", name="datetime"
        )
        crs = None if box.crs is None else box.crs.to_wkt()
        footprint = shapely.Polygon(box.corners)
        self.index = geopandas.GeoDataFrame(index=always, geometry=[footprint], crs=crs)

    def __getitem__(self, query: Any) -> dict[str, Any]:
        """What is around the centre of `query`, at about its resolution.

        Returns:
            `image` (bands, side, side), `valid` and `codes` (side, side), `present` (bands,),
            `picture`: whether a camera developed it already, and `zoom`: how many of these pixels
            make one at the resolution asked for.
        """
        x, y, _ = query
        col, row = self._inverse @ ((x.start + x.stop) / 2, (y.start + y.stop) / 2)
        zoom = (x.step or self._res[0]) / self._res[0]
        factor = averaged(zoom)
        reach = self._side * factor
        window = Window(round(col - reach / 2), round(row - reach / 2), reach, reach)
        data, valid, codes = self._store.read(self.number, window)
        if not self.part.mask.all():
            rows, cols = (np.arange(reach) + at for at in (window.row_off, window.col_off))
            # Labels of the other parts are not seen, however far a chip reaches.
            codes = np.where(self.part.inside(rows, cols), codes, np.uint8(IGNORE))
        if factor > 1:
            data, valid, codes = _reduced(data, valid, codes, factor)
        return {
            "image": data,
            "valid": valid,
            "codes": codes,
            "present": self._store.present[self.number],
            "picture": self.part.labelled.scene.radiometry.level == "relative",
            "zoom": zoom / factor,
        }

    def query(self, col: float, row: float, zoom: float, size: int) -> Query:
        """The query of a chip of `size` pixels around a point of the grid."""
        x, y = self.part.labelled.scene.geobox.transform @ (col, row)
        across, down = (size * zoom * res / 2 for res in self._res)
        step = (self._res[0] * zoom, self._res[1] * zoom)
        return (
            slice(x - across, x + across, step[0]),
            slice(y - down, y + down, step[1]),
            slice(None),
        )


class ChipSampler(GeoSampler):
    """Draws chips from one scene: cells by their weight, then a point in the cell.

    Args:
        dataset: The scene.
        weights: (rows, cols) of its cells.
        zoom: How many pixels make one.
    """

    def __init__(self, dataset: SceneDataset, weights: NDArray[np.float64], zoom: Zoom) -> None:
        super().__init__(dataset)
        self._dataset, self._zoom = dataset, zoom
        self.total = float(weights.sum())
        self._cols = weights.shape[1]
        self._cumulated = np.cumsum(weights.ravel()) / max(self.total, 1e-300)

    def draw(self, random: np.random.Generator) -> Query:
        """One chip."""
        part = self._dataset.part
        box, cell = part.labelled.scene.geobox, part.cell
        found = int(np.searchsorted(self._cumulated, random.random(), side="right"))
        row, col = divmod(min(found, len(self._cumulated) - 1), self._cols)
        down, across = random.random(2)
        y = row * cell + down * min(cell, box.height - row * cell)
        x = col * cell + across * min(cell, box.width - col * cell)
        size, zoom = self._zoom.size, self._zoom.draw(random, part.labelled.gsd_m)
        # Chips shall not hang over the edge, where they would be half empty.
        half = size * zoom / 2
        return self._dataset.query(
            _within(x, half, box.width), _within(y, half, box.height), zoom, size
        )

    def __iter__(self) -> Iterator[Query]:
        """Chips without end, as torchgeo's loaders take them."""
        random = np.random.default_rng(0)
        while True:
            yield self.draw(random)


class Chips:
    """Batches of chips by step: which scene, where, how large, and their pixels.

    Args:
        parts: Scenes with what of them is for training.
        codes: What the numbers in labels mean.
        store: What reads them; its scenes are those of the parts.
        zoom: How many pixels make one.
        batch: Chips in a batch.
        rare: See `ChipConfig`.
        seed: See `LearnConfig`.

    Raises:
        LabelError: No scene would ever be drawn.
    """

    def __init__(
        self,
        parts: Sequence[ScenePart],
        codes: Codes,
        store: PixelStore,
        zoom: Zoom,
        *,
        batch: int,
        rare: float,
        seed: int,
    ) -> None:
        self.zoom, self._batch, self._seed = zoom, batch, seed
        shares = class_shares(list(parts), codes)
        number = {id(labelled): k for k, labelled in enumerate(store.scenes)}
        self._datasets = [
            SceneDataset(number[id(part.labelled)], part, store, zoom.side) for part in parts
        ]
        self._samplers = [
            ChipSampler(dataset, cell_weights(dataset.part, codes, shares, rare), zoom)
            for dataset in self._datasets
        ]
        weights = np.array(
            [s.total * p.labelled.weight for s, p in zip(self._samplers, parts, strict=True)]
        )
        if not weights.any():
            raise LabelError(
                "all scenes for training have weight: 0, so none is ever drawn; give one of them 1"
            )
        self._choice = weights / weights.sum()

    def batch(self, step: int, purpose: str = "training") -> dict[str, Tensor]:
        """The batch of a step (see `stack`); the same whenever it is asked for."""
        return stack(self.samples(step, purpose))

    def samples(self, step: int, purpose: str = "training") -> list[dict[str, Any]]:
        """The chips of a step, each with the name of its scene."""
        random = np.random.default_rng([self._seed, _PURPOSES[purpose], step])
        samples = []
        for scene in random.choice(len(self._choice), self._batch, p=self._choice):
            dataset = self._datasets[scene]
            sample = dataset[self._samplers[scene].draw(random)]
            samples.append({**sample, "name": dataset.part.name})
        return samples


def stack(samples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Samples as one batch of tensors."""
    batch = {
        key: torch.from_numpy(np.stack([sample[key] for sample in samples]))
        for key in ("image", "valid", "codes", "present", "picture")
    }
    batch["zoom"] = torch.tensor([sample["zoom"] for sample in samples], dtype=torch.float32)
    return batch


def _between(random: np.random.Generator | None, limits: tuple[float, float]) -> float:
    low, high = limits
    if low == high:
        return low
    share = 0.5 if random is None else random.random()
    return math.exp(math.log(low) * (1 - share) + math.log(high) * share)


def _within(centre: float, half: float, length: int) -> float:
    """The centre moved so that the chip lies inside, or the middle where it cannot."""
    return length / 2 if length <= 2 * half else min(max(centre, half), length - half)


def _reduced(
    data: NDArray[Any], valid: NDArray[np.bool_], codes: NDArray[np.uint8], factor: int
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8]]:
    """Means of `factor` x `factor` pixels; the code in their middle."""
    height, width = (side // factor for side in valid.shape)
    blocks = (height, factor, width, factor)
    weight = valid.reshape(blocks).sum(axis=(1, 3), dtype=np.float32)
    total = data.reshape(len(data), *blocks).sum(axis=(2, 4), dtype=np.float32)
    whole = weight == factor**2
    mean = (total / np.maximum(weight, 1)).astype(data.dtype)
    middle = codes[factor // 2 :: factor, factor // 2 :: factor]
    return mean, whole, np.where(whole, middle, np.uint8(IGNORE))
