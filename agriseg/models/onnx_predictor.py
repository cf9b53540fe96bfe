"""Predicting with a network from elsewhere: an ONNX file, in ONNX Runtime on a CPU.

The graph is a stranger's, so nothing is believed: one batch is predicted on loading, and what comes
back must be what the card promises. Each call runs on the thread that makes it, several at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agriseg.errors import ModelError, OptionError, said_by
from agriseg.models.card import ModelCard
from agriseg.models.engines import EngineError, Numerics
from agriseg.models.network_predictor import SettledPredictor
from agriseg.models.onnx_file import (
    OnnxFile,
    need_onnx,
    read_graph_facts,
    read_onnx,
    with_free_sides,
)
from agriseg.models.onnx_graph import graph_input, kind_of_outputs

__all__ = ["OnnxPredictor", "load"]

# Side of the chips that are predicted on loading, where the graph leaves it open.
_PROBE = 64


def load(path: Path, card: ModelCard, numerics: Numerics, *, trust: bool = False) -> OnnxPredictor:
    """Load an ONNX file into a predictor; `trust` is not asked for, as no code is run.

    Raises:
        ModelError: The file is damaged, or does not fit its card.
        EngineError: ONNX Runtime is missing, or cannot take the graph.
    """
    facts, file = read_graph_facts(path), read_onnx(path)
    if facts.any_size:
        file = with_free_sides(file)
    return OnnxPredictor(card, file, numerics, where=path, outputs=facts.outputs)


class OnnxPredictor(SettledPredictor):
    """An ONNX graph and its card as a `Predictor`.

    Args:
        card: The card.
        file: The graph: from (n, bands, h, w), normalised by the card's means and deviations, to
            (n, classes, h, w), or (n, 1, h, w) for the second of two classes.
        numerics: How to compute.
        where: The file, for messages.
        outputs: "logits" or "probabilities"; None: found out, where that is beyond doubt.
    """

    def __init__(
        self,
        card: ModelCard,
        file: OnnxFile,
        numerics: Numerics,
        *,
        where: Path,
        outputs: str | None = None,
    ) -> None:
        self._session = _session(file.data, where)
        self._takes = takes = graph_input(self._session, card, where)
        if takes.batch is not None:
            # One is what a CPU gets where nobody asks for a number.
            if numerics.batch not in (1, takes.batch):
                raise OptionError(
                    f"--batch {numerics.batch}: {where} takes batches of {takes.batch} only; leave "
                    "it out"
                )
            numerics = replace(numerics, batch=takes.batch)
        self._means, self._stds = (v.reshape(1, -1, 1, 1) for v in (card.means, card.stds))
        self._is_plain = not card.means.any() and bool((card.stds == 1).all())
        found = self._probe(card, numerics, where)
        self._outputs = kind_of_outputs(found, outputs, file.last, where)
        if self._outputs == "probabilities" and card.temperature != 1:
            raise ModelError(
                f"{where}: gives probabilities, to which the card's temperature of "
                f"{card.temperature:g} cannot be applied; set it to 1, or export the logits"
            )
        print_of_all = hashlib.sha256(f"{card.digest} {self._outputs} {file.digest}".encode())
        super().__init__(
            card, numerics, fingerprint=print_of_all.hexdigest(), parameters=file.parameters
        )

    def about(self) -> dict[str, Any]:
        """How it computes, how large it is, and what the graph was found to give."""
        return {**super().about(), "outputs": self._outputs}

    def __call__(self, batch: NDArray[np.float32], /) -> torch.Tensor:
        """Probabilities (n, classes, h, w) float32 of (n, bands, h, w) reflectance.

        Raises:
            ModelError: ONNX Runtime failed, or the chip is larger than the graph takes.
        """
        n, _, height, width = batch.shape
        try:
            found = self._run(batch)
        # Its dozen classes of errors have no other base.
        except Exception as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"model {self.card.name!r}: ONNX Runtime failed on {n} chip(s) of {width} x "
                f"{height} pixels ({said_by(error)}); use a smaller --chip"
            ) from error
        return torch.from_numpy(_probabilities(found, self._outputs, self.card.temperature))

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the graph gives, (n, channels, h, w) float32."""
        takes, (height, width) = self._takes, batch.shape[2:]
        down, across = (takes.height or height) - height, (takes.width or width) - width
        if down < 0 or across < 0:
            raise ModelError(
                f"model {self.card.name!r}: its graph takes chips of {takes.width or 'any'} x "
                f"{takes.height or 'any'} pixels, this one has {width} x {height}; leave --chip out"
            )
        if down or across:  # the raster's right or lower edge clips this chip
            batch = np.pad(batch, ((0, 0), (0, 0), (0, down), (0, across)), mode="reflect")
        found = np.asarray(self._ask(batch), np.float32)
        return found[:, :, :height, :width] if down or across else found

    def _ask(self, batch: NDArray[np.float32]) -> Any:
        """The graph's own output for a batch of a shape that it takes."""
        x = batch if self._is_plain else (batch - self._means) / self._stds
        given = np.ascontiguousarray(x, self._takes.dtype)
        return self._session.run(None, {self._takes.name: given})[0]

    def _probe(self, card: ModelCard, numerics: Numerics, where: Path) -> NDArray[np.float32]:
        """What the graph gives for noise, once its shape is right."""
        takes, stride = self._takes, card.stride
        side = min(-(-_PROBE // stride) * stride, card.chip_size)
        # Not square, and one side an odd number of strides: neither a swap of the axes nor a
        # fixed side nor too small a stride should stay hidden.
        across = side + stride if side + stride <= card.chip_size else max(side - stride, stride)
        shape = (numerics.batch, len(card.bands), takes.height or side, takes.width or across)
        random = np.random.default_rng(0)
        # A graph that normalises by itself may take a logarithm: nothing below 0 for it.
        data = random.random(shape, np.float32)
        if not self._is_plain:
            data = random.standard_normal(shape, np.float32) * self._stds + self._means
        try:
            found = self._ask(data)
        except Exception as error:
            raise EngineError(
                f"{where}: fails on a batch of {shape} ({said_by(error)}); the card must state its "
                "bands, and as stride what height and width must be a multiple of (now "
                f"{stride}): chip_size, where they are fixed"
            ) from error
        classes, got = len(card.legend), np.shape(found)
        expected = (shape[0], classes, *shape[2:])
        if got != expected and not (classes == 2 and got == (shape[0], 1, *shape[2:])):
            raise ModelError(
                f"{where}: gave {got} for a batch of {shape}; expected is {expected}: batch, "
                "classes of the card's legend, height, width: correct the legend, or export it so"
            )
        return np.asarray(found, np.float32)


def _session(data: bytes, where: Path) -> Any:
    """The graph, ready to answer calls of several threads, each on its own."""
    try:
        import onnxruntime
    except ImportError as error:
        raise need_onnx(error) from error
    onnxruntime.disable_telemetry_events()  # on Windows it would report its use to its makers
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what it has to say comes as an error too
    # Its own format, which it would otherwise recognise, is not what has been looked through.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EngineError(
            f"{where}: ONNX Runtime {onnxruntime.__version__} cannot take it ({said_by(error)}); "
            "export it again, with a lower opset and without custom operations"
        ) from error


def _probabilities(
    found: NDArray[np.float32], kind: str, temperature: float
) -> NDArray[np.float32]:
    """Probabilities (n, classes, h, w) from what the graph gave.

    Args:
        found: (n, classes, h, w), or (n, 1, h, w) for the second of two classes; it is not changed.
        kind: "logits" or "probabilities".
        temperature: Logits are divided by it.
    """
    # What is not a number stays so, and is told of where results are checked.
    with np.errstate(over="ignore", invalid="ignore"):
        if found.shape[1] == 1:
            if kind == "logits":
                found = 1 / (1 + np.exp(found / np.float32(-temperature)))
            return np.concatenate([1 - found, found], axis=1)
        if kind == "probabilities":
            return found
        values: NDArray[np.float32] = found - found.max(axis=1, keepdims=True)
        if temperature != 1:
            values /= np.float32(temperature)
        np.exp(values, out=values)
        values /= values.sum(axis=1, keepdims=True)
        return values
