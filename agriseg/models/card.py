"""The model card: everything about a model but its weights, as a value that travels with them.

A card is JSON in a file that anybody may have written. So every field is checked on construction,
and a field that this version of agriseg does not know is an error rather than dropped: a newer
version may have given it a meaning that changes the map.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from agriseg._version import __version__
from agriseg.bands import ALPHA, IGNORED, split_role
from agriseg.errors import BandError, ModelError, shown
from agriseg.legend import ClassLabel, Legend

__all__ = ["BandInput", "ModelCard", "Needs"]

Needs = Literal["reflectance", "any"]
"""What a model asks of a scene's numbers: reflectance of 0..1, or anything."""

_LARGEST_CHIP = 1 << 16
_TEXTS = ("licence", "description", "caution", "agriseg_version")


@dataclass(frozen=True)
class BandInput:
    """One input channel of a model.

    Args:
        role: `role` or `role@date`, as `agriseg.bands` has it.
        wavelength_nm: Centre wavelength that the model was trained on, or None.
        required: False where the model copes without; the channel then holds `mean`.
        mean: Subtracted from the reflectance; also what invalid pixels are filled with.
        std: The difference is divided by it.

    Raises:
        ModelError: A value makes no sense.
    """

    role: str
    wavelength_nm: float | None = None
    required: bool = True
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        where = f"model card, band {self.role!r}"
        if not isinstance(self.role, str):
            _wrong(where, "role", self.role, "the name of a band role, such as 'red'")
        try:
            role, _ = split_role(self.role)
        except BandError as error:
            raise ModelError(f"model card: {error}") from error
        if role in (ALPHA, IGNORED) or self.role != self.role.strip():
            _wrong(where, "role", self.role, "a band role that a network can see")
        if self.wavelength_nm is not None:
            self._set("wavelength_nm", _number(where, "wavelength_nm", self.wavelength_nm))
            if self.wavelength_nm <= 0:
                _wrong(where, "wavelength_nm", self.wavelength_nm, "nanometres above 0")
        if not isinstance(self.required, bool):
            _wrong(where, "required", self.required, "true or false")
        self._set("mean", _number(where, "mean", self.mean))
        self._set("std", _number(where, "std", self.std))
        # The smallest normal float32: what is smaller divides to infinity on the device.
        if self.std < float(np.finfo(np.float32).tiny):
            _wrong(where, "std", self.std, "a number above 0")

    def _set(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)


@dataclass(frozen=True)
class ModelCard:
    """What a model is, what it takes, and what it gives.

    Args:
        name: What people call the model.
        architecture: A key of `ARCHITECTURES`, or a dotted path `package.module:callable`.
        options: Arguments of the architecture; JSON values.
        bands: Input channels in their order.
        legend: Classes; output channel k is the class of value k.
        chip_size: Side of a chip in pixels.
        overlap: Pixels that neighbouring chips share; at most half a chip.
        stride: Heights and widths of inputs must be a multiple of it.
        gsd_m: (smallest, largest) ground sampling distance in metres trained on, or None.
        radiometry: "reflectance" (0..1), or "any" where the scale does not matter.
        temperature: Logits are divided by it before the softmax.
        together: Names of classes that are decided as one first, such as crop and weed: a pixel is
            a plant where both together are likelier than soil, however doubtful which of them.
        licence: Licence of the weights.
        description: A sentence or two for a person.
        caution: What everybody who uses it should know before trusting the map; each run says it.
        training: What it was trained on and how; JSON values.
        scores: What was measured; JSON values.
        agriseg_version: The version that wrote the file; `save_model` fills it in.

    Raises:
        ModelError: A field makes no sense; the message names it.
    """

    name: str
    architecture: str
    bands: tuple[BandInput, ...]
    legend: Legend
    options: Mapping[str, Any] = field(default_factory=dict)
    chip_size: int = 1024
    overlap: int = 64
    stride: int = 32
    gsd_m: tuple[float, float] | None = None
    radiometry: Needs = "reflectance"
    temperature: float = 1.0
    together: tuple[str, ...] = ()
    licence: str = ""
    description: str = ""
    caution: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    agriseg_version: str = ""

    def __post_init__(self) -> None:
        for name in ("name", "architecture", *_TEXTS):
            if not isinstance(getattr(self, name), str):
                _wrong("model card", name, getattr(self, name), "a text")
        for name in ("name", "architecture"):
            if not getattr(self, name).strip():
                _wrong("model card", name, getattr(self, name), "a text that is not empty")
        if not isinstance(self.legend, Legend):
            _wrong("model card", "legend", self.legend, "a Legend")
        for name in ("options", "training", "scores"):
            object.__setattr__(self, name, _json_copy(name, getattr(self, name)))
        self._check_together()
        self._check_bands()
        self._check_chips()
        self._check_numbers()

    def _check_together(self) -> None:
        names = self.legend.names
        if not isinstance(self.together, (tuple, list)) or not all(
            name in names for name in self.together
        ):
            _wrong("model card", "together", self.together, f"classes of {', '.join(names)}")
        ordered = tuple(name for name in names if name in self.together)
        if ordered and not 2 <= len(ordered) < len(names):
            _wrong("model card", "together", self.together, "two classes or more, but not all")
        object.__setattr__(self, "together", ordered)

    def _check_bands(self) -> None:
        bands = tuple(self.bands) if isinstance(self.bands, (tuple, list)) else ()
        if not bands or not all(isinstance(band, BandInput) for band in bands):
            _wrong("model card", "bands", self.bands, "one or more BandInput")
        object.__setattr__(self, "bands", bands)
        keys = [band.role for band in bands]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ModelError(f"model card: band {', '.join(twice)} is named twice; name it once")

    def _check_chips(self) -> None:
        for name in ("chip_size", "overlap", "stride"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                _wrong("model card", name, value, "a whole number of pixels")
        size, overlap, stride = self.chip_size, self.overlap, self.stride
        if not 1 <= stride <= _LARGEST_CHIP:
            _wrong("model card", "stride", stride, "1 or more")
        if not 1 <= size <= _LARGEST_CHIP:
            _wrong("model card", "chip_size", size, f"between 1 and {_LARGEST_CHIP}")
        if size % stride:
            below, above = size // stride * stride, (size // stride + 1) * stride
            near = f"{below} or {above}" if below else str(above)
            _wrong("model card", "chip_size", size, f"a multiple of the stride {stride}: {near}")
        if not 0 <= overlap <= size // 2:
            _wrong("model card", "overlap", overlap, f"between 0 and half a chip ({size // 2})")

    def _check_numbers(self) -> None:
        if self.radiometry not in get_args(Needs):
            _wrong("model card", "radiometry", self.radiometry, " or ".join(get_args(Needs)))
        object.__setattr__(
            self, "temperature", _number("model card", "temperature", self.temperature)
        )
        if not 1e-3 <= self.temperature <= 1e3:
            _wrong("model card", "temperature", self.temperature, "between 0.001 and 1000")
        if self.gsd_m is None:
            return
        if not isinstance(self.gsd_m, (tuple, list)) or len(self.gsd_m) != 2:
            _wrong("model card", "gsd_m", self.gsd_m, "two numbers, the smallest and largest")
        low, high = (_number("model card", "gsd_m", value) for value in self.gsd_m)
        if not 0 < low <= high:
            _wrong("model card", "gsd_m", self.gsd_m, "0 < smallest <= largest, in metres")
        object.__setattr__(self, "gsd_m", (low, high))

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def keys(self) -> tuple[str, ...]:
        """Roles of all bands, in the order of the channels."""
        return tuple(band.role for band in self.bands)

    @property
    def required_keys(self) -> tuple[str, ...]:
        """Roles of the bands that a scene must have."""
        return tuple(band.role for band in self.bands if band.required)

    @property
    def together_values(self) -> tuple[int, ...]:
        """Values of the classes that are decided as one first."""
        return tuple(label.value for label in self.legend if label.name in self.together)

    @property
    def means(self) -> NDArray[np.float32]:
        """Mean of each band, (bands,) float32."""
        return np.array([band.mean for band in self.bands], np.float32)

    @property
    def stds(self) -> NDArray[np.float32]:
        """Standard deviation of each band, (bands,) float32."""
        return np.array([band.std for band in self.bands], np.float32)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Places of the bands whose differences the network also takes.

        With the option `band_pairs`, each band with each other: whichever of them a camera has,
        none of its pairs is missing.
        """
        if self.options.get("band_pairs") is not True:
            return ()
        return tuple(combinations(range(len(self.bands)), 2))

    @property
    def inputs(self) -> tuple[str, ...]:
        """What each input channel of the network holds: bands, then pairs such as `red/nir`."""
        return (*self.keys, *(f"{self.keys[a]}/{self.keys[b]}" for a, b in self.pairs))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the card as canonical JSON: equal cards have equal digests."""
        text = json.dumps(self._plain(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """The card as JSON; `from_json` gives an equal card back."""
        return json.dumps(self._plain(), allow_nan=False)

    def _plain(self) -> dict[str, Any]:
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        plain["bands"] = [
            {item.name: getattr(band, item.name) for item in fields(band)} for band in self.bands
        ]
        plain["legend"] = [
            {"value": label.value, "name": label.name, "color": label.color}
            for label in self.legend
        ]
        plain["gsd_m"] = None if self.gsd_m is None else list(self.gsd_m)
        plain["together"] = list(self.together)
        return plain

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card.

        Raises:
            ModelError: The text is not a card, or a newer agriseg wrote fields unknown to this one.
        """
        try:
            data = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"model card: not readable as JSON ({error})") from error
        if not isinstance(data, dict):
            _wrong("model file", "its card", data, "a JSON object")
        written_by = data.get("agriseg_version", "")
        _known(cls, data, "model card", written_by)
        bands = _objects(data, "bands", BandInput, written_by)
        labels = _objects(data, "legend", ClassLabel, written_by)
        if not all(type(label["value"]) is int for label in labels):
            _wrong("model card", "legend", labels, "classes with whole numbers as values")
        try:
            legend = Legend(tuple(ClassLabel(**label) for label in labels))
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"model card, legend: {error}") from error
        gsd = data.get("gsd_m")
        data |= {"bands": tuple(BandInput(**band) for band in bands), "legend": legend}
        return cls(**data | {"gsd_m": tuple(gsd) if isinstance(gsd, list) else gsd})


def _wrong(where: str, name: str, value: object, expected: str) -> NoReturn:
    raise ModelError(f"{where}: {name} is {shown(value)}; expected is {expected}")


def _number(where: str, name: str, value: object) -> float:
    """`value` as a finite float, numpy's numbers included; neither texts nor booleans."""
    if isinstance(value, (int, float, np.floating, np.integer)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    _wrong(where, name, value, "a finite number")


def _json_copy(name: str, value: object) -> dict[str, Any]:
    """A copy that is what JSON gives back: lists for tuples, no object that a caller holds."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        try:
            copy: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
            return copy
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError(f"model card: {name} does not fit into JSON ({error})") from error
    _wrong("model card", name, value, "a mapping from texts to JSON values")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _objects(
    data: Mapping[str, Any], name: str, kind: type[Any], written_by: object
) -> list[dict[str, Any]]:
    items = data[name]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        _wrong("model card", name, items, "a list of JSON objects")
    for item in items:
        _known(kind, item, f"model card, {name}", written_by)
    return items


def _known(kind: type[Any], data: Mapping[str, Any], where: str, written_by: object) -> None:
    """Refuse fields that `kind` does not have, and the lack of those that it must have."""
    unknown = sorted(set(data) - {item.name for item in fields(kind)})
    if unknown:
        words = f"{where}: {', '.join(unknown[:5])} unknown to agriseg {__version__}"
        if isinstance(written_by, str) and _version(written_by) > _version(__version__):
            raise ModelError(f"{words}; agriseg {written_by} wrote it: install that version")
        raise ModelError(f"{words}; expected are {', '.join(item.name for item in fields(kind))}")
    missing = [name for name in _needed(kind) if name not in data]
    if missing:
        raise ModelError(f"{where}: {', '.join(missing)} is missing")


def _needed(kind: type[Any]) -> list[str]:
    return [
        item.name
        for item in fields(kind)
        if item.default is MISSING and item.default_factory is MISSING
    ]


def _version(text: str) -> tuple[int, ...]:
    match = re.match(r"\d{1,6}(\.\d{1,6}){0,3}", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()
