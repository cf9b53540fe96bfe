"""The end of a training: the model file, how good it is on what was kept for that, and the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agriseg.errors import AgrisegError, OutputError
from agriseg.evaluation import Evaluation, evaluate, fit_temperature
from agriseg.evaluation.grids import at_gsd
from agriseg.evaluation.store import card_scores
from agriseg.labels import LabelledScene, Material, part_of
from agriseg.models import ModelCard, read_weights, save_model
from agriseg.models.fit import GSD_FACTOR
from agriseg.training.card import training_facts
from agriseg.training.checkpoint import read_checkpoint
from agriseg.training.keeper import Keeper, Listener
from agriseg.training.plan import Plan
from agriseg.training.task import Task

__all__ = ["Told", "at_fitting_gsd", "evaluate_part", "finish"]

_TEMPERATURE_PIXELS = 200_000
MOST_PIXELS = 500_000_000
"""Pixels of validation scenes that are mapped at the end; of more, some scenes are chosen."""


def finish(
    plan: Plan,
    card: ModelCard,
    task: Task,
    keeper: Keeper,
    held_out: list[dict[str, Tensor]],
    folder: Path,
    start: str,
) -> tuple[Path, ModelCard]:
    """Write the best weights with their card, whose scores are those of the validation chips.

    Args:
        plan, card, task, keeper, held_out, folder: Of the training.
        start: What its network started from, in words.
    """
    state = read_checkpoint(keeper.best_weights)
    if state is None:
        raise OutputError(f"{keeper.best_weights} is gone; begin anew with --fresh")
    network: nn.Module = task.kept_model
    network.load_state_dict(state["weights"])
    temperature, scores = _validated(task, held_out)
    config = plan.config
    facts = {
        **training_facts(config, plan.training, plan.validation, plan.codes),
        "digest": config.digest,
        "start": start,
        "steps": task.steps_done,
    }
    card = replace(card, temperature=temperature, training=facts, scores=scores)
    weights = {
        name: value.half() if config.card.half and value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    return save_model(folder / f"{config.name}.safetensors", card, weights), card


def evaluate_part(
    plan: Plan, path: Path, card: ModelCard, folder: Path, listener: Listener | None, *, trust: bool
) -> tuple[ModelCard, Evaluation | None, tuple[str, ...]]:
    """Map the validation part by the written model as `segment` does, and put into the card.

    Nothing of it may lose a training: what goes wrong is told, and the scores stay those of chips.

    Returns:
        The card, what was found, and notes.
    """
    if not plan.validation:
        return card, None, ("nothing was kept for validation, so nobody knows how good it is",)
    material = part_of(plan.material, plan.survey, plan.split, "validation")
    some = _some(material.scenes)
    notes: tuple[str, ...] = ()
    asked = plan.config.chips.gsd_range_m
    fitting = tuple(at_fitting_gsd(one, card, asked) for one in some)
    moved = sum(one is not other for one, other in zip(some, fitting, strict=True))
    if moved:
        notes = (f"{moved} of the scenes were brought to the model's pixel sizes",)
    if len(some) < len(material.scenes):
        text = f"scores are those of {len(some)} of the {len(material.scenes)} validation scenes"
        notes = (*notes, f"{text}, spread evenly")
    try:
        given = Material(fitting, material.codes)
        found = evaluate(path, given, folder, watcher=Told(listener), trust=trust)
    except AgrisegError as error:
        return (
            card,
            None,
            (
                *notes,
                f"whole scenes could not be evaluated: {error}",
            ),
        )
    scores = {**card.scores, "validation": card_scores(found)}
    card = replace(card, scores=scores)
    save_model(path, card, read_weights(path, card))
    return card, found, notes


def _some(scenes: tuple[LabelledScene, ...]) -> tuple[LabelledScene, ...]:
    """As many of the scenes as may be mapped, spread evenly; at least one."""
    sizes = [one.scene.geobox.width * one.scene.geobox.height for one in scenes]
    count = max(min(int(MOST_PIXELS * len(scenes) / sum(sizes)), len(scenes)), 1)
    return tuple(scenes[int((k + 0.5) * len(scenes) / count)] for k in range(count))


def at_fitting_gsd(
    one: LabelledScene, card: ModelCard, asked: tuple[float, float] | None
) -> LabelledScene:
    """The scene with pixels as the network saw them, or itself where they are near enough.

    Args:
        one: The scene.
        card: Of the model.
        asked: To which pixel sizes the configuration had chips resampled, if to any.
    """
    if card.gsd_m is None or one.gsd_m is None:
        return one
    low, high = asked or card.gsd_m
    room = 1.001 if asked else GSD_FACTOR  # chips of their own size vary by the scale they draw
    if low / room <= one.gsd_m <= high * room:
        return one
    return at_gsd((one,), min(max(one.gsd_m, low), high))[0]


class Told:
    """Passes on how an evaluation gets on."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._done = self._pixels = 0

    def begin(self, what: str, pixels: int) -> None:
        self._done, self._pixels = 0, pixels

    def advance(self, pixels: int) -> None:
        self._done += pixels
        if self._listener is not None:
            self._listener.evaluating(self._done, self._pixels)


def _validated(task: Task, held_out: list[dict[str, Tensor]]) -> tuple[float, dict[str, Any]]:
    """Temperature and scores of the kept weights on the validation chips."""
    if not held_out:
        return 1.0, {}
    task.eval()
    generator = torch.Generator().manual_seed(task.learn.seed)
    share = _TEMPERATURE_PIXELS / sum(batch["codes"].numel() for batch in held_out)
    some, allowed = [], []
    with torch.inference_mode():
        for batch in held_out:
            here = {key: value.to(task.device) for key, value in batch.items()}
            logits, codes = task.predict_logits(here)
            task.count(logits, codes)
            flat, table = logits.movedim(1, -1).cpu(), task.criterion.allowed.cpu()
            may = table[codes.cpu().long()]
            chosen = (torch.rand(codes.shape, generator=generator) < share) & ~may.all(-1)
            some.append(flat[chosen])
            allowed.append(may[chosen])
    iou = task.take_scores()
    rounded = {name: None if v is None else round(v, 4) for name, v in iou.items()}
    scores = {"validation": {"iou": rounded, "chips": sum(len(b["codes"]) for b in held_out)}}
    known, may = torch.cat(some), torch.cat(allowed)
    if not len(known):
        return 1.0, scores
    probabilities = torch.softmax(known.double(), 1).numpy()
    return round(fit_temperature(probabilities, may.numpy()), 4), scores
