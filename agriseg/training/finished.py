"""A training that is finished, and asked for again: what is missing is made, nothing is learned."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agriseg.errors import AgrisegError
from agriseg.labels import open_material
from agriseg.models import ModelCard, build_network, read_card, read_weights, save_model
from agriseg.training.config import TrainConfig
from agriseg.training.finish import evaluate_part
from agriseg.training.folder import another, write_plan
from agriseg.training.inputs import check_inputs, inputs_of, read_inputs
from agriseg.training.keeper import Keeper, Listener, Row, read_table
from agriseg.training.page import Page, write_page
from agriseg.training.plan import Plan, make_plan
from agriseg.training.weights import init_file

__all__ = ["finished", "make_report", "take_up"]


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


def take_up(
    path: Path,
    config: TrainConfig,
    base: Path,
    *,
    report: bool,
    listener: Listener | None,
    trust: bool,
) -> None:
    """Bring a finished training up to what is asked for now: its card, and its page.

    Args:
        path: The model file.
        config, base, report, listener, trust: As in `train`.

    Raises:
        OptionError: Images or labels are others than those that it learned from.
    """
    started = time.monotonic()
    notes = _compared(path.parent, config, base)
    card = _with_words(path, config)
    if report and not path.with_name("report.html").exists():
        try:
            plan = make_plan(config, base)
            write_plan(path.parent, plan)
            history = read_table(path.with_name("metrics.csv"))
            card, more = make_report(plan, path, card, history, listener, trust=trust)
        except AgrisegError as error:
            notes = (*notes, f"report.html cannot be made: {error}")
        else:
            if listener is not None:
                end = {"scores": card.scores, "temperature": card.temperature}
                end |= {"steps": card.training["steps"], "notes": [*notes, *more]}
                listener.end(path, {**end, "seconds": time.monotonic() - started})
            return
    if listener is not None:
        listener.already(path, notes)


def make_report(
    plan: Plan,
    path: Path,
    card: ModelCard,
    history: Sequence[Row],
    listener: Listener | None,
    *,
    trust: bool,
) -> tuple[ModelCard, tuple[str, ...]]:
    """Evaluate whole validation scenes, and write the page; the card with its scores, and notes."""
    card, found, notes = evaluate_part(plan, path, card, path.parent, listener, trust=trust)
    network = build_network(card, trust=trust)
    parameters = sum(p.numel() for p in network.parameters())
    write_page(Page(plan, card, parameters, history, found, notes), path)
    return card, notes


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


def _with_words(path: Path, config: TrainConfig) -> ModelCard:
    """The card with what is now said of the model; written where that differs."""
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
    return wanted
