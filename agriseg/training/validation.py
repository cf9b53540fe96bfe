"""Chips by which a training sees how good it is: always the same, and side by side."""

from __future__ import annotations

import math

from torch import Tensor

from agriseg.labels import IGNORE
from agriseg.training.chips import SceneDataset, Zoom, stack
from agriseg.training.parts import ScenePart
from agriseg.training.pixels import PixelStore
from agriseg.training.plan import Plan

__all__ = ["validation_batches"]


def validation_batches(plan: Plan, store: PixelStore) -> list[dict[str, Tensor]]:
    """Batches of chips over the validation parts, at most `learn.validation_chips`, spread evenly.

    Args:
        plan: Of the training.
        store: What reads its scenes.
    """
    zoom = Zoom.fixed(plan.config.chips)
    number = {id(labelled): k for k, labelled in enumerate(store.scenes)}
    places: list[tuple[SceneDataset, float, float, float]] = []
    for part in plan.validation:
        dataset = SceneDataset(number[id(part.labelled)], part, store, zoom.side)
        each = zoom.draw(None, part.labelled.gsd_m)
        places += [(dataset, *place, each) for place in _places(part, zoom.size * each)]
    most = plan.config.learn.validation_chips
    if len(places) > most:
        places = [places[int((k + 0.5) * len(places) / most)] for k in range(most)]
    samples = []
    for dataset, col, row, each in places:
        sample = dataset[dataset.query(col, row, each, zoom.size)]
        if (sample["codes"] != IGNORE).any():
            samples.append(sample)
    batch = plan.config.chips.batch
    return [stack(samples[k : k + batch]) for k in range(0, len(samples), batch)]


def _places(part: ScenePart, reach: float) -> list[tuple[float, float]]:
    """Centres (col, row) of chips side by side that meet labelled cells of the part."""
    box, cell = part.labelled.scene.geobox, part.cell
    labelled = part.mask & part.counts.any(axis=2)
    found = []
    for top in _starts(box.height, reach):
        rows = slice(math.floor(top / cell), math.ceil((top + reach) / cell))
        for left in _starts(box.width, reach):
            cols = slice(math.floor(left / cell), math.ceil((left + reach) / cell))
            if labelled[max(rows.start, 0) : rows.stop, max(cols.start, 0) : cols.stop].any():
                found.append((left + reach / 2, top + reach / 2))
    return found


def _starts(length: int, reach: float) -> list[float]:
    """Where chips begin so that they cover a side; of a shorter one, around its middle."""
    if length <= reach:
        return [(length - reach) / 2]
    count = math.ceil(length / reach)
    return [k * (length - reach) / (count - 1) for k in range(count)]
