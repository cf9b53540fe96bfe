"""What is asked of a stranger's ONNX graph: the input that it takes, and what its numbers are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import ModelError
from agriseg.models.card import ModelCard

__all__ = ["Takes", "graph_input", "kind_of_outputs"]

_INPUTS: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_OUTPUTS = (*_INPUTS, "tensor(double)")
# A softmax in float16 adds up to one within this.
_SLACK = 5e-3


@dataclass(frozen=True)
class Takes:
    """A graph's input; None where any number will do.

    Args:
        name: Its name.
        dtype: Its numbers.
        batch: Chips in a batch.
        height: Height of a chip in pixels.
        width: Width of a chip in pixels.
    """

    name: str
    dtype: type[np.floating[Any]]
    batch: int | None
    height: int | None
    width: int | None


def graph_input(session: Any, card: ModelCard, where: Path) -> Takes:
    """The graph's one input, once it is known to fit the card.

    Args:
        session: The `onnxruntime.InferenceSession`.
        card: The card.
        where: The file, for messages.

    Raises:
        ModelError: Type, bands or size of input or output are not those of the card.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        names = [", ".join(item.name for item in items) for items in (inputs, outputs)]
        raise ModelError(
            f"{where}: its graph has {len(inputs)} input(s) ({names[0]}) and {len(outputs)} "
            f"output(s) ({names[1]}); expected is one each: export only the one with the classes"
        )
    (one,), (out,) = inputs, outputs
    if one.type not in _INPUTS:
        raise ModelError(
            f"{where}: its input {one.name} is {one.type}; expected is tensor(float), which takes "
            "reflectance: export it with such an input"
        )
    if out.type not in _OUTPUTS:
        raise ModelError(
            f"{where}: its output {out.name} is {out.type}, such as a map of classes; expected is "
            "tensor(float) with a channel a class, which overlapping chips are merged from: export "
            "it without the argmax"
        )
    if len(one.shape) != 4:
        raise ModelError(
            f"{where}: its input {one.name} is {tuple(one.shape)}; expected are 4 axes: batch, "
            "bands, height, width"
        )
    sizes = [side if isinstance(side, int) and side > 0 else None for side in one.shape]
    batch, channels, height, width = sizes
    bands = len(card.bands)
    if channels != bands and width == bands != card.chip_size:
        raise ModelError(
            f"{where}: its input {one.name} is {tuple(one.shape)}, with the bands last; expected "
            "is batch, bands, height, width: export it so (tf2onnx: --inputs-as-nchw and "
            "--outputs-as-nchw)"
        )
    if channels not in (None, bands):
        raise ModelError(
            f"{where}: its graph takes {channels} bands, and its card names {bands} "
            f"({', '.join(card.keys)}); make the card's bands those of the graph, in its order"
        )
    if any(side not in (None, card.chip_size) for side in (height, width)):
        raise ModelError(
            f"{where}: its graph takes chips of {width or 'any'} x {height or 'any'} pixels only, "
            f"and its card says chip_size {card.chip_size}; make chip_size that side, or export "
            "the graph with free height and width"
        )
    return Takes(one.name, _INPUTS[one.type], batch, height, width)


def kind_of_outputs(found: NDArray[np.float32], said: str | None, last: str, where: Path) -> str:
    """Whether a graph gives logits or probabilities, if what it gave leaves no doubt.

    Args:
        found: What it gave, (n, channels, h, w).
        said: What the card says, or None.
        last: The operation that made it, where known.
        where: The file, for messages.

    Returns:
        "logits" or "probabilities".

    Raises:
        ModelError: It contradicts the card, or the card says nothing and it may be either.
    """
    if not np.isfinite(found).all():
        raise ModelError(
            f"{where}: gave NaN or infinity for noise around the card's means; correct mean and "
            "std of its bands, or export it again"
        )
    low, high = float(found.min()), float(found.max())
    is_within = low >= -_SLACK and high <= 1 + _SLACK
    is_one = found.shape[1] == 1
    adds_up = is_within and (is_one or bool((abs(found.sum(axis=1) - 1) <= _SLACK).all()))
    gave = f"{where}: its outputs are {low:.3g} to {high:.3g}" + (
        " and add up to one" if adds_up and not is_one else ""
    )
    if said == "probabilities" and not adds_up:
        raise ModelError(
            f"{gave}, and its card says probabilities, which are 0 to 1 and add up to one over the "
            'classes; say "outputs": "logits" if it ends without a softmax'
        )
    is_surely = adds_up and (not is_one or last == "Sigmoid")
    if said == "logits" and (is_surely or last in ("Softmax", "Sigmoid")):
        raise ModelError(
            f"{gave}{f' and made by {last}' if last else ''}, and its card says logits; say "
            '"outputs": "probabilities", or export it without its last operation'
        )
    if said is None and is_within and not is_surely:
        raise ModelError(
            f"{gave}, which may be logits or no probabilities over the classes; say in its card "
            '"outputs": "logits" or "outputs": "probabilities"'
        )
    return said or ("probabilities" if is_surely else "logits")
