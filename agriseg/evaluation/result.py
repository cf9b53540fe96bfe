"""What an evaluation found: a value that is printed, drawn, and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg._version import __version__
from agriseg.errors import OutputError, said_by
from agriseg.evaluation.calibration import Calibration
from agriseg.evaluation.legends import Matched
from agriseg.evaluation.measures import Measure, Unit, number, plain_measures
from agriseg.evaluation.objects import SizeBin, of_all_sizes
from agriseg.evaluation.pictures import Picture
from agriseg.evaluation.scores import Floats, confusion

__all__ = ["Comparison", "Evaluation", "Pixels", "SceneScore", "make_folder"]


@dataclass(frozen=True)
class SceneScore:
    """How one scene did.

    Args:
        name: The scene.
        pixels: Pixels whose class is known.
        mean_iou, accuracy: Its scores; NaN where there is nothing to score.
    """

    name: str
    pixels: int
    mean_iou: float
    accuracy: float


@dataclass(frozen=True)
class Pixels:
    """What was compared, and what not.

    Args:
        counts: (codes, classes) pixels with each code that were called each class.
        truth_ha, map_ha: (classes,) hectares where the class is known: labelled so, and called so;
            None where the size of pixels is unknown.
        ignored: Pixels without a label.
        unpredicted: Pixels with a label that have no data.
        mapped: Pixels that were predicted.
        mapped_ha: The same in hectares, or None.
    """

    counts: NDArray[np.int64]
    truth_ha: Floats | None
    map_ha: Floats | None
    ignored: int
    unpredicted: int
    mapped: int
    mapped_ha: float | None

    @property
    def labelled(self) -> int:
        """Pixels that were compared."""
        return int(self.counts.sum())


@dataclass(frozen=True)
class Comparison:
    """Another model on the same pixels.

    Args:
        other: Its evaluation.
        differences: Scores of the first model minus those of the other; the intervals are of the
            difference, drawn on the same units.
    """

    other: Evaluation
    differences: Mapping[str, Measure]


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on labelled scenes.

    Args:
        model: Name of the model.
        fingerprint: What tells its weights from others.
        numerics: What computed it.
        matched: The classes.
        measures: `iou, precision, recall, f1, boundary_f1, boundary_iou` by class, and
            `mean_iou, mean_f1, mean_boundary_f1, mean_boundary_iou, accuracy, kappa`.
        unit: What the intervals are drawn from.
        tolerance: (metres or None, pixels) that borders may be off; a mean over scenes.
        pixels: What was compared.
        scenes: Each scene's scores.
        objects: By class and size, how many of the truth are found, and of the map are right.
        calibration: Whether confidence can be trusted.
        seam_score: How much oftener classes change where chips meet; NaN with one chip a scene.
        seconds: What reading, predicting and merging took.
        gsd_m: Pixel size that the scenes were brought to; None: their own.
        notes: What one should know.
        pictures: Windows to look at.
        series: Evaluations at other pixel sizes.
        comparison: Another model beside it.
    """

    model: str
    fingerprint: str
    numerics: str
    matched: Matched
    measures: Mapping[str, Measure]
    unit: Unit
    tolerance: tuple[float | None, float]
    pixels: Pixels
    scenes: tuple[SceneScore, ...]
    objects: tuple[SizeBin, ...]
    calibration: Calibration
    seam_score: float
    seconds: float
    gsd_m: float | None = None
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    series: tuple[Evaluation, ...] = ()
    comparison: Comparison | None = field(default=None)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that are scored."""
        return self.matched.scored.names

    @property
    def confusion(self) -> Floats:
        """(classes, classes) pixels: truth, then prediction."""
        return confusion(self.pixels.counts, self.matched.decided)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that the truth has."""
        return float(self.measures["mean_iou"].value)

    @property
    def iou(self) -> dict[str, float | None]:
        """IoU by class; None of a class that the truth has nowhere."""
        values = self.measures["iou"].value
        return {name: number(float(values[k])) for k, name in enumerate(self.names)}

    @property
    def seconds_per_ha(self) -> float | None:
        area = self.pixels.mapped_ha
        return self.seconds / area if area else None

    @property
    def words(self) -> str:
        """How good, and where it fails, in a sentence or two."""
        from agriseg.evaluation.words import in_words

        return in_words(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, as JSON takes it."""
        together, by_class = plain_measures(self.measures, self.names)
        found: dict[str, Any] = {
            "agriseg": __version__,
            "model": {
                "name": self.model,
                "fingerprint": self.fingerprint,
                "numerics": _parsed(self.numerics),
            },
            "gsd_m": number(self.gsd_m),
            "words": self.words,
            "scores": together,
            "classes": by_class,
            "intervals": self.unit.to_dict(),
            "boundary_tolerance": {
                "metres": number(self.tolerance[0]),
                "pixels": number(self.tolerance[1]),
            },
            "legend": {
                "scored": list(self.names),
                "model": list(self.matched.model.names),
                "data": list(self.matched.codes.legend.names),
                "map": dict(self.matched.renamed),
            },
            "pixels": self._pixels_dict(),
            "objects": [
                {
                    "class": one.class_name,
                    "from": number(one.low),
                    "below": number(one.high),
                    "unit": one.unit,
                    "objects": one.objects,
                    "found": one.found,
                    "recall": number(one.recall),
                    "called": one.called,
                    "right": one.right,
                    "precision": number(one.precision),
                }
                for one in self.objects
            ],
            "object_recall": self._of_objects("recall"),
            "object_precision": self._of_objects("precision"),
            "calibration": _calibration_dict(self.calibration),
            "seam_score": number(self.seam_score),
            "seconds": round(self.seconds, 3),
            "seconds_per_ha": number(self.seconds_per_ha),
            "scenes": [
                {
                    "name": one.name,
                    "pixels": one.pixels,
                    "mean_iou": number(one.mean_iou),
                    "accuracy": number(one.accuracy),
                }
                for one in self.scenes
            ],
            "notes": list(self.notes),
        }
        if self.series:
            found["gsd_series"] = [one.to_dict() for one in self.series]
        if self.comparison is not None:
            found["against"] = self.comparison.other.to_dict()
            all_, classes = plain_measures(self.comparison.differences, self.names)
            found["difference"] = {"scores": all_, "classes": classes}
        return found

    def _of_objects(self, share: str) -> dict[str, float | None]:
        """A share of the objects of all sizes, by class."""
        sums = {name: of_all_sizes(self.objects, name) for name in self.names}
        return {name: number(getattr(one, share)) for name, one in sums.items() if one is not None}

    def _pixels_dict(self) -> dict[str, Any]:
        counts, found = self.pixels.counts, self.pixels
        matched = self.matched
        truth, called = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        by_class: dict[str, Any] = {
            name: {"truth": int(truth[k]), "map": int(called[k])}
            for k, name in enumerate(self.names)
        }
        if found.truth_ha is not None and found.map_ha is not None:
            for k, name in enumerate(self.names):
                by_class[name]["truth_ha"] = number(float(found.truth_ha[k]))
                by_class[name]["map_ha"] = number(float(found.map_ha[k]))
        return {
            "compared": found.labelled,
            "ignored": found.ignored,
            "labelled_without_data": found.unpredicted,
            "mapped": found.mapped,
            "mapped_ha": number(found.mapped_ha),
            "classes": by_class,
            "labels_and_predictions": {
                matched.code_name(code): {
                    name: int(counts[code, k]) for k, name in enumerate(self.names)
                }
                for code in range(len(counts))
            },
        }

    def save(self, out: str | Path) -> list[Path]:
        """Write evaluation.json and evaluation.png into a folder.

        Raises:
            OutputError: They cannot be written.
        """
        from agriseg.evaluation.page import draw_evaluation

        folder = make_folder(out)
        try:
            path = folder / "evaluation.json"
            beside = path.with_name("evaluation.json.part")
            beside.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
            beside.replace(path)
            return [path, draw_evaluation(self, folder / "evaluation.png")]
        except OSError as error:
            raise OutputError(
                f"the evaluation cannot be written to {folder} ({said_by(error)}); give another "
                "folder with -o"
            ) from error


def make_folder(out: str | Path) -> Path:
    """Make the folder that an evaluation goes to, where it is not there.

    Raises:
        OutputError: It cannot be made.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({said_by(error)}); give another folder with -o"
        ) from error
    return folder


def _parsed(numerics: str) -> Any:
    try:
        return json.loads(numerics)
    except ValueError:
        return numerics


def _calibration_dict(found: Calibration) -> dict[str, Any]:
    rows = zip(
        found.reliability.edges[:-1],
        found.reliability.edges[1:],
        found.reliability.pixels,
        found.reliability.confidence,
        found.reliability.accuracy,
        strict=True,
    )
    return {
        "ece": number(found.error),
        "temperature_factor": number(found.factor),
        "temperature": number(found.temperature),
        "ece_with_temperature": number(found.error_after),
        "nll": number(found.nll_before),
        "nll_with_temperature": number(found.nll_after),
        "sampled_pixels": found.sampled,
        "bins": [
            {
                "from": number(float(low)),
                "to": number(float(high)),
                "pixels": int(many),
                "confidence": number(float(sure)),
                "accuracy": number(float(right)),
            }
            for low, high, many, sure, right in rows
        ],
    }
