"""The verb `train`: from a configuration to a model file."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from agriseg.models import ModelCard, resolve_numerics
from agriseg.training.card import draft_card
from agriseg.training.chips import Chips
from agriseg.training.config import TrainConfig, read_config
from agriseg.training.finish import finish
from agriseg.training.finished import finished, make_report, take_up
from agriseg.training.folder import prepare_folder
from agriseg.training.keeper import Keeper, Listener
from agriseg.training.pixels import PixelStore
from agriseg.training.plan import Plan, make_plan
from agriseg.training.start import chips_of, first_task, measured_card
from agriseg.training.stream import Batches
from agriseg.training.task import Task
from agriseg.training.validation import validation_batches

__all__ = ["given", "train", "train_plan"]


def train(
    config: str | Path | TrainConfig,
    out: str | Path | None = None,
    *,
    base: str | Path | None = None,
    resume: bool = True,
    report: bool = True,
    listener: Listener | None = None,
    trust: bool = False,
) -> Path:
    """Train a model as a configuration says, and write its file.

    What was done goes to the folder `out`: metrics.csv, tensorboard/, split.json, config.yaml, and
    a checkpoint from which the same call goes on after it was stopped, to the same weights. At the
    end whole validation scenes are mapped by the written model; evaluation.json, report.html and
    the model's card say how good it is. Of a training that is finished the same call only makes
    what is missing: the page, or what the configuration now says for the card.

    inputs.json tells images and labels from others in their place: they must not have changed
    where a training goes on, or is finished.

    Args:
        config: A YAML file, as in configs/, or what `read_config` makes of one.
        out: Folder; by default out/NAME.
        base: The folder that paths in it start from; by default that of the configuration.
        resume: Go on with a training that was stopped; else begin anew.
        report: Evaluate whole scenes at the end, and write the page; else the card's scores are
            those of the validation chips.
        listener: Is told how it goes on.
        trust: Allow an architecture that is code outside agriseg (a dotted path).

    Returns:
        The model file, OUT/NAME.safetensors.

    Raises:
        AgrisegError: The configuration, the data or the labels cannot be used, or are others than
            those of the training in the folder; before any step.
    """
    settings, start, folder = given(config, out, base)
    if resume and (done := finished(folder, settings)) is not None:
        take_up(done, settings, start, report=report, listener=listener, trust=trust)
        return done
    plan = make_plan(settings, start)
    return train_plan(plan, folder, resume=resume, report=report, listener=listener, trust=trust)


def given(
    config: str | Path | TrainConfig, out: str | Path | None, base: str | Path | None
) -> tuple[TrainConfig, Path, Path]:
    """The configuration, the folder that its paths start from, and the folder of the training.

    Raises:
        OptionError: The configuration is none, or `base` is not there.
    """
    settings = config if isinstance(config, TrainConfig) else read_config(config)
    if base is None:
        base = Path() if isinstance(config, TrainConfig) else Path(config).parent
    folder = Path(out) if out is not None else Path("out") / settings.name
    return settings, Path(base), folder


def train_plan(
    plan: Plan,
    folder: Path,
    *,
    resume: bool = True,
    report: bool = True,
    listener: Listener | None = None,
    trust: bool = False,
) -> Path:
    """Train what is planned; arguments as in `train`."""
    config = plan.config
    state = prepare_folder(folder, plan, resume)
    scenes = {id(p.labelled): p.labelled for p in (*plan.training, *plan.validation)}
    card = draft_card(config, plan.codes, [p.labelled for p in plan.training], plan.base)
    numerics = resolve_numerics(engine="torch", precision=config.learn.precision)
    started = time.monotonic()
    with (
        PixelStore(list(scenes.values()), card.keys, config.chips.memory_gb * 1e9) as store,
        _quiet(),
    ):
        chips = chips_of(plan, store)
        if state is None:
            card = measured_card(card, chips, plan)
        else:
            card = ModelCard.from_json(state["card"])
        task, start = first_task(plan, card, trust=trust)
        keeper = Keeper(folder, config.digest, card.to_json(), listener)
        if state is not None:
            task.restore(state)
            keeper.restore(state)
        facts = _facts(plan, card, task, start, numerics, store)
        if listener is not None:
            listener.begin(facts)
        held_out = validation_batches(plan, store)
        try:
            _fit(task, keeper, chips, held_out, config, numerics)
        finally:
            keeper.close()
        task.to(numerics.device)  # Lightning brings it back to the CPU
        path, card = finish(plan, card, task, keeper, held_out, folder, start)
    notes: tuple[str, ...] = ()
    if report:
        # Memory that the pixels took is free again.
        card, notes = make_report(plan, path, card, keeper.history, listener, trust=trust)
    keeper.tidy()
    if listener is not None:
        end = {"scores": card.scores, "temperature": card.temperature, "steps": task.steps_done}
        end |= {"notes": list(notes)}
        listener.end(path, {**end, "seconds": time.monotonic() - started})
    return path


def _fit(
    task: Task,
    keeper: Keeper,
    chips: Chips,
    held_out: list[dict[str, Tensor]],
    config: TrainConfig,
    numerics: Any,
) -> None:
    learn = config.learn
    if keeper.is_done(task):
        return
    trainer = pl.Trainer(
        accelerator="gpu" if numerics.device.startswith("cuda") else "cpu",
        devices=1,
        precision="bf16-mixed" if numerics.precision == "bfloat16" else "32-true",
        max_epochs=-1,
        gradient_clip_val=learn.clip or None,
        num_sanity_val_steps=0,
        callbacks=[keeper],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=True,
    )
    batches = Batches(
        chips.batch, task.steps_done, learn.steps, learn.validate_every, config.chips.threads
    )
    before = signal.getsignal(signal.SIGINT)
    try:
        # A list would be taken for a list of loaders.
        trainer.fit(task, batches, DataLoader(_Listed(held_out), None) if held_out else None)
    except SystemExit:
        # Lightning's way of answering Ctrl-C.
        raise KeyboardInterrupt from None
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
        batches.close()


class _Listed(Dataset[dict[str, Tensor]]):
    """Batches in memory, as torch's loader takes them."""

    def __init__(self, batches: list[dict[str, Tensor]]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self._batches[index]


def _facts(
    plan: Plan, card: ModelCard, task: Task, start: str, numerics: Any, store: PixelStore
) -> dict[str, Any]:
    """What a person sees before it starts."""
    split = plan.config.split
    return {
        "name": f"{card.name}, fold {split.fold} of {split.folds}" if split.folds else card.name,
        "architecture": card.architecture,
        "options": dict(card.options),
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "start": start,
        "bands": list(card.keys),
        "classes": list(card.legend.names),
        "scenes": len(plan.training),
        "validation_scenes": len(plan.validation),
        "steps": plan.config.learn.steps,
        "first": task.steps_done,
        "device": numerics.device,
        "precision": numerics.precision,
        "in_memory": store.keeps,
        "notes": list(plan.notes),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning says of machines and loaders, which we have settled."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
