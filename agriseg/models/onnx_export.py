"""A model file as an ONNX file, for QGIS and whatever else runs such graphs.

One graph from normalised bands to probabilities: missing pixels and bands, the network, the
calibration temperature, the softmax, and the classes that are decided as one. The file states one
height and width, as the QGIS plugin Deepness needs it. The card lies inside, so agriseg reads the
file too; it gives the graph the clipped chips at a raster's edge as they are, as it gives them to
every network, unless the exporter could not do without fixed sizes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agriseg.errors import ModelError, OptionError, OutputError, nearest, said_by
from agriseg.models.baseline import BASELINE
from agriseg.models.card import ModelCard
from agriseg.models.deepness import deepness_metadata, to_properties, usual_scale, working_gsd
from agriseg.models.engines import EngineError, resolve_numerics
from agriseg.models.file import model_path, read_card
from agriseg.models.network_predictor import load_network
from agriseg.models.onnx_file import (
    CARD_KEY,
    GraphFacts,
    card_to_onnx,
    need_onnx,
    read_graph_facts,
)
from agriseg.models.onnx_predictor import load
from agriseg.models.torch_threads import torch_threads
from agriseg.raster.place import check_place
from agriseg.raster.whole_file import replacing

__all__ = ["OnnxExport", "export_onnx"]

_SUFFIX = ".onnx"
# The newest that ONNX Runtime 1.12 reads, which is the oldest that Deepness takes.
_OPSET = 17
# No surface reflects so little or so much; nodata is -10000 or 65535 / 10000.
_DARKEST, _BRIGHTEST = -0.5, 6.0
# Float32 in another order moves probabilities by 1e-5, and where a decision flips by more.
_FAR, _OFTEN = 0.01, 1e-3


@dataclass(frozen=True)
class OnnxExport:
    """What was written.

    Args:
        path: The file.
        card: Its card; `card.keys` are the channels of its input in their order.
        scale: Deepness takes number * scale + offset for reflectance.
        offset: See scale.
        metadata: What Deepness reads, by its keys.
    """

    path: Path
    card: ModelCard
    scale: float
    offset: float
    metadata: Mapping[str, Any]


def export_onnx(
    model: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    gsd_m: float | None = None,
    chip: int | None = None,
    overlap: int | None = None,
    bands: str | Iterable[str] | None = None,
    scale: float | None = None,
    offset: float = 0.0,
    trust: bool = False,
) -> OnnxExport:
    """Write a model as an ONNX file that runs in QGIS, by the plugin Deepness, and in agriseg.

    Its input is (batch, bands, chip, chip) float32, normalised by the card's means and deviations;
    Deepness does so by the metadata in the file. Pixels that no surface reflects like (NaN, nodata
    such as -10000) count as missing. Its output is (batch, classes, chip, chip), probabilities
    whose largest is agriseg's class.

    Args:
        model: A model file (`.safetensors`), or the name of a model that comes with agriseg.
        path: Where; it must end in `.onnx`.
        gsd_m: Pixel size in metres that Deepness resamples to: that of the raster, within the
            model's range. By default the middle of this range.
        chip: Side of its tiles in pixels; the card's by default.
        overlap: Pixels that tiles share; the card's by default.
        bands: Bands of the raster in its order, such as "red,green,blue"; an optional one that is
            left out counts as missing. All of the model's by default, in its order.
        scale: Reflectance = number in QGIS * scale + offset. 1/255 by default where all bands are
            red, green or blue (8-bit pictures), else 1 (reflectance).
        offset: See scale.
        trust: Allow a model whose architecture is code outside agriseg.

    Raises:
        ModelError: The model cannot be used, is not trusted, or cannot be exported.
        OptionError: An option does not fit the model.
        OutputError: The file cannot be written.
    """
    file = Path(path)
    if file.suffix.lower() != _SUFFIX:
        raise OutputError(f"{file}: an ONNX file ends in {_SUFFIX}; name it {file.stem}{_SUFFIX}")
    check_place(file)
    source = _source(model)
    card = read_card(source)
    told = _exported_card(card, _chosen(card, bands), chip, overlap)
    scale = usual_scale(told) if scale is None else scale
    metadata = deepness_metadata(told, scale=scale, offset=offset, gsd_m=working_gsd(card, gsd_m))
    _need_engines()
    whole = _Whole(card, load_network(source, card, trust=trust), told.keys).eval()
    with replacing(file, resumes=False) as beside:
        try:
            _write(beside, whole, told, metadata, any_size=True)
            _check(beside, whole, told)
        except ModelError:  # some networks hold the size that they were traced with
            _write(beside, whole, told, metadata, any_size=False)
            _check(beside, whole, told)
    return OnnxExport(file, told, scale, offset, metadata)


# What is asked for -------------------------------------------------------------------------------


def _source(model: str | os.PathLike[str]) -> Path:
    """The model's file, once it is known to be one that can be exported."""
    if os.fspath(model) == BASELINE:
        raise ModelError(
            f"{BASELINE} cannot be exported: it has no network, and finds its threshold by looking "
            "at the whole scene, which a graph that is given single tiles cannot; export a trained "
            "model, such as crop-weed"
        )
    source = model_path(model)
    if source.suffix.lower() == _SUFFIX:
        raise ModelError(
            f"{source} is an ONNX file already; expected is a model of agriseg's own "
            "(.safetensors), or the name of one that comes with it, such as crop-weed"
        )
    return source


def _chosen(card: ModelCard, bands: str | Iterable[str] | None) -> tuple[str, ...]:
    """The bands of the exported graph in their order."""
    if bands is None:
        return card.keys
    words = bands.split(",") if isinstance(bands, str) else bands
    keys = tuple(word.strip() for word in words if word.strip())
    said = f"--bands {','.join(keys)}"
    for key in keys:
        if key not in card.keys:
            raise OptionError(
                f"{said}: model {card.name!r} has no band {key!r}; {nearest(key, card.keys)}; "
                "leave out what it has not, Deepness lets you choose the raster's bands"
            )
        if keys.count(key) > 1:
            raise OptionError(f"{said}: {key} is named twice; name it once")
    missing = [key for key in card.required_keys if key not in keys]
    if missing or not keys:
        raise OptionError(
            f"{said}: model {card.name!r} needs {' and '.join(missing) or 'one band at least'}; "
            f"its bands are {_listed(card)}"
        )
    return keys


def _listed(card: ModelCard) -> str:
    return ", ".join(b.role if b.required else f"{b.role} (optional)" for b in card.bands)


def _exported_card(
    card: ModelCard, keys: Sequence[str], chip: int | None, overlap: int | None
) -> ModelCard:
    """The card of the exported graph."""
    side = card.chip_size if chip is None else chip
    if side < 1 or side % card.stride:
        below = max(side, 0) // card.stride * card.stride
        near = " or ".join(str(n) for n in (below, below + card.stride) if n > 0)
        raise OptionError(
            f"--chip {side}: model {card.name!r} takes multiples of {card.stride} pixels only; "
            f"use {near}"
        )
    shared = min(card.overlap, side // 2) if overlap is None else overlap
    if not 0 <= shared <= side // 2:
        raise OptionError(f"--overlap {shared}: expected are 0 to {side // 2} pixels, half a chip")
    return replace(
        card,
        architecture="onnx",  # the graph is all that there is of it
        options={},
        bands=tuple(card.bands[card.keys.index(key)] for key in keys),
        chip_size=side,
        overlap=shared,
        temperature=1.0,  # applied in the graph
    )


def _need_engines() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise need_onnx(error) from error


# The graph ---------------------------------------------------------------------------------------


class _Whole(nn.Module):
    """From normalised bands to probabilities whose largest is the class.

    Args:
        card: Of the model.
        network: From all of its bands, normalised, to logits.
        keys: The bands that there are, in the order of the channels.
    """

    low: Tensor
    high: Tensor

    def __init__(self, card: ModelCard, network: nn.Module, keys: Sequence[str]) -> None:
        super().__init__()
        self.network, self.temperature = network, card.temperature
        self.together = card.together_values
        # A band that is missing comes from one behind those that there are.
        self.places = [keys.index(key) if key in keys else len(keys) for key in card.keys]
        self.is_plain = self.places == list(range(len(keys)))
        given = [card.keys.index(key) for key in keys]
        means, stds = card.means[given], card.stds[given]
        low, high = (_DARKEST - means) / stds, (_BRIGHTEST - means) / stds
        if card.radiometry == "any":  # any number is one, if it is a number
            most = np.finfo(np.float32).max
            low, high = np.full_like(low, -most), np.full_like(high, most)
        for name, value in (("low", low), ("high", high)):
            limit = torch.from_numpy(value).reshape(1, -1, 1, 1)
            self.register_buffer(name, limit, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities (n, classes, h, w) of normalised bands (n, bands, h, w)."""
        # Missing pixels are filled with the means, which are 0 here. NaN is within no limits.
        there = ((x >= self.low) & (x <= self.high)).all(1, keepdim=True)
        x = torch.where(there, x, torch.zeros_like(x))
        if not self.is_plain:
            x = torch.cat([x, torch.zeros_like(x[:, :1])], 1)[:, self.places]
        probabilities = torch.softmax(self.network(x) / self.temperature, dim=1)
        return _by_largest(probabilities, self.together) if self.together else probabilities


def _by_largest(probabilities: Tensor, together: Sequence[int]) -> Tensor:
    """Probabilities whose largest is the class that `agriseg.tiling.decide` finds.

    Where classes win together, none of which does by itself, the likeliest of them gets what the
    others of them have. Their sum stays, and so does every other pixel: deciding as one first gives
    the same class again.

    Args:
        probabilities: (n, classes, h, w).
        together: Values of the classes that are decided as one first.
    """
    others = [k for k in range(probabilities.shape[1]) if k not in together]
    # One after the other, as `decide` adds them.
    total = probabilities[:, together[0]]
    for k in together[1:]:
        total = total + probabilities[:, k]
    total = total.unsqueeze(1)
    members = probabilities[:, list(together)]
    most = probabilities[:, others].amax(1, keepdim=True)
    is_hidden = (total > most) & (members.amax(1, keepdim=True) <= most)
    numbers = torch.arange(len(together)).reshape(1, -1, 1, 1)
    # Not where it equals the largest: of equal ones only the first wins.
    wins = members.argmax(1, keepdim=True) == numbers
    members = torch.where(is_hidden, torch.where(wins, total, torch.zeros_like(members)), members)
    order = [*together, *others]
    back = [order.index(k) for k in range(len(order))]
    return torch.cat([members, probabilities[:, others]], 1)[:, back]


# The file ----------------------------------------------------------------------------------------


def _write(
    path: Path,
    whole: _Whole,
    card: ModelCard,
    metadata: dict[str, Any],
    *,
    any_size: bool,
) -> None:
    import onnx

    side = card.chip_size
    example = torch.zeros(1, len(card.bands), side, side)
    axes = {0: "batch", 2: "height", 3: "width"} if any_size else {0: "batch"}
    try:
        with warnings.catch_warnings(), torch.no_grad(), torch_threads(1):
            warnings.simplefilter("ignore")  # of the tracer, which nobody can act upon
            # The newer exporter (dynamo) needs a further library, and gave nothing more here.
            torch.onnx.export(
                whole,
                (example,),
                path,
                dynamo=False,
                opset_version=_OPSET,
                input_names=["bands"],
                output_names=["probabilities"],
                dynamic_axes={"bands": axes, "probabilities": axes},
            )
    # A stranger's network may hold whatever the exporter does not know.
    except OSError:
        raise
    except Exception as error:
        raise EngineError(
            f"model {card.name!r}: its network cannot be written as ONNX ({said_by(error)}); use a "
            f"smaller --chip if memory does not suffice, or another architecture"
        ) from error
    model = onnx.load(path)
    for value, channels in (
        (model.graph.input[0], card.bands),
        (model.graph.output[0], card.legend),
    ):
        dims = value.type.tensor_type.shape.dim[1:]
        for dim, size in zip(dims, (len(channels), side, side), strict=True):
            dim.dim_value = size
    facts = GraphFacts("probabilities", any_size)
    properties = {**to_properties(metadata), CARD_KEY: card_to_onnx(card, facts)}
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)


def _check(path: Path, whole: _Whole, card: ModelCard) -> None:
    """See that ONNX Runtime, and agriseg's reading of the file, give what torch gives."""
    numerics = resolve_numerics(engine="onnxruntime", device="cpu", chip_size=card.chip_size)
    predictor = load(path, card, numerics)
    side, stride = card.chip_size, card.stride
    shapes = [(side, side)]
    if read_graph_facts(path).any_size:  # clipped at the right, and below
        shapes += [(side, -(-side // stride // 2) * stride), (stride, side)]
    means, stds = (v.reshape(1, -1, 1, 1) for v in (card.means, card.stds))
    for height, width in shapes:
        shape = (1, len(card.bands), height, width)
        x = np.random.default_rng(0).standard_normal(shape, np.float32)
        with torch.inference_mode():
            off = (predictor(x * stds + means) - whole(torch.from_numpy(x))).abs().amax(1)
        share = float((off > _FAR).float().mean())
        if share > _OFTEN:
            raise EngineError(
                f"model {card.name!r}: as ONNX it gives other probabilities at {share:.1%} of the "
                "pixels, so nothing was written; use another architecture"
            )
