"""Predicting in 8-bit integers with OpenVINO: the network's ranges are taken from the scene.

Post-training quantisation of weights and activations by NNCF
(https://github.com/openvinotoolkit/nncf), calibrated on windows spread over the scene that is
segmented. On two cores with avx512_vnni a U-Net on ResNet-34 made 3.5 Mpixel/s so, and 1.9 in
bfloat16; 0.2 % of the classes differed from those of float32, and 0.06 %. A scene of which too many
change is refused: then the network does not bear it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from agriseg.errors import ModelError, said_by
from agriseg.geobox import GeoBox, Window
from agriseg.models.card import ModelCard
from agriseg.models.engines import EngineError, Numerics
from agriseg.models.inputs import network_input, present_keys
from agriseg.models.network_predictor import NetworkPredictor
from agriseg.models.openvino_predictor import OpenVinoPredictor, compiled, converted

if TYPE_CHECKING:
    from agriseg.raster import Scene

__all__ = ["Int8Predictor"]

_SIDE, _LATTICE = 256, 7
# One window of so many is kept to compare with.
_HELD_OUT = 8
_MOST_CHANGED = 0.01
# What OpenVINO calls the operations of `band_pairs.WithPairs` itself: a quotient of numbers in
# 8 bits is noise where both are dark.
_PAIRS = r"__module\.network/.*"


class Int8Predictor(NetworkPredictor):
    """A network that predicts in 8-bit integers, once `for_scene` told what to calibrate it on.

    Args:
        card: The card.
        network: From (n, bands, h, w) to logits (n, classes, h, w).
        numerics: How to compute.
    """

    def __init__(self, card: ModelCard, network: torch.nn.Module, numerics: Numerics) -> None:
        super().__init__(card, network, numerics)
        self._network = network
        self._scene: Scene | None = None
        self._key: str | None = None
        # Shared by those of all scenes: the network of one scene is kept, that of the latest.
        self._slot, self._lock = _Slot(), threading.Lock()

    def for_scene(self, scene: Scene) -> Int8Predictor:
        """A predictor for this scene; `make_ready`, or its first call, calibrates it."""
        other = copy.copy(self)
        other._scene, other._key = scene, _key_of(scene)
        return other

    def about(self) -> dict[str, Any]:
        """How it computes; once calibrated, also on how much, and what that changed."""
        told, slot = super().about(), self._slot
        if slot.key is None or slot.key != self._key or slot.predictor is None:
            return told
        return {**told, "calibration_windows": slot.windows, "changed_by_int8": slot.changed}

    def make_ready(self) -> None:
        """Calibrate, unless that is done.

        Raises:
            ModelError: No scene was given, it holds no pixel, or its classes change too much.
        """
        self._calibrated()

    def __call__(self, batch: NDArray[np.float32], /) -> torch.Tensor:
        """Probabilities (n, classes, h, w) float32 of (n, bands, h, w) reflectance."""
        return self._calibrated()(batch)

    def _calibrated(self) -> OpenVinoPredictor:
        with self._lock:
            if self._slot.key != self._key or self._key is None:
                self._slot.__dict__.update(vars(_Slot(self._key)))
                try:
                    self._calibrate(self._slot)
                except ModelError as error:
                    self._slot.fault = error  # other streams should not try again
            if self._slot.fault is not None:
                raise self._slot.fault
            assert self._slot.predictor is not None
            return self._slot.predictor

    def _calibrate(self, slot: _Slot) -> None:
        card, name = self.card, f"model {self.card.name!r}"
        if self._scene is None:
            raise ModelError(
                f"{name}: int8 is calibrated on the scene to predict; call for_scene(scene) first, "
                "or load it with another precision"
            )
        windows = _windows(self._scene, card)
        if not windows:
            raise ModelError(
                f"{name}: int8 is calibrated on the scene, and no valid pixel was found in its "
                "sample; leave --precision out"
            )
        held_out = windows[_HELD_OUT // 2 :: _HELD_OUT] or windows
        seen = [w for k, w in enumerate(windows) if k % _HELD_OUT != _HELD_OUT // 2] or windows
        try:
            model, _ = converted(card, self._network, self.settings.batch)
            requests = compiled(_quantized(model, seen, bool(card.pairs)), self.settings)
        except ImportError as error:
            raise EngineError(
                f"--precision int8: NNCF cannot be loaded ({error}); pip install 'agriseg[int8]'"
            ) from error
        except Exception as error:
            said = said_by(error)
            raise EngineError(
                f"{name}: its network cannot be quantised ({said}); leave --precision out"
            ) from error
        found = OpenVinoPredictor(card, self._network, self.settings, requests)
        exact = compiled(model, replace(self.settings, precision="float32", threads=1))[0]
        equal = [(found(w).numpy().argmax(1) == _classes(exact, w)).mean() for w in held_out]
        slot.changed, slot.windows = round(1 - float(np.mean(equal)), 6), len(windows)
        if slot.changed > _MOST_CHANGED:
            raise ModelError(
                f"{name}: in int8 {slot.changed:.1%} of the classes of this scene are not those "
                f"of float32, and at most {_MOST_CHANGED:.0%} may change; leave --precision out"
            )
        slot.predictor = found


@dataclass
class _Slot:
    """What came of a calibration: a predictor, or a fault."""

    key: str | None = None
    predictor: OpenVinoPredictor | None = None
    fault: ModelError | None = None
    changed: float = 0.0
    windows: int = 0


def _key_of(scene: Scene) -> str:
    """What the pixels of a scene depend on; it changes with its files."""
    files = [Path(path) for path in dict.fromkeys(band.path for band in scene.bands)]
    stats = [file.stat() for file in files if file.exists()]
    return f"{scene!r} {[(stat.st_mtime_ns, stat.st_size) for stat in stats]}"


def _classes(request: Any, window: NDArray[np.float32]) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.asarray(request.infer({0: window})[0]).argmax(1)
    return found


def _windows(scene: Scene, card: ModelCard) -> list[NDArray[np.float32]]:
    """Windows (1, bands, h, w) on a lattice over the scene, those with valid pixels only."""
    from agriseg.errors import ReadError, RemoteReadError
    from agriseg.raster import SceneReader

    keys = present_keys(scene, card)
    found = []
    with SceneReader(scene, keys) as reader:
        for window in _lattice(scene.geobox):
            try:
                pixels = reader.read(window)
            except RemoteReadError:  # next time it may be there, and give another calibration
                raise
            except ReadError:  # told, or left out, when the chip's turn comes
                continue
            if pixels.valid.mean() > 0.5:
                found.append(network_input(pixels, keys, card)[None])
    return found


def _lattice(box: GeoBox) -> list[Window]:
    height, width = min(box.height, _SIDE), min(box.width, _SIDE)
    rows, cols = (
        sorted({round(k * (length - size) / (_LATTICE - 1)) for k in range(_LATTICE)})
        for length, size in ((box.height, height), (box.width, width))
    )
    return [Window(col, row, width, height) for row in rows for col in cols]


def _quantized(model: Any, windows: list[NDArray[np.float32]], pairs: bool) -> Any:
    """The model in 8-bit integers, its ranges those of `windows`; `pairs`: spare those of bands."""
    # Bars and logs are not for the user's screen, and never for standard output.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset(windows),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(windows),
            ignored_scope=nncf.IgnoredScope(patterns=[_PAIRS], validate=False) if pairs else None,
        )
