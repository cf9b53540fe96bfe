"""How good a model is: counts, scores with intervals, borders, objects, confidence, seams."""

from agriseg.evaluation.calibration import fit_temperature
from agriseg.evaluation.result import Comparison, Evaluation
from agriseg.evaluation.verb import (
    EvaluateKeywords,
    LabelledData,
    Watcher,
    evaluate,
    evaluate_folds,
)

__all__ = [
    "Comparison",
    "EvaluateKeywords",
    "Evaluation",
    "LabelledData",
    "Watcher",
    "evaluate",
    "evaluate_folds",
    "fit_temperature",
]
