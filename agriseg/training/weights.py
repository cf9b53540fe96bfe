"""What a network starts from: nothing, an encoder trained elsewhere, or a model of agriseg's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from agriseg.bands import SENSORS
from agriseg.errors import ModelError, OptionError, said_by
from agriseg.models import ModelCard, read_card, read_weights, shipped_models
from agriseg.training.mixing import mix_with

__all__ = ["base_card", "init_file", "start_weights"]

_RGB = ("red", "green", "blue")
_PREFIXES = ("", "encoder.", "model.", "module.", "backbone.", "model.encoder.", "encoder.model.")
# Batch norm's counters and a head may be missing; beyond, it is another network.
_ENOUGH = 0.9
_NONE, _IMAGENET = "none", "imagenet"
_SUFFIXES = (".pt", ".safe")


def base_card(init: str, base: Path = Path()) -> ModelCard | None:
    """The card of the model that is trained further, or None where `init` is something else.

    Args:
        init: See `ModelConfig`.
        base: The folder that a file in it is relative to.

    Raises:
        OptionError: `init` is neither a known word nor a file.
    """
    if init in (_NONE, _IMAGENET):
        return None
    if init in (shipped := shipped_models()):
        return read_card(init)
    path = _file(init, base)
    if not path.exists():
        if "." in init and "/" not in init and not path.suffix.lower().startswith(_SUFFIXES):
            # The name of torchgeo's weights, such as ResNet18_Weights.SENTINEL2_ALL_MOCO.
            return None
        words = [_NONE, _IMAGENET, *shipped]
        if near := get_close_matches(init, words, n=1, cutoff=0.6):
            raise OptionError(f"init: {init!r} is not there; did you mean {near[0]!r}?")
        raise OptionError(
            f"init: {init!r} is not there, looked for at {path.absolute()}; expected is "
            f"{', '.join(words)}, the name of torchgeo's weights, or a .safetensors or .pth file "
            "seen from the configuration, or from --base"
        )
    if path.suffix.lower() != ".safetensors":
        return None
    try:
        return read_card(path)
    except ModelError:
        return None  # weights without a card: an encoder


def init_file(init: str, base: Path) -> Path | None:
    """The file that `init` names; None where it is a word."""
    if init in (_NONE, _IMAGENET, *shipped_models()):
        return None
    path = _file(init, base)
    return path if path.exists() else None


def _file(init: str, base: Path) -> Path:
    return Path(os.path.normpath(base / os.path.expanduser(init)))


def start_weights(
    network: nn.Module, card: ModelCard, init: str, base: Path = Path(), keep: float = 1.0
) -> str:
    """Give `network` the weights that it starts from.

    Args:
        network: Built from `card`; changed in place.
        card: Of the model to be.
        init: See `ModelConfig`.
        base: The folder that a file in it is relative to.
        keep: How much of a model of agriseg's stays, as in `ModelConfig`.

    Returns:
        What was done, for a person.

    Raises:
        OptionError: The weights cannot be had, or do not fit.
    """
    if init == _NONE:
        return "random weights"
    known = base_card(init, base)
    path = init_file(init, base)
    if known is not None:
        weights = read_weights(path or init, known)
        if keep == 1:
            return _from_model(network, card, known, weights)
        fresh = {name: value.clone() for name, value in network.state_dict().items()}
        said = _from_model(network, card, known, weights)
        mix_with(network, fresh, keep)
        return f"{said}; {keep:.0%} of them are kept, beside fresh ones"
    if keep < 1:
        raise OptionError(
            f"keep is {keep:g}, but init: {init} is an encoder's weights; it says how much stays "
            "of a model of agriseg's, such as init: crop-weed; leave it out"
        )
    # With pairs the network that was asked for stands in another one.
    encoder = getattr(network.network if card.pairs else network, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise OptionError(f"init: {card.architecture} has no encoder; use init: none")
    if init == _IMAGENET:
        weights, roles = _imagenet(card), tuple(_RGB)
    elif path is not None:
        weights, roles = _read(path), None
    else:
        weights, roles = _of_torchgeo(init)
    return _into_encoder(encoder, card, weights, roles, init)


def _from_model(
    network: nn.Module, card: ModelCard, base: ModelCard, weights: Mapping[str, Tensor]
) -> str:
    """All weights of a model; bands go by role and classes by name."""
    own = network.state_dict()
    first, last = _convolutions(network)
    ready = {}
    mine, theirs = ("network." if one.pairs else "" for one in (card, base))
    for name, value in weights.items():
        name = mine + name.removeprefix(theirs)
        value = value.to(own[name].dtype) if name in own else value
        if name == f"{first}.weight":
            value = _columns(value, card, base)
        elif name in (f"{last}.weight", f"{last}.bias"):
            rows = own[name].clone()
            for k, label in enumerate(card.legend.names):
                if label in base.legend.names:
                    rows[k] = value[base.legend.names.index(label)]
            value = rows
        ready[name] = value
    wrong = [n for n in own if n not in ready or ready[n].shape != own[n].shape]
    if wrong or len(ready) != len(own):
        raise OptionError(
            f"init: model {base.name!r} is another network ({base.architecture}, "
            f"{dict(base.options)}); leave architecture and options out to take its own"
        )
    network.load_state_dict(ready)
    bands = [key for key in card.keys if key in base.keys]
    classes = [name for name in card.legend.names if name in base.legend.names]
    return (
        f"all weights of {base.name!r}; bands {', '.join(bands) or 'none'} and classes "
        f"{', '.join(classes) or 'none'} are those it knows"
    )


def _columns(known: Tensor, card: ModelCard, base: ModelCard) -> Tensor:
    """The first convolution of `base` for the inputs of `card`; 0 for those that it does not know.

    A pair that is the other way round is the same number with the other sign.
    """
    signs = {channel: (k, 1.0) for k, channel in enumerate(base.inputs)}
    for k, (a, b) in enumerate(base.pairs, len(base.bands)):
        signs.setdefault(f"{base.keys[b]}/{base.keys[a]}", (k, -1.0))
    columns = known.new_zeros(known.shape[0], len(card.inputs), *known.shape[2:])
    for k, channel in enumerate(card.inputs):
        if channel in signs:
            place, sign = signs[channel]
            columns[:, k] = known[:, place] * sign
    return columns


def _into_encoder(
    encoder: nn.Module,
    card: ModelCard,
    weights: Mapping[str, Tensor],
    roles: Sequence[str] | None,
    init: str,
) -> str:
    own = encoder.state_dict()
    first, _ = _convolutions(encoder)
    found = max(
        (_matching(own, weights, p, q, first) for p in _PREFIXES for q in ("", "model.")), key=len
    )
    floating = [name for name, value in own.items() if value.is_floating_point()]
    share = sum(name in found for name in floating) / max(len(floating), 1)
    if share < _ENOUGH:
        raise OptionError(
            f"init: {init} fits {share:.0%} of the encoder's weights; expected are those of "
            f"{card.options.get('encoder_name', card.architecture)}"
        )
    stem = found.get(f"{first}.weight")
    if stem is not None:
        if roles is None and stem.shape[1] == len(_RGB):
            roles = _RGB
        found[f"{first}.weight"] = _adapted(stem, roles or (), card)
    encoder.load_state_dict({**own, **found})
    return f"encoder from {init}, its first layer adapted to {', '.join(card.keys)}"


def _matching(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], theirs: str, ours: str, first: str
) -> dict[str, Tensor]:
    """Weights that stand under `theirs` + a name, for names under `ours` in the encoder."""
    found = {}
    for name, value in own.items():
        other = weights.get(theirs + name.removeprefix(ours))
        if other is None:
            continue
        stem = name == f"{first}.weight"
        same = other.shape == value.shape
        if same or (
            stem and (other.shape[0], *other.shape[2:]) == (value.shape[0], *value.shape[2:])
        ):
            found[name] = other.to(value.dtype)
    return found


def _adapted(stem: Tensor, roles: Sequence[str], card: ModelCard) -> Tensor:
    """The first convolution for other bands: by role, or the mean; scaled to the same activity.

    Of pairs of bands the weights know nothing: they begin at 0.
    """
    mean = stem.mean(1)
    columns = [stem[:, roles.index(k)] if k in roles else mean for k in card.keys]
    columns += [torch.zeros_like(mean)] * len(card.pairs)
    return torch.stack(columns, 1) * (stem.shape[1] / len(card.keys))


def _convolutions(network: nn.Module) -> tuple[str, str]:
    """Names of the first and the last convolution."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    return (names[0], names[-1]) if names else ("", "")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        # Torch advises to run what the file says: we do not.
        raise OptionError(
            f"init: {path} is no file of weights, or holds more than them, which could be code; "
            "save the state dict as .safetensors"
        ) from error
    except Exception as error:  # a stranger's file: torch raises what it likes
        raise OptionError(
            f"init: {path} cannot be read as plain weights ({said_by(error)}); save the state "
            "dict as .safetensors"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state:
        raise OptionError(f"init: {path} holds no state dict")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _imagenet(card: ModelCard) -> dict[str, Tensor]:
    from segmentation_models_pytorch.encoders import get_encoder

    name = card.options.get("encoder_name", "resnet34")
    try:
        encoder = get_encoder(name, in_channels=3, weights=_IMAGENET)
    except Exception as error:  # the hub's clients raise what they like
        raise OptionError(
            f"init: imagenet weights of {name} cannot be had ({said_by(error)}); without the "
            "network give a file with them, or use init: none"
        ) from error
    found: dict[str, Tensor] = encoder.state_dict()
    return found


def _of_torchgeo(name: str) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """Weights by torchgeo's name, and the roles of their bands where it tells them."""
    from torchgeo.models import get_weight

    try:
        entry = get_weight(name)
        weights = dict(entry.get_state_dict(progress=False))
    except Exception as error:  # unknown names and failed downloads
        raise OptionError(
            f"init: weights {name!r} cannot be had from torchgeo ({said_by(error)}); check the "
            "name, or give a file"
        ) from error
    return weights, _roles(entry.meta)


def _roles(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    names = meta.get("bands")
    if not names:
        return None
    known = [sensor.band_named(str(name)) for name in names for sensor in SENSORS.values()]
    each = len(SENSORS)
    rows = [known[k * each : (k + 1) * each] for k in range(len(names))]
    return tuple(next((band.role for band in row if band), "-") for row in rows)
