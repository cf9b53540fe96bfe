"""Dry run: everything before the first step of a training, to be looked at by a person."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agriseg.labels import LabelledScene
from agriseg.labels.split import PARTS
from agriseg.labels.split_picture import draw_split
from agriseg.models import resolve_numerics
from agriseg.training.card import draft_card
from agriseg.training.chips import Chips
from agriseg.training.config import TrainConfig
from agriseg.training.folder import make_folder
from agriseg.training.pixels import PixelStore
from agriseg.training.plan import Plan, look_at_data, make_plan
from agriseg.training.sheet import draw_sheet, sheet_chips
from agriseg.training.start import chips_of, first_task, measured_card
from agriseg.training.task import Task
from agriseg.training.validation import validation_batches
from agriseg.training.verb import given

__all__ = ["DryRun", "SceneKind", "dry_run"]

# A forward pass alone takes about so much of a step.
_FORWARD = 0.35


@dataclass(frozen=True)
class SceneKind:
    """Scenes that are alike.

    Args:
        scenes: How many.
        example: The name of one of them.
        bands: Their bands by role.
        gsd_m: Metres a pixel, or None.
        scale: How their values become reflectance.
        labelled: Share of their pixels that is labelled.
    """

    scenes: int
    example: str
    bands: tuple[str, ...]
    gsd_m: float | None
    scale: str
    labelled: float


@dataclass(frozen=True)
class DryRun:
    """What a training would work on.

    Args:
        name: Of the model.
        faults: What must be mended first; then all but `kinds` and `notes` is empty.
        notes: What a person should know.
        kinds: The scenes.
        scenes: How many are for each part.
        pixels: Labelled pixels of each class, or set of classes, in each part.
        split: How they are divided, in words.
        network: What is trained, in words.
        step_s: Seconds that a step takes here, or None.
        total_s: Seconds that all of it takes, or None.
        files: What was written.
    """

    name: str
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    kinds: tuple[SceneKind, ...] = ()
    scenes: dict[str, int] | None = None
    pixels: dict[str, dict[str, int]] | None = None
    split: str = ""
    network: str = ""
    step_s: float | None = None
    total_s: float | None = None
    files: tuple[Path, ...] = ()

    @property
    def can_train(self) -> bool:
        return not self.faults


def dry_run(
    config: str | Path | TrainConfig,
    out: str | Path | None = None,
    *,
    base: str | Path | None = None,
    trust: bool = False,
) -> DryRun:
    """Check a training without training: read all labels, divide them, draw them, time a step.

    Writes data.png, chips as the network would get them beside their labels, and split.png.

    Args:
        config, out, base, trust: As in `train`.

    Raises:
        AgrisegError: The configuration cannot be used, or the data cannot be opened. Faults of the
            data are all listed in the result.
    """
    settings, start, folder = given(config, out, base)
    looked = look_at_data(settings, start)
    if looked.findings.faults:
        return DryRun(settings.name, looked.findings.faults, looked.findings.notes)
    plan = make_plan(settings, start, looked)
    card = draft_card(settings, plan.codes, [part.labelled for part in plan.training], start)
    scenes = {id(p.labelled): p.labelled for p in (*plan.training, *plan.validation)}
    memory = settings.chips.memory_gb * 1e9
    with PixelStore(list(scenes.values()), card.keys, memory) as store:
        chips = chips_of(plan, store)
        card = measured_card(card, chips, plan)
        task, begun = first_task(plan, card, trust=trust)
        make_folder(folder)
        files = folder / "data.png", folder / "split.png"
        some = sheet_chips(chips, task.augment, plan.codes, settings.learn.seed)
        draw_sheet(some, card, plan.codes, _title(plan), files[0])
        draw_split(plan.split, plan.survey, files[1])
        held_out = validation_batches(plan, store)
        step_s, device = _timed(task, chips, settings)
    million = sum(p.numel() for p in task.model.parameters()) / 1e6
    network = f"{card.architecture} {card.options.get('encoder_name', '')}".strip()
    return DryRun(
        name=settings.name,
        faults=(),
        notes=plan.notes,
        kinds=_kinds(plan),
        scenes=_scene_counts(plan),
        pixels=_pixel_counts(plan),
        split=plan.split.how,
        network=f"{network}, {million:.1f} million weights, {begun}; on {device}",
        step_s=step_s,
        total_s=_total(step_s, len(held_out), settings),
        files=files,
    )


def _title(plan: Plan) -> str:
    counts = plan.split.counts(plan.survey)["train"][:-1]
    total = max(int(counts.sum()), 1)
    shares = ", ".join(
        f"{plan.codes.name(k)} {100 * int(c) / total:.1f} %" for k, c in enumerate(counts)
    )
    scenes = _scene_counts(plan)["train"]
    words = f"{scenes:,} scene{'' if scenes == 1 else 's'} to train on"
    return f"{plan.config.name}: {words}, {total / 1e6:,.2f} Mpixel labelled\n{shares}"


def _scene_counts(plan: Plan) -> dict[str, int]:
    masks = plan.split.masks
    counts = {part: sum(bool((m == n).any()) for m in masks) for part, n in PARTS.items()}
    return {part: count for part, count in counts.items() if count}


def _pixel_counts(plan: Plan) -> dict[str, dict[str, int]]:
    counts = plan.split.counts(plan.survey)
    known = range(len(plan.survey.totals) - 1)
    return {
        part: {plan.codes.name(k): int(counts[part][k]) for k in known}
        for part in PARTS
        if counts[part][:-1].any()
    }


def _kinds(plan: Plan) -> tuple[SceneKind, ...]:
    """Scenes of the same bands, scale and pixel size, the most frequent first."""
    groups: dict[Any, list[tuple[LabelledScene, NDArray[np.int64]]]] = {}
    totals = plan.survey.scene_totals
    for labelled, total in zip(plan.material.scenes, totals, strict=True):
        scene = labelled.scene
        bands = tuple(band.key or "-" for band in scene.bands)
        gsd = None if labelled.gsd_m is None else float(f"{labelled.gsd_m:.3g}")
        key = (bands, gsd, scene.radiometry.level)
        groups.setdefault(key, []).append((labelled, total))
    found = []
    for (bands, gsd, scale), members in groups.items():
        sums = np.sum([total for _, total in members], axis=0)
        share = float(sums[:-1].sum() / max(sums.sum(), 1))
        found.append(SceneKind(len(members), members[0][0].name, bands, gsd, scale, share))
    return tuple(sorted(found, key=lambda kind: (-kind.scenes, kind.example)))


def _timed(task: Task, chips: Chips, config: TrainConfig) -> tuple[float, str]:
    """Seconds of a step after a first one, and where it ran."""
    numerics = resolve_numerics(engine="torch", precision=config.learn.precision)
    device = torch.device(numerics.device)
    task.to(device).train()
    optimizer = task.configure_optimizers()
    half = numerics.precision == "bfloat16"
    seconds = 0.0
    for step in range(2):
        began = time.perf_counter()
        batch = chips.batch(step)
        read = time.perf_counter() - began
        began = time.perf_counter()
        _step(task, {key: value.to(device) for key, value in batch.items()}, optimizer, half)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        # Threads read ahead: it takes as long as what is slower.
        seconds = max(seconds, read / config.chips.threads)
    return seconds, f"{numerics.device} in {numerics.precision}"


def _step(
    task: Task, batch: dict[str, Tensor], optimizer: torch.optim.Optimizer, half: bool
) -> None:
    with torch.no_grad():
        ready = task.augment(batch)
    image = ready["image"].contiguous(memory_format=torch.channels_last)
    with torch.autocast(image.device.type, torch.bfloat16, enabled=half):
        loss = task.criterion(task.model(image), ready["codes"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _total(step_s: float, held_out: int, config: TrainConfig) -> float:
    learn = config.learn
    validations = math.ceil(learn.steps / learn.validate_every)
    return step_s * (learn.steps + _FORWARD * held_out * validations)
