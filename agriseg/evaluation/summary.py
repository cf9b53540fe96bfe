"""From what passes counted to evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agriseg.evaluation.calibration import calibrate
from agriseg.evaluation.measures import Units, differences, measures, units_of
from agriseg.evaluation.objects import size_bins
from agriseg.evaluation.passes import Pass, Work, pixel_areas, run_pass
from agriseg.evaluation.result import Comparison, Evaluation, Pixels, SceneScore
from agriseg.evaluation.scores import Floats, confusion, score
from agriseg.evaluation.tally import Tally
from agriseg.labels import LabelledScene
from agriseg.models import fingerprint_of, numerics_of

__all__ = ["compared", "series_of"]


def compared(passes: Sequence[Pass], notes: tuple[str, ...]) -> list[Evaluation]:
    """The evaluations of passes over the same scenes, with differences to the first."""
    # The same units for all: those that any of them has.
    places = np.unique(np.concatenate([one.tally.places() for one in passes]), axis=0)
    units = [_units(one, places) for one in passes]
    found = [_evaluation(one, mine, places, notes) for one, mine in zip(passes, units, strict=True)]
    if len(passes) == 2:
        apart = differences(units[0], units[1], *(one.work.matched for one in passes[:2]))
        found[0] = replace(found[0], comparison=Comparison(found[1], apart))
    return found


def _units(one: Pass, places: NDArray[np.int64]) -> Units:
    tables = one.tally.tables(places)
    return units_of(one.work.scenes, places, tables, one.tally.side)


def _evaluation(
    one: Pass, units: Units, places: NDArray[np.int64], notes: tuple[str, ...]
) -> Evaluation:
    work, tally, matched = one.work, one.tally, one.work.matched
    table, _ = tally.tables(places)
    by_scene = np.zeros((len(work.scenes), *table.shape[1:]), np.int64)
    np.add.at(by_scene, places[:, 0], table)
    scored = score(by_scene, matched.allowed, matched.decided)
    known = confusion(by_scene, matched.decided)
    sets = int(table[:, matched.decided < 0].sum())
    areas, unit = pixel_areas(work.scenes)
    card = work.predictor.card
    groups = np.zeros((len(matched.scored), len(matched.model)), bool)
    groups[list(matched.of_model), np.arange(len(matched.model))] = True
    metres = None
    if all(scene.gsd_m for scene in work.scenes):
        each = (r * (s.gsd_m or 0) for r, s in zip(tally.radii, work.scenes, strict=True))
        metres = float(np.mean(list(each)))
    return Evaluation(
        model=card.name,
        fingerprint=fingerprint_of(work.predictor),
        numerics=numerics_of(work.predictor),
        matched=matched,
        measures=measures(units, matched),
        unit=units.unit,
        tolerance=(metres, float(np.mean(tally.radii))),
        pixels=_pixels(tally, by_scene, known, areas if unit == "m2" else None),
        scenes=tuple(
            SceneScore(
                scene.name,
                int(known[k].sum()),
                float(scored.mean_iou[k]),
                float(scored.accuracy[k]),
            )
            for k, scene in enumerate(work.scenes)
        ),
        objects=size_bins(tally.objects, tally.called, matched.scored.names, unit),
        calibration=calibrate(
            tally.confidence,
            one.sample,
            groups,
            matched.decided,
            card.temperature,
            single=sets < 0.05 * table.sum(),
        ),
        seam_score=tally.seams.score,
        seconds=one.seconds,
        gsd_m=work.gsd_m,
        notes=(*notes, *one.notes),
        pictures=tally.album.chosen(),
    )


def _pixels(
    tally: Tally,
    by_scene: NDArray[np.int64],
    known: Floats,
    areas: Sequence[float] | None,
) -> Pixels:
    hectares = None if areas is None else np.array(areas) / 1e4
    mapped = [tally.mapped[place] for place in range(len(by_scene))]
    return Pixels(
        counts=by_scene.sum(axis=0),
        truth_ha=None if hectares is None else hectares @ known.sum(axis=2),
        map_ha=None if hectares is None else hectares @ known.sum(axis=1),
        ignored=tally.ignored,
        unpredicted=tally.unpredicted,
        mapped=sum(mapped),
        mapped_ha=None if hectares is None else float(hectares @ np.array(mapped)),
    )


def series_of(
    work: Work,
    sizes: Sequence[tuple[LabelledScene, ...]],
    gsd_m: Sequence[float],
    found: Evaluation,
) -> tuple[Evaluation, ...]:
    """The same at other pixel sizes, borders with the same tolerance in metres."""
    options = work.options
    if options.get("tolerance_m") is None and found.tolerance[0] is not None:
        options = {**options, "tolerance_m": found.tolerance[0]}
    series = []
    for scenes, size in zip(sizes, gsd_m, strict=True):
        again = replace(work, scenes=scenes, gsd_m=size, options=options)
        series.append(replace(compared([run_pass(again)], ())[0], pictures=()))
    return tuple(series)
