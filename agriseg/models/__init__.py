"""Models: what they are (card), how they are stored (file), and how they predict.

Importing this package loads no torch: reading cards, the index baseline and every check need none.
The names that do load it are found on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from agriseg.models.architectures import ARCHITECTURES, build_network
from agriseg.models.baseline import BASELINE, IndexBaseline
from agriseg.models.card import BandInput, ModelCard
from agriseg.models.default import default_for
from agriseg.models.elsewhere import ModelElsewhere, agreed, tell_of
from agriseg.models.engines import ENGINES, PRECISIONS, Numerics, resolve_numerics
from agriseg.models.file import LoadOptions, load_model, read_card, read_weights, save_model
from agriseg.models.fit import check_fit
from agriseg.models.importing import import_model
from agriseg.models.predictor import (
    Predictor,
    about,
    adapt,
    adapt_to_pixels,
    as_numpy,
    batch_of,
    check_output,
    check_predictor,
    fingerprint_of,
    is_asynchronous,
    make_ready,
    new_accumulator,
    new_batch,
    numerics_of,
    streams_for,
    streams_of,
)
from agriseg.models.reference import ModelReference, PackedModel
from agriseg.models.shipped import default_model, known_models, shipped_models

if TYPE_CHECKING:
    from agriseg.models.onnx_export import OnnxExport, export_onnx
    from agriseg.models.torch_accumulator import TorchAccumulator
    from agriseg.models.torch_predictor import TorchPredictor

__all__ = [
    "ARCHITECTURES",
    "BASELINE",
    "ENGINES",
    "PRECISIONS",
    "BandInput",
    "IndexBaseline",
    "LoadOptions",
    "ModelCard",
    "ModelElsewhere",
    "ModelReference",
    "Numerics",
    "OnnxExport",
    "PackedModel",
    "Predictor",
    "TorchAccumulator",
    "TorchPredictor",
    "about",
    "adapt",
    "adapt_to_pixels",
    "agreed",
    "as_numpy",
    "batch_of",
    "build_network",
    "check_fit",
    "check_output",
    "check_predictor",
    "default_for",
    "default_model",
    "export_onnx",
    "fingerprint_of",
    "import_model",
    "is_asynchronous",
    "known_models",
    "load_model",
    "make_ready",
    "new_accumulator",
    "new_batch",
    "numerics_of",
    "read_card",
    "read_weights",
    "resolve_numerics",
    "save_model",
    "shipped_models",
    "streams_for",
    "streams_of",
    "tell_of",
]

_LAZY = {
    "OnnxExport": "agriseg.models.onnx_export",
    "TorchAccumulator": "agriseg.models.torch_accumulator",
    "TorchPredictor": "agriseg.models.torch_predictor",
    "export_onnx": "agriseg.models.onnx_export",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
