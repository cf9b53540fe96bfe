"""What the pipeline asks of a model: the `Predictor` protocol, and what stands in for its options.

A predictor is any object with a card that can be called. What else it offers is found on the
object; the functions here give a default for each part, so the pipeline never asks `hasattr`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import ModelError
from agriseg.models.card import ModelCard
from agriseg.models.engines import chips_at_once
from agriseg.tiling import Accumulator, Chip, ChipGrid, NumpyAccumulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agriseg.raster import Pixels, Scene

__all__ = [
    "HostAccumulator",
    "Predictor",
    "SampleOf",
    "about",
    "adapt",
    "adapt_to_pixels",
    "as_numpy",
    "batch_of",
    "check_output",
    "check_predictor",
    "fingerprint_of",
    "is_asynchronous",
    "make_ready",
    "new_accumulator",
    "new_batch",
    "numerics_of",
    "streams_for",
    "streams_of",
]

# Rounding in a softmax, and bytes with 200 steps: what is nearer than this to 0..1 is in it.
_SLACK = 1e-3


class SampleOf(Protocol):
    """Gives a sample of pixels, spread over all of them."""

    def __call__(self, keys: Sequence[str], /, *, max_pixels: int) -> Pixels:
        """Pixels of some bands: data (bands, n, 1) and valid (n, 1), or of another shape."""


@runtime_checkable
class Predictor(Protocol):
    """From pixels to probabilities.

    It may also have, and the functions of this module look for:

        numerics: str            Describes engine, device, precision, threads, batch, instruction
                                 set and library versions; equal texts promise equal bytes.
        batch: int               The one number of chips that it is called with.
        streams: int             Calls that may go on at once, from as many threads.
        is_asynchronous: bool    Calls return before they are done, as those of a GPU do. They come
                                 from a thread of their own, well ahead of the merging.
        new_batch(shape)         Where a batch is put together: memory that is copied fast from.
        fingerprint: str         Changes whenever card or weights do.
        for_scene(scene)         A predictor made for one scene, such as with its own threshold.
        for_pixels(scene, sample_of)    The same for pixels that are in no file (`SampleOf`).
        new_accumulator(grid, probabilities=False)    Where its outputs are merged.
        make_ready()             What it does once before it predicts, such as to calibrate.
        about() -> dict          Facts for run.json.
    """

    @property
    def card(self) -> ModelCard:
        """What the model takes and gives."""

    def __call__(self, batch: NDArray[np.float32], /) -> Any:
        """Predict.

        Args:
            batch: (n, bands, h, w) float32 reflectance, bands as in `card.bands`; h and w multiples
                of `card.stride`; invalid pixels hold the band's mean. It must not be changed.

        Returns:
            (n, classes, h, w) float32 probabilities: a numpy array, or a torch tensor on the
            device. The caller may overwrite it.
        """


def check_predictor(predictor: object) -> Predictor:
    """The object itself, once it is clear that the pipeline can use it.

    Raises:
        ModelError: It cannot be called, or has no card.
    """
    kind = type(predictor).__name__
    if isinstance(predictor, type) or not callable(predictor):
        raise ModelError(
            f"the model is {kind if not isinstance(predictor, type) else 'a class'}, which cannot "
            "predict; expected is an object with a card that is called with a batch, such as "
            "load_model(...) returns"
        )
    card = getattr(predictor, "card", None)
    if not isinstance(card, ModelCard):
        raise ModelError(
            f"the model, a {kind}, has {'no card' if card is None else type(card).__name__} where "
            "its ModelCard should be; set .card, or save the network with save_model and load it"
        )
    return cast(Predictor, predictor)


def check_output(
    probabilities: Any, batch_shape: tuple[int, ...], card: ModelCard
) -> NDArray[np.float32]:
    """Check what a predictor returned; meant for the first batch of a run.

    Args:
        probabilities: What came back.
        batch_shape: (n, bands, h, w) of the batch that it was called with.
        card: The predictor's card.

    Returns:
        The probabilities on the host.

    Raises:
        ModelError: Shape, type or values are not those of probabilities.
    """
    where = f"model {card.name!r}"
    n, _, height, width = batch_shape
    expected = (n, len(card.legend), height, width)
    shape = getattr(probabilities, "shape", None)
    if shape is None or tuple(shape) != expected:
        found = f"a {type(probabilities).__name__}" if shape is None else str(tuple(shape))
        raise ModelError(
            f"{where} returned {found} for a batch of {tuple(batch_shape)}; expected is "
            f"{expected}: batch, classes of the legend, height, width"
        )
    dtype = str(getattr(probabilities, "dtype", "")).removeprefix("torch.")
    if dtype != "float32":
        raise ModelError(f"{where} returned {dtype or 'no numbers'}; expected is float32")
    values = as_numpy(probabilities)
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise ModelError(
            f"{where} returned NaN or infinity in {bad} of {values.size} values; its weights or "
            "normalisation are broken, or precision is too low: try --precision float32"
        )
    low, high = float(values.min()), float(values.max())
    if low < -_SLACK or high > 1 + _SLACK:
        raise ModelError(
            f"{where} returned values from {low:.3g} to {high:.3g}; expected are probabilities of "
            "0 to 1: apply the softmax inside the predictor"
        )
    return values


def as_numpy(values: Any) -> NDArray[np.float32]:
    """A float32 array on the host, whatever device it comes from; shares memory where it can."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = np.asarray(values, np.float32)
    return array if array.flags.writeable else array.copy()


# Parts that a predictor may have ------------------------------------------------------------------


def numerics_of(predictor: Predictor) -> str:
    """The numerics key; of an object without one, what its class and numpy say."""
    own = getattr(predictor, "numerics", None)
    if own is None:
        kind = type(predictor)
        return json.dumps({"engine": f"{kind.__module__}.{kind.__qualname__}"})
    if not isinstance(own, str) or not own:
        raise ModelError(f"the model's numerics are {own!r}; expected is a text that is not empty")
    return own


def batch_of(predictor: Predictor) -> int:
    """How many chips it is called with at a time; 1 where it does not say.

    Raises:
        ModelError: It says something else than a whole number of 1 or more.
    """
    return _whole(predictor, "batch")


def _whole(predictor: Predictor, name: str) -> int:
    own = getattr(predictor, name, 1)
    if isinstance(own, bool) or not isinstance(own, int) or own < 1:
        raise ModelError(f"the model's {name} is {own!r}; expected is a whole number, 1 or more")
    return own


def streams_of(predictor: Predictor) -> int:
    """How many calls may go on at once; 1, from one thread, where it does not say.

    Raises:
        ModelError: It says something else than a whole number of 1 or more.
    """
    return _whole(predictor, "streams")


def is_asynchronous(predictor: Predictor) -> bool:
    """Whether its calls return before they are done; not so where it does not say."""
    return getattr(predictor, "is_asynchronous", False) is True


def new_batch(predictor: Predictor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Memory in which a batch for it is put together; what is in it is undefined."""
    own = getattr(predictor, "new_batch", None)
    return np.empty(shape, np.float32) if own is None else cast("NDArray[np.float32]", own(shape))


def streams_for(predictor: Predictor, grid: ChipGrid) -> int:
    """How many calls go on at once on the chips of a grid: no more than memory bears."""
    chip = min(grid.size, grid.height) * min(grid.size, grid.width)
    return min(streams_of(predictor), chips_at_once(chip * batch_of(predictor)))


def make_ready(predictor: Predictor) -> None:
    """Have it do what it does once before it predicts, in this thread."""
    own = getattr(predictor, "make_ready", None)
    if own is not None:
        own()


def fingerprint_of(predictor: Predictor) -> str:
    """A text that changes with the card and the weights; of an object without one, the card's."""
    own = getattr(predictor, "fingerprint", None)
    return own if isinstance(own, str) and own else predictor.card.digest


def adapt(predictor: Predictor, scene: Scene) -> Predictor:
    """The predictor for this scene: itself, unless it adapts to scenes."""
    for_scene = getattr(predictor, "for_scene", None)
    return predictor if for_scene is None else check_predictor(for_scene(scene))


def adapt_to_pixels(predictor: Predictor, scene: Scene, sample_of: SampleOf) -> Predictor:
    """The predictor for pixels that are not those of the scene's files.

    Args:
        predictor: Which is to adapt.
        scene: What is known of the pixels.
        sample_of: Gives some of them.

    Raises:
        ModelError: It adapts to the files of scenes only.
    """
    own = getattr(predictor, "for_pixels", None)
    if own is not None:
        return check_predictor(own(scene, sample_of))
    if getattr(predictor, "for_scene", None) is not None:
        raise ModelError(
            f"model {predictor.card.name!r} adapts to a scene, as --precision int8 does, and the "
            "pixels given are in no file; give the scene that they come from with scene=, or "
            "another precision or model"
        )
    return predictor


def new_accumulator(
    predictor: Predictor, grid: ChipGrid, *, probabilities: bool = False
) -> Accumulator:
    """What merges this predictor's outputs: its own, or a merge on the host.

    Args:
        predictor: Whose outputs.
        grid: The chip grid of the raster.
        probabilities: Also keep the probability of each class.
    """
    own = getattr(predictor, "new_accumulator", None)
    if own is not None:
        return cast(Accumulator, own(grid, probabilities=probabilities))
    card = predictor.card
    return HostAccumulator(
        grid, len(card.legend), probabilities=probabilities, together=card.together_values
    )


def about(predictor: Predictor) -> dict[str, Any]:
    """Facts about the model for run.json: always the name, and what it tells of itself."""
    facts: dict[str, Any] = {"name": predictor.card.name}
    own = getattr(predictor, "about", None)
    if own is not None:
        told = own()
        if not isinstance(told, Mapping):
            raise ModelError(f"the model's about() gave {type(told).__name__}; expected is a dict")
        facts |= told
    return facts


class HostAccumulator(NumpyAccumulator):
    """The numpy merge, which also takes tensors and read-only arrays of foreign predictors."""

    def add(self, probabilities: Any, chip: Chip) -> None:
        super().add(as_numpy(probabilities), chip)
