"""A training that is finished, and asked for again: what is missing is made, nothing is learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agriseg.errors import AgrisegError
from agriseg.labels import open_material
from agriseg.models import read_card, read_weights, save_model
from agriseg.training.config import TrainConfig
from agriseg.training.folder import another
from agriseg.training.inputs import check_inputs, inputs_of, read_inputs
from agriseg.training.keeper import Keeper, Listener
from agriseg.training.weights import init_file

__all__ = ["finished", "take_up"]


def finished(folder: Path, config: TrainConfig) -> Path | None:
    """The model file, where this very training left it.

    Raises:
        OptionError: One with other settings did.
    """
    path = folder / f"{config.name}.safetensors"
    # What it goes on from is dropped last of all.
    if not path.exists() or (folder / Keeper.CHECKPOINT).exists():
        return None
    if read_card(path).training.get("digest") != config.digest:
        raise another(folder)
    return path


def take_up(path: Path, config: TrainConfig, base: Path, listener: Listener | None) -> None:
    """Bring a finished training up to what is asked for now: what its card says.

    Args:
        path: The model file.
        config, base, listener: As in `train`.

    Raises:
        OptionError: Images or labels are others than those that it learned from.
    """
    notes = _compared(path.parent, config, base)
    _with_words(path, config)
    if listener is not None:
        listener.already(path, notes)


def _compared(folder: Path, config: TrainConfig, base: Path) -> tuple[str, ...]:
    """Notes, once the files are known to be those that were learned from, or out of reach."""
    if read_inputs(folder) is None:
        return ("nothing tells which files it was trained on; after a change of data use --fresh",)
    try:
        material = open_material(config.data, config.legend, base=base)
    except AgrisegError as error:
        # What is finished needs its data no more.
        return (f"its data cannot be opened, to see whether they changed: {error}",)
    check_inputs(folder, inputs_of(material, base, init_file(config.model.init, base)))
    return ()


def _with_words(path: Path, config: TrainConfig) -> None:
    """Write into the card what is now said of the model, where that differs."""
    card, said = read_card(path), config.card
    wanted = replace(
        card,
        licence=said.licence,
        description=said.description,
        caution=said.caution,
        chip_size=said.chip_size,
        overlap=said.overlap,
        training={**card.training, "data": said.data},
    )
    if wanted != card:  # what the card says can be mended without learning again
        save_model(path, wanted, read_weights(path, card))
