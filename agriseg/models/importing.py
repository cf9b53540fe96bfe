"""The verb `import_model`: a checkpoint from elsewhere becomes a model file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agriseg.bands import IGNORED
from agriseg.errors import ModelError, OptionError, nearest
from agriseg.models.card import ModelCard
from agriseg.models.checkpoint import named_for, read_tensors
from agriseg.models.file import check_model_place, check_weights, expected_shapes, save_model
from agriseg.models.presets import PRESETS
from agriseg.yaml_file import read_yaml

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["import_model"]

Path_ = str | os.PathLike[str]
Facts = ModelCard | Mapping[str, Any] | Path_

_EXAMPLE = "architecture: unet"
_BLOCK = 1 << 20
# For classes whose colour nobody told.
_COLORS = {
    "background": "#303030",
    "soil": "#c8a882",
    "crop": "#1b6e2b",
    "weed": "#d81b9a",
    "field": "#8fbf5a",
    "boundary": "#ffd23f",
}
_OTHERS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")


@dataclass(frozen=True)
class _Wanted:
    """The card, and which channels of the checkpoint's head are its classes.

    Args:
        card: The card.
        channels: Channel of each class; None: the first ones.
        heads: Channels that the head must have; None: it is not told.
        spare: One channel more than classes may be there, and is left out.
    """

    card: ModelCard
    channels: tuple[int, ...] | None = None
    heads: int | None = None
    spare: bool = False


def import_model(
    checkpoint: Path_,
    out: Path_,
    *,
    preset: str | None = None,
    card: Facts | None = None,
    prefix: str | None = None,
) -> Path:
    """Make a model file of a checkpoint from elsewhere.

    Nothing in the checkpoint is run: it may hold tensors and plain values only.

    Args:
        checkpoint: A file on this machine: a state dict, or a checkpoint of Lightning or of a
            training script that holds one (.pt, .pth, .ckpt), or .safetensors.
        out: The model file to write, ending in .safetensors.
        preset: The name of published weights whose facts agriseg knows, such as "ftw-3class"; all
            are in `agriseg.models.presets.PRESETS`.
        card: Else the facts: a `ModelCard`, its fields as a mapping, or a YAML or JSON file of
            them. A band may be given by its role alone (it is then fed as reflectance of 0..1) and
            a class by its name alone; a class "-" is a channel of the network that is no class,
            and is never given out. Without `name` the model is called as `out`.
        prefix: What stands before the names of the weights, as "model."; by default it is found.

    Returns:
        The path of the model file.

    Raises:
        ModelError: The checkpoint cannot be read, holds code, or does not fit the card.
        OptionError: Neither preset nor card is given, or both, or one that is unknown.
        OutputError: The file cannot be written.
    """
    source, target = Path(checkpoint), Path(out)
    wanted = _wanted(preset, card, target)
    check_model_place(target)
    tensors = read_tensors(source)  # quick to fail, before a network is built
    expected = expected_shapes(wanted.card)
    mine = named_for(tensors, expected, prefix)
    mine = _completed(_with_head(mine, expected, wanted, source), expected)
    check_weights(wanted.card, {name: tuple(t.shape) for name, t in mine.items()}, str(source))
    _refuse_broken(mine, source)
    training = {
        **wanted.card.training,
        "imported_from": source.name,
        "imported_sha256": _digest(source),
    }
    return save_model(target, replace(wanted.card, training=training), mine)


# What is wanted --------------------------------------------------------------------------------


def _wanted(preset: str | None, card: Facts | None, out: Path) -> _Wanted:
    if (preset is None) == (card is None):
        raise OptionError(
            "import: a checkpoint does not say what its channels mean; give either --preset "
            f"({', '.join(PRESETS)}) or --card with the facts, such as bands and classes"
        )
    if preset is not None:
        if preset not in PRESETS:
            raise OptionError(f"--preset {preset}: there is none; {nearest(preset, PRESETS)}")
        known = PRESETS[preset]
        return _Wanted(known.card, spare=known.unlabelled)
    if isinstance(card, ModelCard):
        return _Wanted(card)
    if isinstance(card, Mapping):
        return _spelled_out(dict(card), out)
    assert card is not None
    return _spelled_out(_read_facts(Path(card)), out)


def _read_facts(path: Path) -> dict[str, Any]:
    if path.suffix.lower() != ".json":
        return read_yaml(path, _EXAMPLE)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"--card {path}: cannot be read as JSON ({error})") from error
    if not isinstance(facts, dict):
        raise ModelError(f"--card {path}: holds no JSON object; expected are the fields of a card")
    return facts


def _spelled_out(facts: dict[str, Any], out: Path) -> _Wanted:
    """A card from facts with shorthands."""
    facts.setdefault("name", out.stem)
    bands = facts.get("bands")
    if isinstance(bands, list | tuple):
        facts["bands"] = [{"role": b} if isinstance(b, str) else b for b in bands]
    labels, channels = facts.get("legend"), None
    heads = None
    if isinstance(labels, list | tuple):
        is_class = [label != IGNORED for label in labels]
        channels = tuple(k for k, counts in enumerate(is_class) if counts)
        heads = len(labels)
        facts["legend"] = [
            _label(label, value)
            for value, label in enumerate(one for one in labels if one != IGNORED)
        ]
    try:
        text = json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"--card: its facts do not fit into JSON ({error})") from error
    return _Wanted(ModelCard.from_json(text), channels, heads)


def _label(label: Any, value: int) -> Any:
    if isinstance(label, str):
        label = {"name": label}
    if isinstance(label, Mapping):
        color = _COLORS.get(str(label.get("name")), _OTHERS[value % len(_OTHERS)])
        return {"value": value, "color": color, **label}
    return label


# Weights ---------------------------------------------------------------------------------------


def _with_head(
    tensors: dict[str, Tensor], expected: Mapping[str, tuple[int, ...]], wanted: _Wanted, path: Path
) -> dict[str, Tensor]:
    """The weights with an output channel for each class, in the order of the legend.

    Leaving out a channel before the softmax is the same as never choosing it.
    """
    import torch

    classes = len(wanted.card.legend)
    # The last layer with weights: it ends in the classes.
    head = [name for name, shape in expected.items() if shape[:1] == (classes,)][-2:]
    head = [name for name in head if name in tensors and name.rpartition(".")[0] == _stem(head)]
    given = {int(tensors[name].shape[0]) for name in head if tensors[name].ndim}
    if len(given) != 1:
        return tensors
    found = given.pop()
    channels = wanted.channels or tuple(range(classes))
    if wanted.heads is not None and wanted.heads != classes and found != wanted.heads:
        raise ModelError(
            f"{path}: the network gives {found} channels, and the legend names {wanted.heads}; "
            f"name each channel, with '{IGNORED}' for one that is no class"
        )
    if found == 1 and classes == 2:
        # sigmoid(z) = softmax(0, z): the first class is what the second is not.
        return tensors | {n: torch.cat([torch.zeros_like(tensors[n]), tensors[n]]) for n in head}
    is_spare = wanted.spare and found == classes + 1
    if is_spare or (wanted.heads == found and found != classes):
        return tensors | {name: tensors[name][list(channels)] for name in head}
    return tensors


def _stem(names: list[str]) -> str:
    return names[-1].rpartition(".")[0] if names else ""


def _completed(
    tensors: dict[str, Tensor], expected: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Counters of batches, which predictions do not use and old files lack; doubles as floats."""
    import torch

    counters = [name for name in expected if name.endswith(".num_batches_tracked")]
    missing = {name: torch.zeros((), dtype=torch.int64) for name in counters if name not in tensors}
    floats = {n: t.float() for n, t in tensors.items() if t.dtype == torch.float64}
    return tensors | missing | floats


def _refuse_broken(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ModelError(
                f"{path}: {name} holds NaN or infinite numbers, as trainings that failed leave "
                "them; take an earlier checkpoint"
            )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
