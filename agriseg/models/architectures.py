"""The networks that agriseg can build from a card.

A card may come from anybody. So options are checked one by one against a table instead of being
handed on: the libraries below would otherwise download weights, open files or allocate without
limit at the wish of a file. Networks are always built without pretrained weights.

Importing this module loads no torch; building a network does.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from agriseg.errors import ModelError

if TYPE_CHECKING:
    import torch

    from agriseg.models.card import ModelCard

__all__ = ["ARCHITECTURES", "build_network", "is_dotted"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z")

Check = Callable[[str, Any], None]


def _smp(
    kind: str, checks: Mapping[str, Check], *, in_channels: int, classes: int, **options: Any
) -> torch.nn.Module:
    """A network of segmentation-models-pytorch; `kind` is its class there."""
    import segmentation_models_pytorch as smp

    _check_options(kind, options, {"encoder_name": _encoder, **checks})
    arguments = {"encoder_name": "resnet34", **options}
    network: torch.nn.Module = getattr(smp, kind)(
        encoder_weights=None, in_channels=in_channels, classes=classes, **arguments
    )
    return network


def _fcn(*, in_channels: int, classes: int, **options: Any) -> torch.nn.Module:
    """torchgeo's five convolutions at full resolution (Robinson et al.)."""
    _check_options("FCN", options, {"num_filters": _whole(1, 4096)})
    from torchgeo.models import FCN  # loads all of torchgeo: seconds

    network: torch.nn.Module = FCN(in_channels=in_channels, classes=classes, **options)
    return network


def build_network(card: ModelCard, *, trust: bool = False) -> torch.nn.Module:
    """Build the network that a card describes, with random weights.

    Args:
        card: The card.
        trust: Allow an architecture that is a dotted path, which imports and runs that code.

    Returns:
        A module from (n, bands, h, w) to logits (n, classes, h, w).

    Raises:
        ModelError: The architecture is unknown or not trusted, or it refuses its options.
    """
    name = card.architecture
    if name in ARCHITECTURES:
        build = ARCHITECTURES[name]
    elif is_dotted(name):
        if not trust:
            raise ModelError(
                f"model {card.name!r}: its architecture {name!r} is code outside agriseg, which "
                "loading would run; if you trust its author, pass trust=True or --trust-model"
            )
        build = _imported(name)
    else:
        raise ModelError(
            f"architecture {name!r} is unknown{_nearest(name, ARCHITECTURES)}; expected is one of "
            f"{', '.join(ARCHITECTURES)} or a dotted path package.module:callable"
        )
    network = _built(card, build)
    _check_stride(card, network)
    if not card.pairs:
        return network
    from agriseg.models.band_pairs import WithPairs

    return WithPairs(network, card)


def is_dotted(architecture: str) -> bool:
    """Whether it is a dotted path, `package.module:callable`."""
    return _DOTTED.match(architecture) is not None


def _built(card: ModelCard, build: Callable[..., torch.nn.Module]) -> torch.nn.Module:
    import torch

    options = dict(card.options)
    try:
        _one_of(True, False)("band_pairs", options.pop("band_pairs", False))
        network = build(in_channels=len(card.inputs), classes=len(card.legend), **options)
    except ModelError as error:
        raise ModelError(f"model {card.name!r}: {error}") from error
    # Whatever a network's constructor throws at odd options, it is the card that is at fault.
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"model {card.name!r}: {card.architecture} with options {dict(card.options)} cannot be "
            f"built ({told}); correct the options in the card"
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise ModelError(
            f"architecture {card.architecture!r} gave a {type(network).__name__}; "
            "expected is a torch.nn.Module"
        )
    return network


def _check_stride(card: ModelCard, network: torch.nn.Module) -> None:
    """Inputs are padded to the card's stride: it must suit the network."""
    if not getattr(network, "requires_divisible_input_shape", False):
        return
    needed = getattr(getattr(network, "encoder", None), "output_stride", 1)
    if isinstance(needed, int) and needed > 0 and card.stride % needed:
        raise ModelError(
            f"model {card.name!r}: stride is {card.stride}, and {card.architecture} with these "
            f"options needs a multiple of {needed}; set stride to {needed} in the card"
        )


def _imported(dotted: str) -> Callable[..., torch.nn.Module]:
    module_name, _, attribute = dotted.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    # A stranger's module may raise anything on import.
    except Exception as error:
        raise ModelError(
            f"architecture {dotted!r} cannot be imported ({type(error).__name__}: {error}); "
            "install the package that holds it"
        ) from error
    if not callable(found):
        raise ModelError(f"architecture {dotted!r} is a {type(found).__name__}, not callable")
    result: Callable[..., torch.nn.Module] = found
    return result


# Options ---------------------------------------------------------------------------------------


def _check_options(kind: str, options: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    if "encoder_weights" in options:
        raise ModelError("option encoder_weights: the model file holds all weights; leave it out")
    for name, value in options.items():
        if name not in checks:
            raise ModelError(
                f"option {name!r} is unknown to {kind}{_nearest(name, checks)}; "
                f"expected are {', '.join(checks)}"
            )
        checks[name](name, value)


def _encoder(name: str, value: Any) -> None:
    """Only what is in the libraries' own lists: `tu-hf-hub:...` would reach for the network."""
    from segmentation_models_pytorch.encoders import encoders

    names = set(encoders)
    if isinstance(value, str):
        if value in names:
            return
        if value.startswith("tu-"):
            import timm

            names = {f"tu-{model}" for model in timm.list_models()}
            if value in names:
                return
    raise ModelError(
        f"option {name} is {value!r}: no such encoder{_nearest(str(value), names)}; expected is "
        "an encoder of segmentation-models-pytorch, such as resnet34, or tu-NAME with a timm model"
    )


def _whole(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ModelError(
                f"option {name} is {value!r}; expected is a whole number of {low} to {high}"
            )

    return check


def _wholes(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> None:
        whole = _whole(low, high)
        if not isinstance(value, list) or not 1 <= len(value) <= 8:
            raise ModelError(f"option {name} is {value!r}; expected is a list of 1 to 8 numbers")
        for item in value:
            whole(name, item)

    return check


def _one_of(*values: Any) -> Check:
    def check(name: str, value: Any) -> None:
        if not any(value == item and type(value) is type(item) for item in values):
            shown = ", ".join(repr(item) for item in values)
            raise ModelError(f"option {name} is {value!r}; expected is one of {shown}")

    return check


def _share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ModelError(f"option {name} is {value!r}; expected is a number from 0 to below 1")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


# Normalisation over a chip's own pixels (instance norm) is left out on purpose: it leaves seams.
_INTERPOLATION = _one_of("nearest", "bilinear")
_UNET: dict[str, Check] = {
    "encoder_depth": _whole(3, 5),
    "decoder_channels": _wholes(1, 2048),
    "decoder_attention_type": _one_of(None, "scse"),
    "decoder_interpolation": _INTERPOLATION,
    "decoder_use_norm": _one_of(True, False, "batchnorm", "identity"),
}
_DEEPLAB: dict[str, Check] = {
    "encoder_depth": _whole(3, 5),
    "encoder_output_stride": _one_of(8, 16),
    "decoder_channels": _whole(1, 2048),
    "decoder_atrous_rates": _wholes(1, 256),
    "decoder_aspp_separable": _one_of(True, False),
    "decoder_aspp_dropout": _share,
}
_FPN: dict[str, Check] = {
    "encoder_depth": _whole(3, 5),
    "decoder_pyramid_channels": _whole(1, 2048),
    "decoder_segmentation_channels": _whole(1, 2048),
    "decoder_merge_policy": _one_of("add", "cat"),
    "decoder_dropout": _share,
    "decoder_interpolation": _INTERPOLATION,
}

ARCHITECTURES: dict[str, Callable[..., torch.nn.Module]] = {
    "unet": partial(_smp, "Unet", _UNET),
    "unet++": partial(_smp, "UnetPlusPlus", _UNET),
    "deeplabv3+": partial(_smp, "DeepLabV3Plus", _DEEPLAB),
    "fpn": partial(_smp, "FPN", _FPN),
    "fcn": _fcn,
}
"""What builds the network, by the name that stands in a card.

Each is called with `in_channels`, `classes` and the card's options. An outsider's network needs no
entry: its dotted path in the card does. The option `band_pairs` is not handed on: with true, any
network gets the soil-adjusted differences of its bands as further input channels
(`agriseg.models.band_pairs`).
"""
