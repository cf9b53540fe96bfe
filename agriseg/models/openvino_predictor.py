"""Predicting with OpenVINO on a CPU: the same network, converted in memory and compiled.

Normalisation, the network, the calibration temperature and the softmax are one graph. It is
compiled once, with free height and width: compiled for each shape of chip that a run has (the inner
ones, and those clipped by the right and lower edge) it gave the same bytes, was no faster (0.65
against 0.70 s for 1024 x 1024 pixels and a ResNet-34 U-Net on two cores), and took half a second
more for each.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agriseg.errors import ModelError, said_by
from agriseg.models.card import ModelCard
from agriseg.models.decoder_folding import fold_decoder
from agriseg.models.engines import EngineError, Numerics
from agriseg.models.network_predictor import NetworkPredictor, load_network

__all__ = ["OpenVinoPredictor", "compiled", "converted", "load"]

# bfloat16 moves probabilities by a hundredth or so, and rarely one as far as this.
_FAR, _OFTEN = 0.25, 0.05
# What is left of a quantised network besides its convolutions is computed in float32.
_PRECISIONS = {"bfloat16": "bf16", "float32": "f32", "int8": "f32"}


def load(
    path: Path, card: ModelCard, numerics: Numerics, *, trust: bool = False
) -> NetworkPredictor:
    """Load a model file into a predictor.

    Raises:
        ModelError: The architecture is not trusted, or the weights do not fit it.
        EngineError: OpenVINO cannot convert it.
    """
    network = load_network(path, card, trust=trust)
    if numerics.precision == "int8":
        from agriseg.models.int8_predictor import Int8Predictor

        return Int8Predictor(card, network, numerics)
    return OpenVinoPredictor(card, network, numerics)


class _Whole(torch.nn.Module):
    """From reflectance to probabilities."""

    def __init__(self, card: ModelCard, network: torch.nn.Module) -> None:
        super().__init__()
        shape = (1, -1, 1, 1)
        self.network, self.temperature = network, card.temperature
        self.means = torch.nn.Buffer(torch.from_numpy(card.means).reshape(shape))
        self.scales = torch.nn.Buffer(1 / torch.from_numpy(card.stds).reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.network((x - self.means) * self.scales)
        return torch.softmax(logits / self.temperature, dim=1)


class OpenVinoPredictor(NetworkPredictor):
    """A network and its card as a `Predictor`.

    Args:
        card: The card.
        network: From (n, bands, h, w) to logits (n, classes, h, w).
        numerics: How to compute.
        requests: What computes it, one for each stream; None: made of the network.
    """

    def __init__(
        self,
        card: ModelCard,
        network: torch.nn.Module,
        numerics: Numerics,
        requests: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(card, network, numerics)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for request in requests if requests is not None else _checked(card, network, numerics):
            self._requests.put(request)

    def __call__(self, batch: NDArray[np.float32], /) -> torch.Tensor:
        """Probabilities (n, classes, h, w) float32 of (n, bands, h, w) reflectance."""
        # The result is a copy, which takes 3 ms: else the next call would write into this one's.
        request = self._requests.get()
        try:
            found = request.infer({0: np.ascontiguousarray(batch)}, share_inputs=True)
        except RuntimeError as error:
            n, _, height, width = batch.shape
            said = said_by(error)
            raise ModelError(
                f"model {self.card.name!r}: OpenVINO failed on {n} chip(s) of {width} x {height} "
                f"pixels ({said}); use a smaller --chip, or --engine torch"
            ) from error
        finally:
            self._requests.put(request)
        return torch.from_numpy(found[0])


def _openvino() -> Any:
    # Its converter would report its use to its makers; without this module it does without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _side(card: ModelCard) -> int:
    return max(card.stride, 64 // card.stride * card.stride)


def converted(card: ModelCard, network: torch.nn.Module, batch: int) -> tuple[Any, torch.nn.Module]:
    """The OpenVINO model of free height and width, and the module in torch that it is made of."""
    shape = [-1, len(card.bands), -1, -1]
    example = torch.zeros(batch, len(card.bands), _side(card), _side(card))
    openvino = _openvino()
    whole = _Whole(card, fold_decoder(network, len(card.bands), card.stride)).eval()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracer, which nobody can act upon
        # Tracing twice, to compare, would take a third of the time; `_checked` sees more than that.
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            whole, example, check_trace=False, strict=False
        )
        return openvino.convert_model(traced, example_input=example, input=shape), whole


def compiled(model: Any, numerics: Numerics) -> list[Any]:
    """What answers requests: one for each stream."""
    options = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[numerics.precision],
        "INFERENCE_NUM_THREADS": numerics.threads,
        "NUM_STREAMS": numerics.streams,
        # Two workers of one thread each would both be bound to the first core: 22.6 s, and 14.3.
        "ENABLE_CPU_PINNING": False,
    }
    made = _openvino().Core().compile_model(model, "CPU", options)
    return [made.create_infer_request() for _ in range(numerics.streams)]


def _checked(card: ModelCard, network: torch.nn.Module, numerics: Numerics) -> list[Any]:
    """The requests of a network, once it is seen that they give what it gives in torch."""
    try:
        model, whole = converted(card, network, numerics.batch)
        requests = compiled(model, numerics)
        # The conversion follows one example: see that it did not take its size for a constant.
        size = (1, len(card.bands), 2 * _side(card), _side(card) + card.stride)
        data = np.random.default_rng(0).standard_normal(size, np.float32)
        with torch.inference_mode():
            off = torch.from_numpy(requests[0].infer({0: data})[0]) - whole(torch.from_numpy(data))
        share = float((off.abs() > _FAR).float().mean())
        if share > _OFTEN:
            raise ValueError(f"{share:.0%} of its outputs are not those of torch")
        return requests
    except ImportError:
        raise
    except Exception as error:
        said = said_by(error)
        raise EngineError(
            f"model {card.name!r}: OpenVINO cannot take its network ({said}); use --engine torch"
        ) from error
